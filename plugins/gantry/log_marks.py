"""Special lines in Airflow's logs: they fold other lines, or announce a failed task's error."""

from __future__ import annotations

import re

FAILED = "Task failed with exception"
"""The line before the error of a failed task."""

GROUP = "::group::"
END = "::endgroup::"
MARKS = (GROUP, END)
SOURCES = f"{GROUP}Log message source details"
"""The beginning of the lines that name a log's source."""

MASK = "***"
"""Airflow's replacement for a secret, even within a name."""


def may_show(shown: str, name: str) -> bool:
    """Return whether a text may be this name: a part of it may be masked as a secret."""
    return re.fullmatch(".+".join(map(re.escape, shown.split(MASK))), name) is not None
