"""
Exit codes, and the one exception that a command ends with when a person can mend the cause.

    0 ok · 1 failed · 2 usage · 3 unhealthy · 4 plan not empty · 75 try again · 130 interrupted
"""

OK = 0
FAILED = 1
USAGE = 2
UNHEALTHY = 3
PLAN_NOT_EMPTY = 4
TRY_AGAIN = 75
INTERRUPTED = 130


class Problem(Exception):
    """
    What went wrong, why, and the next step, as whole sentences, with a stable code.

    `code` looks like `TR-SRC-004`; docs/errors.md explains each one.
    """

    def __init__(self, code: str, sentence: str, *, exit_code: int = FAILED) -> None:
        super().__init__(f"{sentence} [{code}]")
        self.code = code
        self.sentence = sentence
        self.exit_code = exit_code
