"""Safe display of foreign text in a terminal."""

from __future__ import annotations

import unicodedata

STAND_IN = "\N{MIDDLE DOT}"
"""Replacement for a harmful character."""

_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def is_harmful(character: str) -> bool:
    """Return whether a character controls the terminal, changes the text direction, or cannot be displayed."""
    return unicodedata.category(character) in _HARMFUL
