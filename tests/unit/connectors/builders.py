"""Specifications and sources with everything in order, to be varied."""

from dataclasses import replace
from typing import Any

from connectors.catalogue import Key, Publication, Role, Server, Slot, Source, Table
from connectors.columns import Column
from connectors.spec import ConnectorSpec, SourceTable

SERVER = Server(180000, "logical", False, max_slots=10, slots=1, database="shop")
ROLE = Role(can_login=True, may_replicate=True)
SLOT = Slot("pgoutput", "shop", None, "", "reserved", 1000, 0, None, True, None)
READY = {"heartbeat": (True, True), "signal": (True, True)}


def spec(**changes: Any) -> ConnectorSpec:
    base = ConnectorSpec(
        name="shop",
        connect_url="http://127.0.0.1:8083",
        host="db",
        database="shop",
        user="cdc",
        password="${env:TAILRACE_SOURCE}",
        tables=(SourceTable("public", "orders"),),
        slot="shop",
        publication="shop",
        topic_prefix="shop",
        placeholder="unchanged-0123456789",
    )
    return replace(base, **changes)


def column(name: str, shown: str, **changes: Any) -> Column:
    """A column of a plain type; `shown` ending in [] is an array."""
    kind = shown.removesuffix("[]")
    base = Column(name, shown, kind, "b", shown != kind, int(shown != kind), True, False)
    return replace(base, **changes)


def table(*columns: Column, **changes: Any) -> Table:
    primary = Key("orders_pkey", primary=True, identity=False, columns=("id",))
    base = Table("public", "orders", 1, "r", "p", True, frozenset("d"), (), (primary,), columns)
    return replace(base, **changes)


def publication(**changes: Any) -> Publication:
    tables = {"public.orders": False, "tailrace.heartbeat": False, "tailrace.signal": False}
    base = Publication(False, True, True, "tailrace connector shop", tables, frozenset())
    return replace(base, **changes)


def source(**changes: Any) -> Source:
    """A source on which nothing is left to do."""
    base = Source(SERVER, ROLE, {"public.orders": table()}, publication(), SLOT, READY)
    return replace(base, **changes)
