"""A server's clock: latencies are differences to it. Order and identity never are."""

from tailrace.doctor.check import Verdict, ok, warning
from tailrace.doctor.facts import Connect, Sink, Source

FAR_OFF_S = 1.0  # Connect's is known to half a second


def clock(server: Source | Connect | Sink) -> list[Verdict]:
    """The server's beside this machine's."""
    side = "ahead of" if server.ahead_s > 0 else "behind"
    said = f"{abs(server.ahead_s):.3f} s {side} this machine's"
    if abs(server.ahead_s) > FAR_OFF_S:
        return [
            warning(
                f"Its clock is {said}, so latencies are wrong by that much.", "chronyc makestep"
            )
        ]
    return [ok(said)]
