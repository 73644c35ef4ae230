import json
import re
from pathlib import Path

import pytest

import connectors
from connectors import lossless
from connectors.errors import ConnectorError
from connectors.register import diff
from connectors.render import heartbeat_query, masked, render
from connectors.spec import ConnectorSpec, SourceTable, new_placeholder
from tests.unit.connectors.builders import spec

PREVENT_SILENT_CORRUPTION = {
    "key.converter.replace.null.with.default": "false",
    "value.converter.replace.null.with.default": "false",
    "time.precision.mode": "isostring",
    "decimal.handling.mode": "string",
    "interval.handling.mode": "string",
    "binary.handling.mode": "hex",
    "hstore.handling.mode": "json",
    "include.unknown.datatypes": "true",
    "skipped.operations": "none",
    "errors.tolerance": "none",
    "event.processing.failure.handling.mode": "fail",
    "publication.autocreate.mode": "disabled",
    "slot.drop.on.stop": "false",
    "producer.override.enable.idempotence": "true",
}


def test_the_settings_that_prevent_silent_corruption() -> None:
    assert render(spec()).items() >= PREVENT_SILENT_CORRUPTION.items()


def test_an_outbox_goes_through_the_router_and_nothing_else_does() -> None:
    plain = render(spec())
    routed = render(
        spec(tables=(SourceTable("public", "orders"), SourceTable("eventstore", "outbox")))
    )
    changed = {name for name in plain if routed[name] != plain[name]}
    assert changed == {"table.include.list", "key.converter", "value.converter"}
    assert routed["key.converter"] == routed["value.converter"] == lossless.CONVERTER_CLASS
    prefix = spec().topic_prefix
    assert re.fullmatch(routed["predicates.rows.pattern"], f"{prefix}.eventstore.outbox")
    assert not re.fullmatch(routed["predicates.rows.pattern"], f"{prefix}.eventstore.outbox_1")
    assert not re.fullmatch(routed["predicates.rows.pattern"], f"{prefix}.public.orders")
    assert re.fullmatch(routed["predicates.events.pattern"], f"{prefix}.events")
    assert routed["transforms.route.route.topic.replacement"] == f"{prefix}.events"
    for each in routed["transforms"].split(","):
        assert routed[f"transforms.{each}.predicate"] in routed["predicates"].split(",")
    added = {name.split(".")[0] for name in routed.keys() - plain.keys()}
    assert added == {"predicates", "transforms", "snapshot"}


def test_the_log_of_sagas_is_kept_for_ever_and_nothing_else_is() -> None:
    kept = render(spec(tables=(SourceTable("eventstore", "outbox"), SourceTable("sagas", "log"))))
    groups = kept["topic.creation.groups"].split(",")
    prefix = spec().topic_prefix

    def group_of(topic: str) -> str | None:
        wanted = ((each, kept[f"topic.creation.{each}.include"]) for each in groups)
        return next(
            (each for each, of in wanted if any(re.fullmatch(p, topic) for p in of.split(","))),
            None,
        )

    assert group_of(f"{prefix}.sagas.log") == "log"
    assert group_of(f"{prefix}.tailrace.heartbeat") == "single"
    assert group_of(f"{prefix}.sagas.log_2") is group_of(f"{prefix}.events") is None
    assert kept["topic.creation.log.retention.ms"] == "-1"
    of_default = {name.split(".")[3] for name in kept if name.startswith("topic.creation.default.")}
    of_log = {name.split(".")[3] for name in kept if name.startswith("topic.creation.log.")}
    assert of_log == of_default | {"include"}  # Connect lets no group inherit from the default
    assert "log" not in render(spec())["topic.creation.groups"].split(",")


def test_every_placeholder_of_the_templates_is_filled() -> None:
    every = (SourceTable("eventstore", "outbox"), SourceTable("sagas", "log"))
    for exactly_once in (False, True):
        made = render(spec(exactly_once=exactly_once, tables=every))
        left = [v for v in made.values() if "${" in v]
        assert left == ["${env:TAILRACE_SOURCE}"]


