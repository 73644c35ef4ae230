"""Figures as people read them; what is not known is a ?, never 0."""


def number(value: int | None) -> str:
    """With thousands apart; ? where it is not known."""
    return "?" if value is None else f"{value:,}"


def rate(value: float | None) -> str:
    """A second, whole; ? where it is not known."""
    return "?" if value is None else f"{value:,.0f}/s"


def seconds(value: float | None) -> str:
    """A lag, as fine as it is short."""
    if value is None:
        return "?"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:,.1f} s"


def span(value: float) -> str:
    """A time that has passed or is left, in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if value >= 2 * size:
            return f"{value / size:.0f} {unit}"
    return f"{max(0.0, value):.0f} s"


def size(value: int | None) -> str:
    """Bytes, in the unit that suits them."""
    if value is None:
        return "?"
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if abs(value) >= 1 << shift:
            return f"{value / (1 << shift):,.1f} {unit}"
    return f"{value} B"
