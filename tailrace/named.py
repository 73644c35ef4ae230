"""The user's own code, named as `module:attribute`, with their mistakes told as sentences."""

import contextlib
import importlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from tailrace.exits import USAGE, Problem

T = TypeVar("T")
_INSTALLED = ("site-packages", "dist-packages", "importlib", "<frozen")


def load(name: str, kind: type[T]) -> T:
    """
    What `module:attribute` names, which has to be a `kind`; modules of the working directory are
    found. What they print goes to stderr. Raises Problem.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module_name.split("."), attribute]):
        raise Problem(
            "TR-EVT-001",
            f"{name!r} does not name Python code; write it like shop.events:contracts.",
            exit_code=USAGE,
        )
    module = _module(module_name)
    if not hasattr(module, attribute):
        raise Problem("TR-EVT-003", f"{module_name} has no {attribute!r}{_have(module, kind)}.")
    found = getattr(module, attribute)
    if not isinstance(found, kind):
        raise Problem(
            "TR-EVT-004",
            f"{name} is of type {type(found).__name__}, and {kind.__name__} is needed"
            f"{_have(module, kind)}.",
        )
    return found


@contextlib.contextmanager
def users_code(doing: str) -> Iterator[None]:
    """
    Whatever the user's code raises inside becomes a Problem that says where; what it prints goes to
    stderr, so that stdout stays ours. `doing` is like "importing shop.events".
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (Problem, KeyboardInterrupt):
        raise
    except (Exception, SystemExit) as error:
        text = " ".join(str(error).split()) or "no more is said"
        raise Problem(
            "TR-EVT-005",
            f"{doing} failed at {_where(error)}: {type(error).__name__}: {text:.300}",
        ) from error


def _module(name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    with users_code(f"Importing {name}"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            # One that the user's module wants is their mistake inside it, with a line.
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            whole = "" if error.name == name else f" (there is no {error.name})"
            raise Problem(
                "TR-EVT-002",
                f"There is no module {name}{whole}, neither in {here} nor among what is installed"
                f" for {sys.executable}.",
            ) from None


def _have(module: Any, kind: type) -> str:
    fitting = sorted(name for name, value in vars(module).items() if isinstance(value, kind))
    return f"; of type {kind.__name__} it has {', '.join(fitting)}" if fitting else ""


def _where(error: BaseException) -> str:
    """The innermost line that is theirs: below it is what they called wrongly."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    ours = str(Path(__file__).parent.parent / "eventstore"), str(Path(__file__).parent)
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [
        frame
        for frame in frames
        if not frame.filename.startswith(ours)
        and not any(part in frame.filename for part in _INSTALLED)
    ]
    last = (theirs or frames)[-1]
    return f"{last.filename}:{last.lineno}"
