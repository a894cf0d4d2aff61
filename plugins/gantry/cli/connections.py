"""Airflow's connections, read by a command that no Airflow has started."""

from __future__ import annotations

import os
import sys


def prepare() -> None:
    """Let connections be found where Airflow itself finds them: environment, secrets backends, its database.

    Without this the task SDK leaves the database out, as it must for tasks; Airflow's own command line
    (`airflow connections test`) says the same to it. And Airflow's log, which would go to standard output between a
    command's own lines, is cut down to errors, on standard error.
    """
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    # Its import is what sets up the log, so only after it can the log be changed.
    from airflow.sdk import log  # noqa: PLC0415 - a second, for those who speak to Airflow

    log.configure_logging(log_level="ERROR", output=sys.stderr)
