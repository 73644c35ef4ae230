"""A question before what cannot be taken back."""

import typer


def confirm(what: str, yes: bool, code: str) -> None:
    """Go on only if somebody says so. Raises Problem (`code`) where nobody can be asked."""
    import sys

    from tailrace.exits import USAGE, Problem

    if yes:
        return
    if not sys.stdin.isatty():
        raise Problem(code, f"This would {what}: say --yes.", exit_code=USAGE)
    typer.confirm(f"This will {what}. Go on?", abort=True, err=True)
