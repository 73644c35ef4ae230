"""A page of all events for people: one HTML file that needs nothing else."""

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

from eventstore.asyncapi import HEADERS, REQUIRED
from eventstore.nodes import Schema
from eventstore.overview import Entry, Field, Overview, rows

_PAGE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))


def render(overview: Overview) -> str:
    """The same for the same events."""
    return _PAGE.substitute(
        source=escape(overview.source),
        topic=escape(overview.topic),
        count=f"{len(overview.events)} event{'' if len(overview.events) == 1 else 's'}",
        contents="".join(_link(each) for each in overview.events),
        events="".join(_event(each) for each in overview.events),
        headers="".join(_header(name) for name in HEADERS),
    )


def _link(entry: Entry) -> str:
    readers = ", ".join(entry.readers) or "nobody yet"
    return (
        f'<tr><td><a href="#{entry.name}">{entry.name}</a></td><td>{entry.version}</td>'
        f"<td>{escape(readers)}</td><td>{escape(_first(entry.says))}</td></tr>"
    )


def _event(entry: Entry) -> str:
    readers = ", ".join(f"<b>{escape(each)}</b>" for each in entry.readers) or "nobody yet"
    older = "".join(
        f"<details><summary>Version {version}, of which events may be stored</summary>"
        f"{_table(schema)}</details>"
        for version, schema in reversed(entry.older)
    )
    return (
        f'<section id="{entry.name}"><h2>{entry.name} <span>version {entry.version}</span></h2>'
        f"<p>{escape(entry.says)}</p><p>Read by {readers}.</p>{_table(entry.schema)}"
        f"{_example(entry)}{older}</section>"
    )


def _example(entry: Entry) -> str:
    if entry.example is None:
        return "<p>No example can be made of it; its fields may have <code>examples</code>.</p>"
    shown = escape(json.dumps(entry.example, indent=2, ensure_ascii=False), quote=False)
    return f"<h3>Example</h3><pre>{shown}</pre>"


def _table(schema: Schema) -> str:
    fields = rows(schema)
    if not fields:
        return "<p>It has no fields.</p>"
    return (
        '<div class="wide"><table><thead><tr><th>Field</th><th>Type</th><th>If left out</th>'
        "<th>Limits</th><th>Meaning</th></tr></thead><tbody>"
        f"{''.join(map(_row, fields))}</tbody></table></div>"
    )


def _row(field: Field) -> str:
    if field.needed:
        left_out = "<b>required</b>"
    elif field.default:
        shown = json.dumps(field.default[0], ensure_ascii=False)
        left_out = f"<code>{escape(shown, quote=False)}</code>"
    else:
        left_out = "made by code"
    cells = (
        f"<code>{escape(field.path)}</code>",
        escape(field.type),
        left_out,
        _lines(field.limits),
        escape(field.says),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _lines(texts: Iterable[str]) -> str:
    return "<br>".join(escape(each) for each in texts)


def _header(name: str) -> str:
    always = "always" if name in REQUIRED else "if known"
    meaning = escape(HEADERS[name]["description"])
    return f"<tr><td><code>{name}</code></td><td>{always}</td><td>{meaning}</td></tr>"


def _first(text: str) -> str:
    return text.partition("\n")[0]
