"""
The code's contracts held against the catalogue: pure, one sentence for each problem, which names
the consumers that it would break.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from eventstore import catalogue
from eventstore.catalogue import Catalogue
from eventstore.compat import breaks
from eventstore.contracts import Contract, Contracts, Invalid
from eventstore.nodes import Schema, unclear
from eventstore.sample import NoSample, sample

Kind = Literal[
    "breaking", "removed", "backwards", "skipped", "upcaster", "not understood", "not exported"
]


@dataclass(frozen=True, slots=True)
class Found:
    """
    What is amiss with one version of one event, or of none (the list of readers). `field` is a
    path, or null for the event as a whole; `consumers` are those that read it.
    """

    kind: Kind
    event: str | None
    version: int | None
    field: str | None
    sentence: str
    consumers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """`notes` are sentences on what could not be tried."""

    found: tuple[Found, ...]
    notes: tuple[str, ...]


def compare(contracts: Contracts, committed: Catalogue) -> Compared:
    """Everything that is amiss, by event. Raises `catalogue.Damaged`, and what upcasters raise."""
    code = catalogue.described(contracts)
    found: list[Found] = []
    notes: list[str] = []
    for name in sorted({*code.versions, *committed.versions}):
        consumers = tuple(sorted(code.consumers(name) | committed.consumers(name)))
        event = _Event(name, committed.versions.get(name, {}), consumers)
        if name not in code.versions:
            found += event.removed()
            continue
        contract = contracts[name]
        found += event.compared(contract, code.versions[name][contract.version])
        found += event.upcasters(contracts)
        found += event.old_ones_read(contracts, notes)
    if code.readers != committed.readers and (committed.readers or committed.versions):
        found.append(_readers(code, committed))
    return Compared(tuple(found), tuple(notes))


@dataclass(frozen=True, slots=True)
class _Event:
    name: str
    committed: Mapping[int, Schema]
    consumers: tuple[str, ...]

    def problem(self, kind: Kind, version: int, sentence: str, path: str | None = None) -> Found:
        where = f"{self.name} {version}" + (f", field {path}" if path else "")
        return Found(
            kind, self.name, version, path or None, f"{where}: {sentence}.", self.consumers
        )

    @property
    def read_by(self) -> str:
        return f" (read by {', '.join(self.consumers)})" if self.consumers else ""

    def removed(self) -> Iterator[Found]:
        newest = max(self.committed)
        if self.consumers:
            why = f"it is not in the code any more, but read by {', '.join(self.consumers)}"
        else:
            why = "it is not in the code any more, so stored events of it could not be read"
        mend = "keep its class; if none was ever published, delete its folder from the catalogue"
        yield self.problem("removed", newest, f"{why}; {mend}")

    def compared(self, contract: Contract, now: Schema) -> Iterator[Found]:
        version, newest = contract.version, max(self.committed, default=0)
        for path, keyword in unclear(now):
            yield self.problem(
                "not understood",
                version,
                f"{keyword!r} in its schema is nothing that the check knows a rule for, so a change"
                " of it could not be judged; use a type without it",
                path,
            )
        for path in catalogue.named_otherwise(contract):
            yield self.problem(
                "not understood",
                version,
                "it is written by another name than it is read by (an alias, or a computed field);"
                " give the field the name that JSON shall have",
                path,
            )
        if version < newest:
            yield self.problem(
                "backwards",
                version,
                f"the catalogue has version {newest} already, and events of it may be stored"
                f"{self.read_by}; go on from version {newest}",
            )
        elif version == newest:
            yield from self._same_version(version, now)
        else:
            yield from self._new_version(version, newest)
        yield from self._gaps(newest)

    def _same_version(self, version: int, now: Schema) -> Iterator[Found]:
        before = self.committed[version]
        found = breaks(before, now)
        for each in found:
            yield self.problem(
                "breaking",
                version,
                f"{each.changed}: {each.because}{self.read_by}; make it version {version + 1} with"
                " an upcaster, or take the change back",
                each.path,
            )
        if not found and catalogue.text(before) != catalogue.text(now):
            yield self.problem(
                "not exported",
                version,
                "it has changed in a way that is allowed, which the catalogue does not show yet;"
                " run `tailrace events export`",
            )

    def _new_version(self, version: int, newest: int) -> Iterator[Found]:
        if newest and version > newest + 1:
            yield self.problem(
                "skipped",
                version,
                f"the catalogue ends with version {newest}, so the next is {newest + 1};"
                " number it so, or export the ones between",
            )
            return
        deploy = f", and update {', '.join(self.consumers)} first" if self.consumers else ""
        yield self.problem(
            "not exported",
            version,
            "the catalogue does not have it yet; run `tailrace events export`"
            f"{deploy if newest else ''}",
        )

    def _gaps(self, newest: int) -> Iterator[Found]:
        for version in range(min(self.committed, default=0), newest):
            if version not in self.committed:
                yield self.problem(
                    "skipped",
                    version,
                    "it is missing in the catalogue, which has older and newer ones; take its file"
                    " from version control: events of it may be stored",
                )

    def upcasters(self, contracts: Contracts) -> Iterator[Found]:
        for name, to in contracts.missing_upcasters():
            if name == self.name:
                yield self.problem(
                    "upcaster",
                    to,
                    f"nothing leads to it from version {to - 1}, so events stored before it could"
                    f" not be read{self.read_by}; write a function with"
                    f" @contracts.upcast({name!r}, to={to})",
                )

    def old_ones_read(self, contracts: Contracts, notes: list[str]) -> Iterator[Found]:
        """The whole chain, tried on examples of each older version."""
        missing = {to for name, to in contracts.missing_upcasters() if name == self.name}
        newest = contracts[self.name].version
        for version in sorted(each for each in self.committed if each < newest):
            if missing & set(range(version + 1, newest + 1)):
                continue
            try:
                tries = [sample(self.committed[version], optional=each) for each in (True, False)]
            except NoSample as error:
                notes.append(
                    f"{self.name} {version}: no example of it can be made, so its upcasters were"
                    f" not tried: {error}."
                )
                continue
            yield from self._read(contracts, version, tries)

    def _read(
        self, contracts: Contracts, version: int, tries: list[dict[str, Any]]
    ) -> Iterator[Found]:
        for each in tries:
            try:
                contracts.decode(self.name, version, each)
            except Invalid as error:
                yield self.problem(
                    "upcaster",
                    version,
                    f"an example of it cannot be read by this code{self.read_by}: {error}; mend the"
                    f" upcasters: they have to take all that version {version} allowed",
                )
                return


def _readers(code: Catalogue, committed: Catalogue) -> Found:
    changed = sorted(
        consumer
        for consumer in {*code.readers, *committed.readers}
        if code.readers.get(consumer) != committed.readers.get(consumer)
    )
    return Found(
        "not exported",
        None,
        None,
        None,
        f"What {', '.join(changed)} read{'s' if len(changed) == 1 else ''} is not what the"
        " catalogue says; run `tailrace events export`.",
        tuple(changed),
    )
