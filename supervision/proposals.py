"""
Rungs and proposals, in the database where the acts would be done; each decision with its line in
the log, in one transaction that the caller commits.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import psycopg

from sagas import log
from sagas.log import Entry
from sinks.target import load_statements
from supervision import ladder
from supervision.ladder import Evidence, Rung
from supervision.mirror import Finding
from supervision.stuck import Stuck

STATEMENTS = load_statements(Path(__file__).with_name("proposals.sql"))
ITSELF = "the supervisor"  # with a space, as no user of a system is called
State = Literal["open", "done", "failed", "rejected", "overtaken"]
Judgement = Literal["right", "wrong"]
Found = Finding | Stuck
Tell = Callable[[str | None], None]
"""Called before the act, with what the log is to have of how it will be."""
Connection = psycopg.Connection[Any]


class CannotDo(Exception):
    """It does not fit the state of things; the sentence says why."""


class Proposal(msgspec.Struct, frozen=True):
    """
    What would be done about one row or saga. `rung` is that of its time; `actor`, `reason` and
    `decided_at` are None until somebody, or the supervisor, decided about it.
    """

    id: int
    subject: str
    rung: Rung
    finding: Found
    at: datetime
    state: State
    judgement: Judgement | None
    actor: str | None
    reason: str | None
    decided_at: datetime | None


class Standing(msgspec.Struct, frozen=True):
    """Where a subject is, and what it lacks for the rung above: None where it may climb."""

    subject: str
    rung: Rung
    since: datetime
    evidence: Evidence
    above: Rung | None
    lacking: str | None


def create_schema(tx: Connection) -> None:
    """Log and tables, where they are not there. Needs the right to create a schema."""
    if is_here(tx):
        return
    tx.execute(STATEMENTS["make_alone"])
    if not is_here(tx):
        tx.execute(STATEMENTS["schema"])
        tx.execute(log.STATEMENTS["schema"])


def standing(tx: Connection, subject: str) -> Standing:
    """A subject that nobody has heard of begins at manual."""
    tx.execute(STATEMENTS["add_subject"], [subject])
    return _standing(tx, subject)


def _standing(tx: Connection, subject: str) -> Standing:
    rung, since = _one(tx, "rung", subject)
    evidence = Evidence(*_one(tx, "evidence", subject))
    above = ladder.above(rung)
    lacking = ladder.lacking(rung, evidence) if above else None
    return Standing(subject, rung, since, evidence, above, lacking)


def is_here(tx: Connection) -> bool:
    """Whether the tables are there."""
    return bool(_one(tx, "present")[0])


def standings(tx: Connection, subjects: Sequence[str]) -> list[Standing]:
    """Of those that somebody has heard of; nothing is written."""
    known = tx.execute(STATEMENTS["known_subjects"], [list(subjects)]).fetchall()
    return [_standing(tx, subject) for (subject,) in known]


def move(tx: Connection, subject: str, wanted: Rung, actor: str, reason: str) -> None:
    """By a person's word. Raises CannotDo where the evidence is not there."""
    tx.execute(STATEMENTS["add_subject"], [subject])
    _one(tx, "hold_rung", subject)
    now = standing(tx, subject)
    if why := ladder.refusal(now.rung, wanted, now.evidence):
        raise CannotDo(f"{subject} stays at {now.rung}: {why}")
    if wanted != now.rung:
        _move(tx, subject, now.rung, wanted, actor, reason)


def demote(tx: Connection, subject: str, reason: str) -> None:
    """A rung down, without anybody."""
    (now,) = _one(tx, "hold_rung", subject)
    if (down := ladder.below(now)) != now:
        _move(tx, subject, now, down, ITSELF, reason)


def _move(tx: Connection, subject: str, before: Rung, after: Rung, actor: str, reason: str) -> None:
    body = msgspec.json.encode({"before": before, "after": after}).decode()
    log.append(tx, [Entry(subject, "rung", after, actor, reason, body)])
    tx.execute(STATEMENTS["move"], [after, subject])


def add_evidence(tx: Connection, subject: str, actor: str, reason: str) -> None:
    """A fault-injection run that was green."""
    tx.execute(STATEMENTS["add_subject"], [subject])
    tx.execute(STATEMENTS["add_run"], [subject])
    log.append(tx, [Entry(subject, "evidence", "", actor, reason)])


