"""
Where a setting comes from: flag > environment > secret file > YAML > default.

Flags, environment and file are layers, flat mappings from a key to what was said there. All hold
plain text; what a text means is decided by the schema in `config.py`, alike for all three.
"""

import difflib
import typing
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import msgspec
from msgspec.structs import FieldInfo

from tailrace.config import Pipeline
from tailrace.exits import USAGE, Problem
from tailrace.sections import Section
from tailrace.values import redact
from tailrace.yamlfile import entries

PREFIX = "TAILRACE__"
_SECRET_FILE_BYTES = 64 << 10

Key = tuple[str, ...]


class Said(NamedTuple):
    """What one layer says for a key; the value is None for `null` and for an empty section."""

    value: object
    origin: str


Layer = Mapping[Key, Said]


def read(
    path: Path, flags: Mapping[str, object], env: Mapping[str, str]
) -> tuple[Pipeline, dict[str, str]]:
    """The pipeline and, for each dotted key, where its value came from. Raises Problem."""
    reader = _Reader(path, [_from_flags(flags), _from_environment(env), _from_yaml(path)])
    return reader.section(Pipeline, ()), reader.origins


def schema() -> dict[str, Any]:
    """A JSON Schema (2020-12) of the file, for editors."""
    whole = msgspec.json.schema(Pipeline)
    for definition in whole["$defs"].values():
        for name in [name for name, of in definition["properties"].items() if "writeOnly" in of]:
            definition["properties"][f"{name}_file"] = {
                "type": "string",
                "description": f"A file that holds {name}, relative to this one",
            }
            # The environment may hold it, which an editor cannot see.
            definition["required"] = [one for one in definition["required"] if one != name]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole}


class _Reader:
    """Builds the sections, taking each key from the first layer that says it."""

    def __init__(self, file: Path, layers: list[Layer]) -> None:
        self._file = file
        self._layers = layers
        self.origins: dict[str, str] = {}

    def section(self, cls: type[Any], at: Key) -> Any:
        """One section with all that is below it."""
        self._refuse_plain_value(at)
        fields = msgspec.structs.fields(cls)
        known = [field.encode_name for field in fields]
        known += [f"{field.encode_name}_file" for field in fields if _is_secret(field.type)]
        if cls.__struct_config__.tag_field:
            known.append(cls.__struct_config__.tag_field)
        self._refuse_unknown(at, known)
        values = {field.name: self._value(field, (*at, field.encode_name)) for field in fields}
        return cls(**{name: value for name, value in values.items() if value is not None})

    def _value(self, field: FieldInfo, key: Key) -> Any:
        if isinstance(field.type, type) and issubclass(field.type, Section):
            return self.section(field.type, key)
        if typing.get_origin(field.type) is dict:
            return self._named(key, *typing.get_args(field.type))
        said = self._said(field, key)
        if said is None and field.required:
            _refuse(
                "TR-CFG-005",
                f"{_dotted(key)} is missing; write it in {self._file}"
                f" or set {PREFIX}{'__'.join(key).upper()}.",
            )
        self.origins[_dotted(key)] = said.origin if said else "default"
        return _convert(field.type, _dotted(key), said) if said else None

    def _named(self, at: Key, name_type: Any, classes: Any) -> dict[str, Any]:
        """Sections whose names the file chooses; the other layers can only change those."""
        self._refuse_plain_value(at)
        names = _below(self._layers[-1:], at)
        self._refuse_unknown(at, names)
        for name, said in names.items():
            _convert(name_type, f"the key {_dotted((*at, name))}", said._replace(value=name))
        return {
            name: self.section(self._chosen(classes, (*at, name)), (*at, name)) for name in names
        }

    def _chosen(self, classes: Any, at: Key) -> type[Any]:
        """The class whose tag the key `type` names."""
        self._refuse_plain_value(at)
        known: list[type[Any]] = list(typing.get_args(classes)) or [classes]
        tags = [one.__struct_config__.tag for one in known]
        key = (*at, "type")
        said = next((layer[key] for layer in self._layers if key in layer), None)
        if said is None or said.value not in tags:
            but = f"{said.origin} says {_short(said.value)}" if said else "it is missing"
            _refuse("TR-CFG-004", f"{_dotted(key)} must be {' or '.join(tags)}, but {but}.")
        self.origins[_dotted(key)] = said.origin
        return known[tags.index(said.value)]

    def _said(self, field: FieldInfo, key: Key) -> Said | None:
        """What the first layer says; inside one layer a secret file goes before the plain key."""
        for layer in self._layers:
            for deeper in _below([layer], key).values():
                must = f"{_dotted(key)} must be {_title(field.type)}"
                _refuse("TR-CFG-004", f"{must}, but {deeper.origin} gives it keys of its own.")
            file = layer.get((*key[:-1], f"{key[-1]}_file")) if _is_secret(field.type) else None
            if file is not None and file.value is not None:
                return self._from_secret_file(_dotted(key), file)
            if key in layer and layer[key].value is not None:
                return layer[key]
        return None

    def _from_secret_file(self, key: str, file: Said) -> Said:
        path = self._file.parent / str(file.value)
        try:
            with path.open("rb") as opened:
                text = opened.read(_SECRET_FILE_BYTES).decode().strip()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no text file"
            _refuse(
                "TR-CFG-006",
                f"{file.origin}: {key}_file names {path}, which cannot be read: {why}."
                f" A path is relative to the folder of {self._file.name}.",
            )
        if not text:
            _refuse("TR-CFG-006", f"{file.origin}: {key}_file names {path}, which is empty.")
        return Said(text, f"secret file {path}")

    def _refuse_plain_value(self, at: Key) -> None:
        for layer in self._layers:
            if at in layer and layer[at].value is not None:
                _refuse(
                    "TR-CFG-004",
                    f"{_dotted(at)} must be a section with keys of its own,"
                    f" but {layer[at].origin} gives it a plain value.",
                )

    def _refuse_unknown(self, at: Key, known: Collection[str]) -> None:
        for name, said in _below(self._layers, at).items():
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = (
                    f"did you mean {close[0]}?"
                    if close
                    else f"known are {', '.join(known) or 'none'}."
                )
                _refuse("TR-CFG-003", f"{said.origin}: unknown key {_dotted((*at, name))}; {hint}")


