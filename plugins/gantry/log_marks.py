"""Lines in Airflow's logs that are Airflow's own marks: they fold other lines, or say that a task has failed."""

from __future__ import annotations

FAILED = "Task failed with exception"
"""What stands before the error that a failed task ended with."""

GROUP = "::group::"
END = "::endgroup::"
MARKS = (GROUP, END)
SOURCES = f"{GROUP}Log message source details"
"""What begins the lines that say where a log was found."""
