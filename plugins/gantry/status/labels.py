"""Labels of mapped task instances in Airflow, which name their servers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gantry import log_marks, names

_SEVERAL = re.compile(r"(?P<first>\S+) … (?P<last>\S+) \((?P<count>[0-9]{1,9})\)")
_NUMBER = re.compile(r"[0-9]{1,9}")
_MOST = 10_000
"""Maximum servers of a batch: more than any tier has. A label may come from elsewhere."""


def label(servers: Sequence[str]) -> str:
    """Return one name, or the first and the last of several."""
    if len(servers) <= 1:
        return "".join(servers)
    return f"{servers[0]} … {servers[-1]} ({len(servers)})"


def servers(text: str) -> tuple[names.ServerName, ...]:
    """Return the servers that an instance is named after.

    None if the label does not show them: Airflow labels an instance that has not begun by its number, and masks
    secrets; and a batch with gaps names only its first and last server.
    """
    if log_marks.MASK in text:
        return ()
    several = _SEVERAL.fullmatch(text)
    if several is not None:
        return _between(several["first"], several["last"], int(several["count"]))
    return () if not text or text.isdecimal() or len(text.split()) != 1 else (names.ServerName(text),)


def _between(first: str, last: str, count: int) -> tuple[names.ServerName, ...]:
    """Return the names from one to another, which differ in the slot's number; empty if their count differs."""
    if not 1 < count <= _MOST:
        return ()
    for number in _NUMBER.finditer(first):
        before, after = first[: number.start()], first[number.end() :]
        other = last[len(before) : len(last) - len(after)]
        if last != f"{before}{other}{after}" or not _NUMBER.fullmatch(other):
            continue
        if int(other) - int(number[0]) + 1 == count:
            width = len(number[0]) if number[0].startswith("0") else 0
            slots = range(int(number[0]), int(other) + 1)
            return tuple(names.ServerName(f"{before}{slot:0{width}}{after}") for slot in slots)
    return ()
