"""Python objects that the pipeline's file names, like `billing.handlers:billing`."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from tailrace.exits import USAGE, Problem

T = TypeVar("T")


def load(name: str, kind: type[T], key: str) -> T:
    """
    The object of that name, which has to be a `kind`; modules are looked for in the working folder
    as well. `key` is where the file names it. Raises Problem (TR-EVT-050).
    """
    module, colon, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = import_module(module) if module and colon else None
    except Exception as error:  # whatever it does when it is imported
        raise _wrong(
            key, f"{module} cannot be imported ({type(error).__name__}: {error})"
        ) from error
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, kind):
        raise _wrong(key, f"{name} is no {kind.__name__}")
    return found


def _wrong(key: str, why: str) -> Problem:
    return Problem(
        "TR-EVT-050",
        f"{why}: {key} names it as package.module:attribute, found from the folder in which"
        " tailrace is started, or from PYTHONPATH.",
        exit_code=USAGE,
    )
