"""What a pipeline's file says about its source, as the values that `connectors` works with."""

from typing import Any

from psycopg.conninfo import conninfo_to_dict

from connectors.errors import ConnectorError
from connectors.spec import ConnectorSpec, SourceTable
from tailrace.config import EVENTS, Pipeline
from tailrace.exits import USAGE, Problem


def spec_of(pipeline: Pipeline) -> ConnectorSpec:
    """The pipeline's one connector. Raises Problem if the file leaves out what Connect needs."""
    dsn: dict[str, Any] = conninfo_to_dict(pipeline.source.dsn)
    reference = pipeline.source.password_reference
    if reference is None:
        raise Problem(
            "TR-CFG-011",
            "Connect needs to know where the source's password is kept: set "
            "`source.password_reference`, for instance to ${file:/etc/connect/shop.properties:"
            "password}. A plain password would be shown by Connect to everyone who asks it.",
            exit_code=USAGE,
        )
    try:
        return _spec(pipeline, dsn, reference)
    except ConnectorError as error:
        raise Problem(error.code, error.sentence, exit_code=USAGE) from error


def _spec(pipeline: Pipeline, dsn: dict[str, Any], reference: str) -> ConnectorSpec:
    return ConnectorSpec(
        name=pipeline.name,
        connect_url=pipeline.connect.url,
        host=pipeline.source.connector_host or dsn.get("host") or "127.0.0.1",
        port=pipeline.source.connector_port or int(dsn.get("port") or 5432),
        database=dsn.get("dbname") or "postgres",
        user=dsn.get("user") or "postgres",
        password=reference,
        tables=tuple(map(_table, pipeline.source.tables)),
        slot=pipeline.name,
        publication=pipeline.name,
        topic_prefix=pipeline.name,
        placeholder=pipeline.source.placeholder,
        partitions=pipeline.connect.partitions,
        replication_factor=pipeline.connect.replicas,
        exactly_once=pipeline.connect.exactly_once,
        sslmode=dsn.get("sslmode") or "prefer",
        settings=_authority(dsn),
    )


def _authority(dsn: dict[str, Any]) -> dict[str, str]:
    """Connect trusts whom we trust, by a file of the same path on its machine."""
    file = dsn.get("sslrootcert")
    return {"database.sslrootcert": file} if file else {}


def _table(name: str) -> SourceTable:
    schema, _, table = name.partition(".")
    # Events go by stream: all of one are in one partition, in order.
    return SourceTable(schema, table, key=("stream",) if name == EVENTS else ())
