"""Text that was written elsewhere, and is shown in a terminal."""

from __future__ import annotations

import unicodedata

STAND_IN = "\N{MIDDLE DOT}"
"""What is shown instead of a harmful character."""

_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def is_harmful(character: str) -> bool:
    """Whether a terminal would obey a character, or turn text around at it, or cannot show it."""
    return unicodedata.category(character) in _HARMFUL
