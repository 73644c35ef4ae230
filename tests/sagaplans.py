"""Plans of sagas in a line of text, for tests."""

from sagas.plan import Plan, PlannedStep

TOUR = "flight hotel car? pay!<flight,hotel,car tickets<pay"


def plan_of(text: str, *, tries: int = 1, parallel_undo: bool = False) -> Plan:
    """Like `TOUR`: `name` with `?` if optional, `!` if the pivot, then `<` and what it follows."""
    steps = []
    for word in text.split():
        head, _, after = word.partition("<")
        name = head.rstrip("?!")
        step = PlannedStep(
            name=name,
            action=f"{name}.act",
            after=tuple(after.split(",")) if after else (),
            pivot="!" in head,
            optional="?" in head,
            timeout_s=5,
            tries=tries,
            undo_tries=tries,
        )
        steps.append(step)
    plan = Plan(type="test", steps=tuple(steps), deadline_s=60, parallel_undo=parallel_undo)
    plan.check()
    return plan