def propose(tx: Connection, subject: str, rung: Rung, finding: Found) -> tuple[int | None, bool]:
    """The open proposal, None where it was rejected before; and whether it is new."""
    asked = [subject, rung, msgspec.json.encode(finding).decode()]
    if made := tx.execute(STATEMENTS["propose"], asked).fetchone():
        body = _body(made[0], finding)
        log.append(tx, [Entry(subject, "proposed", "", ITSELF, finding.says, body)])
        return made[0], True
    found = tx.execute(STATEMENTS["open_like"], asked).fetchone()
    return (found[0] if found else None), False


def listed(
    tx: Connection, subjects: Sequence[str], *, also_decided: bool = False, limit: int = 50
) -> list[Proposal]:
    """The newest first; only those about which somebody has to say something, unless told so."""
    asked = {"id": None, "subjects": list(subjects), "all": also_decided, "limit": limit}
    return [_proposal(row) for row in tx.execute(STATEMENTS["proposals"], asked)]


def named(tx: Connection, subjects: Sequence[str], id_: int, *, hold: bool = False) -> Proposal:
    """Held, nobody else decides about it until the transaction's end. Raises CannotDo."""
    if hold:
        tx.execute(STATEMENTS["hold"], [id_])
    asked = {"id": id_, "subjects": list(subjects), "all": True, "limit": 1}
    found = tx.execute(STATEMENTS["proposals"], asked).fetchone()
    if found is None:
        raise CannotDo(f"there is no proposal {id_}")
    return _proposal(found)


def carry_out(
    tx: Connection,
    one: Proposal,
    actor: str,
    reason: str,
    do: Callable[[Found, Tell], str],
) -> str:
    """
    An open proposal, which must be held: `mended` or `overtaken`. Its line is written before the
    act. Raises CannotDo at a rung at which nothing is done, and what `do` raises.
    """
    (rung,) = _one(tx, "hold_rung", one.subject)
    if rung not in (("automatic",) if actor == ITSELF else ("approve", "automatic")):
        raise CannotDo(f"{one.subject} is at {rung}, where {actor} does nothing")
    tx.execute(STATEMENTS["decide"], ["done", actor, reason, one.id])

    def tell(after: str | None) -> None:
        body = _body(one.id, one.finding, before=one.finding.before, after=after)
        log.append(tx, [Entry(one.subject, one.finding.deed, "", actor, reason, body)])

    outcome = do(one.finding, tell)
    if outcome == "overtaken":
        close(tx, one, "overtaken", actor, reason)
    return outcome


def failed(tx: Connection, one: Proposal, actor: str, why: str) -> None:
    """The act was tried in vain: the subject goes down a rung."""
    _one(tx, "hold_rung", one.subject)  # before the log: everybody takes both in this order
    close(tx, one, "failed", actor, why)
    demote(tx, one.subject, f"proposal {one.id} failed: {why}")


def close(tx: Connection, one: Proposal, state: State, actor: str, reason: str) -> None:
    """With its line in the log."""
    body = _body(one.id, one.finding)
    log.append(tx, [Entry(one.subject, state, "", actor, reason, body)])
    tx.execute(STATEMENTS["decide"], [state, actor, reason, one.id])


def judge(tx: Connection, one: Proposal, judgement: Judgement, actor: str, reason: str) -> None:
    """
    Of a proposal at shadow, or of one that was done: was it, or would it have been, right? One that
    was wrong takes the subject down a rung. Raises CannotDo.
    """
    if one.judgement is not None:
        raise CannotDo(f"proposal {one.id} was judged {one.judgement} before")
    if one.state != "done" and one.rung != "shadow":
        raise CannotDo(f"proposal {one.id} is {one.state}: approve or reject it")
    _one(tx, "hold_rung", one.subject)
    body = _body(one.id, one.finding)
    log.append(tx, [Entry(one.subject, f"judged {judgement}", "", actor, reason, body)])
    tx.execute(STATEMENTS["judge"], [judgement, actor, reason, one.id])
    if judgement == "wrong":
        demote(tx, one.subject, f"proposal {one.id} was judged wrong: {reason}")


def _body(id_: int, finding: Found, **more: Any) -> str:
    """A row by its key and digests, a saga by its id: what is in them may be private."""
    return msgspec.json.encode({"proposal": id_, "finding": finding, **more}).decode()


def _proposal(row: tuple[Any, ...]) -> Proposal:
    id_, subject, rung, finding, *rest = row
    return Proposal(id_, subject, rung, msgspec.json.decode(finding, type=Found), *rest)


def _one(tx: Connection, name: str, *values: Any) -> tuple[Any, ...]:
    found: tuple[Any, ...] | None = tx.execute(STATEMENTS[name], values or None).fetchone()
    assert found is not None
    return found
