"""Airflow's connections, read by a command that no Airflow has started."""

from __future__ import annotations

import os
import sys

from gantry.rest import profiles


def prepare(profile: str | None = None) -> None:
    """Let connections be found where Airflow itself finds them: environment, secrets backends, its database.

    And in the environment file of a profile: of that name, or of the one that Airflow would be spoken to by. Raises
    UnknownProfileError where several keep connections, and neither a name nor the environment says which.

    Without this the task SDK leaves the database out, as it must for tasks; Airflow's own command line
    (`airflow connections test`) says the same to it. And Airflow's log, which would go to standard output between a
    command's own lines, is cut down to errors, on standard error.
    """
    profiles.use_environment(_profile(profile))
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    # Its import is what sets up the log, so only after it can the log be changed.
    from airflow.sdk import log  # noqa: PLC0415 - a second, for those who speak to Airflow

    log.configure_logging(log_level="ERROR", output=sys.stderr)


def _profile(name: str | None) -> profiles.Profile | None:
    try:
        return profiles.choose(name)
    except profiles.UnknownProfileError:
        if name is not None or profiles.CHOICE in os.environ:
            raise
        # Several, and none was chosen. Where none of them keeps connections, or others are said, that is no matter.
        if _are_elsewhere() or not any(each.environment_file for each in profiles.read().values()):
            return None
        raise


ELSEWHERE = ("AIRFLOW_CONN_", "AIRFLOW__SECRETS__BACKEND", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
"""How variables begin that say where connections are."""


def _are_elsewhere() -> bool:
    return any(each.startswith(ELSEWHERE) for each in os.environ)
