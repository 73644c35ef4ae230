"""
The embedded stack: Kafka, Kafka Connect with Debezium, two Postgres clusters and Valkey as real
servers on loopback, with no Docker and nothing to install but Python packages.

    stack = Stack(".tailrace")
    endpoints = stack.up()
"""

from devstack.endpoints import Endpoints
from devstack.part import Part, PartFailed
from devstack.stack import PartStatus, Stack

__all__ = ["Endpoints", "Part", "PartFailed", "PartStatus", "Stack"]
