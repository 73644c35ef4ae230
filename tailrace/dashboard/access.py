"""
Who may look and who may act. No web framework in here: texts in, a `Visitor` or a `Refused` out.

A session is a signed cookie; the key is made anew at each start, which logs everybody out. A form
is believed only with the session's own token in it and from this very origin.
"""

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from urllib.parse import quote, unquote, urlsplit

COOKIE = "tailrace"
SESSION_S = 12 * 3600.0


class Role(IntEnum):
    """What somebody may do; each may also do what those below may."""

    NOBODY = 0
    VIEWER = 1
    OPERATOR = 2


@dataclass(frozen=True, slots=True)
class Visitor:
    """`name` is what they call themselves. `session` is their cookie; None with a bearer token."""

    role: Role
    name: str
    session: str | None = None


class Refused(Exception):
    """Why somebody may not do this; `status` as HTTP has it."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class Access:
    """
    Without `viewer_token` everybody who reaches the server may look: for loopback only, where
    the name that was asked for must be one of loopback's (else a page elsewhere could read it).
    """

    def __init__(self, operator_token: str, viewer_token: str | None, *, read_only: bool) -> None:
        self._operator_token = operator_token
        self._viewer_token = viewer_token
        self.read_only = read_only
        self._key = secrets.token_bytes(32)

    @property
    def is_open(self) -> bool:
        """Whether one may look without a token."""
        return self._viewer_token is None

    def check_host(self, host: str) -> None:
        """Raises Refused."""
        if self.is_open and not is_loopback(urlsplit(f"//{host}").hostname or ""):
            raise Refused(
                421, "This dashboard answers to 127.0.0.1 and localhost only; see viewer_token."
            )

    def login(self, token: str, name: str) -> str:
        """
        The cookie of a new session. Raises Refused.

        Wrong tokens are not counted: one of 16 characters is not guessed, and a lock would let any
        page that a browser has open shut out those who know it.
        """
        role = self._role_of(token)
        if role is Role.NOBODY:
            raise Refused(403, "That token is not known here.")
        name = " ".join(name.split())[:60]
        if not name:
            raise Refused(400, "Say who you are: the name stands in the log of actions.")
        text = f"{role.value}.{int(time.time() + SESSION_S)}.{quote(name, safe='')}"
        return f"{text}.{self._sign('session', text)}"

    def visitor(self, headers: Mapping[str, str]) -> Visitor:
        """By bearer token or cookie; somebody unknown may look if that is open."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            role = self._role_of(token.strip())
            if role is not Role.NOBODY:
                return Visitor(role, f"{role.name.lower()} token")
        session = _cookie(headers.get("cookie", ""))
        text, _, signature = session.rpartition(".")
        if text and _same(signature, self._sign("session", text)):
            role_value, until_s, name = text.split(".", 2)
            if int(until_s) > time.time():
                return Visitor(Role(int(role_value)), unquote(name), session)
        return Visitor(Role.VIEWER if self.is_open else Role.NOBODY, "")

    def may_act(self, visitor: Visitor) -> bool:
        """Whether pages should offer it."""
        return visitor.role is Role.OPERATOR and not self.read_only

    def form_token(self, visitor: Visitor) -> str:
        """What a form of this session has to carry."""
        return self._sign("form", visitor.session or "")

    def check_act(self, visitor: Visitor, headers: Mapping[str, str], form_token: str) -> None:
        """Whether this request may change something. Raises Refused."""
        if visitor.role < Role.OPERATOR:
            raise Refused(403, "To act, log in with the operator's token.")
        if self.read_only:
            raise Refused(403, "This dashboard was started with --read-only.")
        if visitor.session is None:
            return  # a bearer token is sent on purpose, never by a browser on its own
        if not _is_same_origin(headers):
            raise Refused(403, "The request did not come from a page of this dashboard.")
        if not _same(form_token, self.form_token(visitor)):
            raise Refused(403, "The form is from another session: open it again.")

    def _role_of(self, token: str) -> Role:
        if _same(token, self._operator_token):
            return Role.OPERATOR
        if self._viewer_token and _same(token, self._viewer_token):
            return Role.VIEWER
        return Role.NOBODY

    def _sign(self, what: str, text: str) -> str:
        return hmac.new(self._key, f"{what} {text}".encode(), hashlib.sha256).hexdigest()


def _same(one: str, other: str) -> bool:
    """In a time that tells nothing."""
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _cookie(header: str) -> str:
    """Whatever stands beside it: cookies of other servers on this machine come along."""
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return next((value for name, _, value in pairs if name == COOKIE), "")


def _is_same_origin(headers: Mapping[str, str]) -> bool:
    """Browsers say where a POST comes from; one that does not is not believed."""
    if "origin" in headers:
        return headers["origin"].partition("://")[2] == headers.get("host")
    return headers.get("sec-fetch-site") == "same-origin"
