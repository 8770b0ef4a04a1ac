"""Text of strangers (names in files, answers of servers) as it may stand in a message."""

from __future__ import annotations


def printable(text: object, longest: int, instead: str = "?") -> str:
    """``text`` on one line, cut at ``longest`` characters; ``instead`` of each that cannot be shown."""
    return "".join(c if c.isprintable() else instead for c in str(text)[:longest])