def _from_flags(flags: Mapping[str, object]) -> Layer:
    return {tuple(name.split(".")): Said(value, f"flag {name}") for name, value in flags.items()}


def _from_environment(env: Mapping[str, str]) -> Layer:
    return {
        tuple(name.removeprefix(PREFIX).lower().split("__")): Said(text, f"environment {name}")
        for name, text in env.items()
        if name.startswith(PREFIX)
    }


def _from_yaml(path: Path) -> Layer:
    return {key: Said(value, f"{path} line {line}") for key, value, line in entries(path)}


def _below(layers: Iterable[Layer], at: Key) -> dict[str, Said]:
    """The next part of each key under `at`, with the first that was said about it."""
    found: dict[str, Said] = {}
    for layer in layers:
        for key, said in layer.items():
            if key[: len(at)] == at and len(key) > len(at):
                found.setdefault(key[len(at)], said)
    return found


def _convert(kind: Any, key: str, said: Said) -> Any:
    extra = _extra(kind)
    try:
        value = said.value
        if isinstance(value, str) and "parse" in extra:
            value = extra["parse"](value)
        return msgspec.convert(value, kind, strict=False)
    except (msgspec.ValidationError, ValueError):
        shown = "something else" if extra.get("secret") else _short(said.value)
        _refuse("TR-CFG-004", f"{key} must be {_title(kind)}, but {said.origin} says {shown}.")


def _metas(kind: Any) -> list[msgspec.Meta]:
    """What is annotated on a type, and inside it when it is optional."""
    inner = typing.get_args(getattr(kind, "__origin__", kind))
    return [meta for part in (kind, *inner) for meta in getattr(part, "__metadata__", ())]


def _title(kind: Any) -> str:
    return next(meta.title for meta in _metas(kind) if meta.title)


def _extra(kind: Any) -> dict[str, Any]:
    return next((meta.extra for meta in _metas(kind) if meta.extra), {})


def _is_secret(kind: Any) -> bool:
    return bool(_extra(kind).get("secret"))


def _short(value: object) -> str:
    text = repr(redact(value) if isinstance(value, str) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _dotted(key: Key) -> str:
    return ".".join(key) or "the file"


def _refuse(code: str, sentence: str) -> NoReturn:
    raise Problem(code, sentence, exit_code=USAGE)
