"""
Typed, versioned events: what may be published, and how what was stored long ago is read today.

A change that only adds keeps the version; any other takes the next one and an upcaster, so that
every event ever stored can be read by the code of today (`tailrace events check` holds this).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json, to_json

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")

Data = dict[str, Any]
"""An event's fields as JSON has them."""
Upcaster = Callable[[Data], Data]
E = TypeVar("E", bound="type[Event]")


class Invalid(ValueError):
    """An event that its contract does not allow; the sentence names field and reason."""


class Event(BaseModel):
    """What happened, in the past tense; it never changes. Fields are checked when it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    contract: ClassVar["Contract"]


@dataclass(frozen=True, slots=True)
class Contract:
    """`name` is like `hotel.room.held`; `version` counts from 1."""

    name: str
    version: int
    model: type[Event]

    @property
    def schema(self) -> Data:
        """As JSON Schema (2020-12); see `eventstore.described` for its `x-python`."""
        from eventstore.described import Described

        return self.model.model_json_schema(schema_generator=Described)


@dataclass(slots=True)
class Contracts:
    """
    All events of one service. `source` names it where events leave it (CloudEvents `source`).
    `readers` says which events each consumer handles, so that a check can name whom it breaks.
    """

    source: str
    _newest: dict[str, Contract] = field(default_factory=dict)
    _upcasters: dict[tuple[str, int], Upcaster] = field(default_factory=dict)
    readers: dict[str, set[str]] = field(default_factory=dict)

    def event(self, name: str, version: int = 1) -> Callable[[E], E]:
        """
        Decorates the pydantic model of the newest version. Raises ValueError for a bad name, a
        version below 1, and a name that is taken.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"an event is named like hotel.room.held, not {name!r:.60}")
        if version < 1 or name in self._newest:
            raise ValueError(f"{name}: versions count from 1, and a name belongs to one class")

        def register(model: E) -> E:
            model.contract = self._newest[name] = Contract(name, version, model)
            return model

        return register

    def upcast(self, name: str, to: int) -> Callable[[Upcaster], Upcaster]:
        """Decorates what makes the data of version `to` from that of the version before."""

        def register(upcaster: Upcaster) -> Upcaster:
            self._upcasters[name, to] = upcaster
            return upcaster

        return register

    def reads(self, consumer: str, *events: type[Event]) -> None:
        """A consumer depends on these."""
        self.readers.setdefault(consumer, set()).update(model.contract.name for model in events)

    def __iter__(self) -> Iterator[Contract]:
        return iter(sorted(self._newest.values(), key=lambda contract: contract.name))

    def __getitem__(self, name: str) -> Contract:
        """Raises Invalid where there is no such event."""
        try:
            return self._newest[name]
        except KeyError:
            raise Invalid(
                f"there is no event {name!r:.80} in the contracts of {self.source}"
            ) from None

    def missing_upcasters(self) -> list[tuple[str, int]]:
        """Versions that nothing leads to, by name: older events could not be read."""
        wanted = [(one.name, to) for one in self for to in range(2, one.version + 1)]
        return [each for each in wanted if each not in self._upcasters]

    def encode(self, event: Event) -> str:
        """
        Its JSON, checked again: a model can be made without validation. Raises Invalid, also for an
        event that is not of these contracts.
        """
        said: Contract | None = getattr(type(event), "contract", None)
        contract = self._newest.get(said.name) if said else None
        if contract is None or contract.model is not type(event):
            raise Invalid(f"{type(event).__name__} is no event of the contracts of {self.source}")
        with _sentence(contract.name):
            text = event.model_dump_json(warnings="none")
            contract.model.model_validate_json(text)
        return text

    def decode(self, name: str, version: int, data: str | bytes | Mapping[str, Any]) -> Event:
        """
        The event in its newest version. Fields that this code does not know yet are left out:
        they were added by newer code. Raises Invalid.
        """
        contract = self[name]
        if not 1 <= version <= contract.version:
            raise Invalid(
                f"{name} has version {version}, and this code knows 1 to {contract.version}: "
                "update this consumer before the producer"
            )
        if version < contract.version:
            fields = _fields(name, data)
            for to in range(version + 1, contract.version + 1):
                fields = self._upcasted(name, to, fields)
            data = fields
        with _sentence(name):
            # As JSON, where a date is text: a strict model would refuse that from Python.
            text = data if isinstance(data, str | bytes) else to_json(data)
            return contract.model.model_validate_json(text, extra="ignore")

    def _upcasted(self, name: str, to: int, fields: Data) -> Data:
        upcaster = self._upcasters.get((name, to))
        if upcaster is None:
            raise Invalid(f"nothing leads {name} from version {to - 1} to {to}: write an upcaster")
        try:
            return upcaster(dict(fields))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Invalid(f"{name}: the upcaster to version {to} failed: {error!r:.200}") from error


class _sentence:
    """Turns pydantic's report into one sentence without the values, which may be private."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ValidationError):
            found = error.errors(include_url=False, include_context=False, include_input=False)
            told = "; ".join(
                f"{'.'.join(map(str, one['loc'])) or 'the event'}: {one['msg']}"
                for one in found[:3]
            )
            more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
            raise Invalid(f"{self._name} is not valid: {told}{more}") from None
        if isinstance(error, ValueError | TypeError) and not isinstance(error, Invalid):
            raise Invalid(f"{self._name} cannot be written as JSON: {error}") from None


def _fields(name: str, data: str | bytes | Mapping[str, Any]) -> Data:
    if isinstance(data, Mapping):
        return dict(data)
    try:
        fields = from_json(data)
    except ValueError as error:
        raise Invalid(f"{name}: its data is no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise Invalid(f"{name}: its data is no JSON object")
    return fields
