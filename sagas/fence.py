"""
The fence: what a participant knows of one step, and what it does about a command. Pure.

The answer to a command is always the fence's state after it, so whoever asks again, in whatever
order and however late, gets the same answer. An undo that finds nothing leaves VOIDED behind: the
action that comes after it is not run.
"""

from typing import Literal

Fence = Literal["DONE", "REFUSED", "UNDONE", "VOIDED"]
"""No row: the participant never heard of the step."""
Direction = Literal["do", "undo"]
Act = Literal["run the action", "run the undo", "nothing"]


def act_on(fence: Fence | None, direction: Direction, *, is_final: bool) -> tuple[Act, Fence]:
    """
    What to do, and the state afterwards. An action that is run may refuse instead: then the state
    is REFUSED. What has no undo (`is_final`) stays done.
    """
    if direction == "do":
        return ("run the action", "DONE") if fence is None else ("nothing", fence)
    if fence is None:
        return "nothing", "VOIDED"
    if fence == "DONE" and not is_final:
        return "run the undo", "UNDONE"
    return "nothing", fence
