"""Output of scripts in the task's log."""

from __future__ import annotations

from typing import Any

from gantry import names
from gantry.agent import jobs


def printer(log: Any, *, several: bool) -> jobs.Output:  # noqa: ANN401 - Airflow's loggers share no type
    """Return a callback that logs lines as they arrive, prefixed with the server if a task has several."""

    def output(server: names.ServerName, line: str) -> None:
        if several:
            log.info("[%s] %s", server, line)
        else:
            log.info("%s", line)

    return output
