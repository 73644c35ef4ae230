"""
The servers of a pipeline for development and tests: Kafka, Kafka Connect with Debezium, two
Postgres clusters and Redis, on loopback.

    stack = Stack(".tailrace")  # embedded: with no Docker, nothing to install but Python packages
    stack = open_stack(".tailrace", "containers")
    endpoints = stack.up()
"""

from devstack.endpoints import Endpoints, Kind
from devstack.folder import AnyPart, PartStatus
from devstack.part import Part, PartFailed
from devstack.stack import AnyStack, Stack, open_stack

__all__ = [
    "AnyPart",
    "AnyStack",
    "Endpoints",
    "Kind",
    "Part",
    "PartFailed",
    "PartStatus",
    "Stack",
    "open_stack",
]