def test_templates_hold_no_literal_secret() -> None:
    for file in Path(connectors.__file__).parent.glob("*.json"):
        template = json.loads(file.read_text())
        for setting, value in template.items():
            if re.search("password|secret|token", setting):
                assert value.startswith("${"), setting


def test_the_lossless_class_is_the_default() -> None:
    assert render(spec())["connector.class"] == lossless.CONNECTOR_CLASS
    assert render(spec(lossless=False))["connector.class"] == lossless.PLAIN_CLASS


def test_names_are_literal_in_debezium_s_regular_expressions() -> None:
    odd = SourceTable("public", "a.b+c", exclude_columns=("x$",), key=("id", "part"))
    settings = render(spec(tables=(odd,)))
    assert settings["table.include.list"].split(",")[0] == r"public\.a\.b\+c"
    assert settings["column.exclude.list"] == r"public\.a\.b\+c\.x\$"
    assert settings["message.key.columns"] == r"public\.a\.b\+c:id,part"


def test_nothing_excluded_leaves_no_empty_setting() -> None:
    assert "" not in render(spec()).values()
    assert "column.exclude.list" not in render(spec())


def test_heartbeat_carries_system_and_timeline_and_quotes_names() -> None:
    query = heartbeat_query(spec(control_schema='we"ird', slot="it_s"))
    assert '"we""ird"."heartbeat"' in query
    assert "'it_s'" in query
    assert "system_identifier" in query
    assert "timeline" in query
    assert "\n" not in query


def test_own_settings_beat_the_template() -> None:
    assert render(spec(settings={"max.batch.size": "16"}))["max.batch.size"] == "16"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"password": "hunter2"}, "reference"),
        ({"password": ""}, "reference"),
        ({"password": "${env:A}${env:B}"}, "reference"),
        ({"name": "a b"}, "connector name"),
        ({"slot": "Shop"}, "slot name"),
        ({"topic_prefix": "a/b"}, "prefix"),
        ({"placeholder": "__x"}, "random"),
        ({"tables": ()}, "no tables"),
        ({"tables": (SourceTable("public", "a,b"),)}, "comma"),
        ({"tables": (SourceTable("public", "a b"), SourceTable("public", "a_b"))}, "one topic"),
        ({"tables": (SourceTable("s", "t", key=("a",), append_only=True),)}, "append_only"),
    ],
)
def test_a_specification_that_cannot_work_is_refused(changes: dict[str, object], word: str) -> None:
    with pytest.raises(ConnectorError, match=word) as refused:
        spec(**changes)
    assert refused.value.code == "TR-CON-008"
    assert "hunter2" not in refused.value.sentence


def test_placeholders_are_random() -> None:
    assert new_placeholder() != new_placeholder()
    assert isinstance(spec(placeholder=new_placeholder()), ConnectorSpec)


@pytest.mark.parametrize(
    ("setting", "value", "shown"),
    [
        ("database.password", "hunter2", "********"),
        ("database.password", "${env:PASSWORD}", "${env:PASSWORD}"),
        ("producer.override.sasl.jaas.config", "…password='x'", "********"),
        ("database.password", None, None),
        ("database.user", "cdc", "cdc"),
    ],
)
def test_secrets_are_masked(setting: str, value: str | None, shown: str | None) -> None:
    assert masked(setting, value) == shown


def test_diff_of_a_connector_that_is_not_there() -> None:
    (change,) = diff("shop", None, {"a": "1"})
    assert (change.action, change.subject) == ("create", "connector shop")


def test_diff_names_what_is_added_changed_and_removed() -> None:
    running = {"name": "shop", "a": "1", "b": "2", "database.password": "old"}
    wanted = {"a": "1", "c": "3", "database.password": "new"}
    found = [(c.subject.split()[1], c.before, c.after) for c in diff("shop", running, wanted)]
    assert found == [
        ("b", "2", None),
        ("c", None, "3"),
        ("database.password", "********", "********"),
    ]


def test_no_difference_is_no_change() -> None:
    wanted = render(spec())
    assert diff("shop", wanted | {"name": "shop"}, wanted) == []
