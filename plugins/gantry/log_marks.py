"""Lines in Airflow's logs that are Airflow's own marks: they fold other lines, or say that a task has failed."""

from __future__ import annotations

import re

FAILED = "Task failed with exception"
"""What stands before the error that a failed task ended with."""

GROUP = "::group::"
END = "::endgroup::"
MARKS = (GROUP, END)
SOURCES = f"{GROUP}Log message source details"
"""What begins the lines that say where a log was found."""

MASK = "***"
"""What Airflow shows in the place of a secret, also in the middle of a name."""


def may_show(shown: str, name: str) -> bool:
    """Whether a name stands there, as far as it can be seen: a part of it may be somebody's secret."""
    return re.fullmatch(".+".join(map(re.escape, shown.split(MASK))), name) is not None
