"""
The connector class that does not lose changes on a restart. Why it exists: docs/lossless.md.

Put the jar into Debezium's plugin folder, beside Debezium's own jars, on every Connect worker.
"""

from pathlib import Path

CONNECTOR_CLASS = "io.tailrace.connect.LosslessPostgresConnector"
PLAIN_CLASS = "io.debezium.connector.postgresql.PostgresConnector"
JAR = Path(__file__).parent / "dist" / "tailrace-lossless.jar"
