"""Which servers an instance of a mapped task works on, by what it is called in Airflow."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gantry import log_marks, names

_SEVERAL = re.compile(r"(?P<first>\S+) … (?P<last>\S+) \((?P<count>[0-9]{1,9})\)")
_NUMBER = re.compile(r"[0-9]{1,9}")
_MOST = 10_000
"""Servers of a batch: more than any tier has. A label is text that somebody else may have written."""


def label(servers: Sequence[str]) -> str:
    """One name, or the first and the last of several."""
    if len(servers) <= 1:
        return "".join(servers)
    return f"{servers[0]} … {servers[-1]} ({len(servers)})"


def servers(text: str) -> tuple[names.ServerName, ...]:
    """The servers that an instance is named after.

    None where that does not say it: Airflow calls one that has not begun by its number, and hides what is somebody's
    secret; and a batch that leaves out slots names only its first and last server.
    """
    if log_marks.MASK in text:
        return ()
    several = _SEVERAL.fullmatch(text)
    if several is not None:
        return _between(several["first"], several["last"], int(several["count"]))
    return () if not text or text.isdecimal() or len(text.split()) != 1 else (names.ServerName(text),)


def _between(first: str, last: str, count: int) -> tuple[names.ServerName, ...]:
    """The names from one to another, which differ in the slot's number; nothing if they are not so many."""
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
