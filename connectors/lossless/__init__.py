"""
The connector class that does not lose changes on a restart (why it exists: docs/lossless.md), and
what an outbox's events need to arrive byte for byte, as CloudEvents.

Put the jar into Debezium's plugin folder, beside Debezium's own jars, on every Connect worker.
"""

from pathlib import Path

CONNECTOR_CLASS = "io.tailrace.connect.LosslessPostgresConnector"
CONVERTER_CLASS = "io.tailrace.connect.TextOrJsonConverter"
HEADERS_CLASS = "io.tailrace.connect.CloudEventHeaders"
QUEUE_CLASS = "io.tailrace.connect.PromptQueue"
QUEUE = "prompt"
PLAIN_CLASS = "io.debezium.connector.postgresql.PostgresConnector"
JAR = Path(__file__).parent / "dist" / "tailrace-lossless.jar"
