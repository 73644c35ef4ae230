"""Text of unknown origin for a terminal: what would move its cursor is shown, not sent."""

import unicodedata


def plain(text: str) -> str:
    """With escapes for control characters, invisible ones, and changes of direction."""
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
