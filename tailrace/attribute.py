"""Python objects of the user, named on the command line as `module:attribute`."""

import sys
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from tailrace.exits import USAGE, Problem

T = TypeVar("T")


def attribute(named: str, kind: type[T]) -> T:
    """
    The object, whose module may also lie in the current folder. Raises Problem (TR-EVT-021).
    """
    module, _, name = named.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise _refused(named, f"cannot be had: {error}") from error
    if not isinstance(found, kind):
        raise _refused(named, f"is a {type(found).__name__}, no {kind.__name__}")
    return found


def _refused(named: str, why: str) -> Problem:
    return Problem(
        "TR-EVT-021",
        f"{named!r:.100} {why}. Name it as module:attribute, like"
        " examples.bank.account:account, from a folder in which Python finds the module.",
        exit_code=USAGE,
    )
