"""Python objects that a person names, as `package.module:attribute`."""

import sys
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from tailrace.exits import USAGE, Problem

T = TypeVar("T")


def named(text: str, kind: type[T]) -> T:
    """
    The object of that name; modules beside the working directory are found. Raises Problem
    (TR-EVT-001) with the file and line of an error in the module itself.
    """
    module, _, attribute = text.partition(":")
    if not module or not attribute:
        raise _problem(f"{text!r:.100} does not name an object like bank.events:contracts.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise _problem(f"{text}: there is no module {error.name} here.") from error
    except AttributeError as error:
        raise _problem(f"{text}: the module has no {attribute}.") from error
    if not isinstance(found, kind):
        raise _problem(f"{text} is a {type(found).__name__}, not a {kind.__name__}.")
    return found


def _problem(sentence: str) -> Problem:
    return Problem("TR-EVT-001", sentence, exit_code=USAGE)
