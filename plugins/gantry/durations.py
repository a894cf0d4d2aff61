"""Durations and ages as text, for pages, terminal and logs."""

from __future__ import annotations

import datetime

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_EXACT_BELOW = 10


def text(length: datetime.timedelta | None, *, exact: bool = True) -> str:
    """Format a duration in at most two units: `0.8 s`, `42 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`; empty for None.

    Fractions of a second are shown only if `exact`.
    """
    if length is None:
        return ""
    seconds = max(length.total_seconds(), 0.0)
    if exact and seconds < _EXACT_BELOW:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    if whole < _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return _two(whole, _DAY, "d", _HOUR, "h")


def _two(seconds: int, unit: int, name: str, smaller: int, smaller_name: str) -> str:
    rest = seconds % unit // smaller
    return f"{seconds // unit} {name} {rest} {smaller_name}" if rest else f"{seconds // unit} {name}"
