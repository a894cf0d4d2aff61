"""Airflow's connections, read by a command that Airflow has not started."""

from __future__ import annotations

import os
import sys

from gantry.rest import profiles


def prepare(profile: str | None = None) -> None:
    """Make connections available from where Airflow itself finds them: environment, secrets backends, its database.

    Also from a profile's environment file: of the given name, or of the profile that would be used for Airflow. Raises
    UnknownProfileError if several profiles have one, and neither a name nor the environment selects one.

    By default the task SDK ignores the database, as it must for tasks; this uses the same switch as Airflow's own
    command line (`airflow connections test`). Airflow's log, which would go to standard output between a command's own
    lines, is reduced to errors on standard error.
    """
    profiles.use_environment(_profile(profile))
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    # Its import sets up the log, so the log can only be changed afterwards.
    from airflow.sdk import log  # noqa: PLC0415 - a second, for those who speak to Airflow

    log.configure_logging(log_level="ERROR", output=sys.stderr)


def _profile(name: str | None) -> profiles.Profile | None:
    try:
        return profiles.choose(name)
    except profiles.UnknownProfileError:
        if name is not None or profiles.CHOICE in os.environ:
            raise
        # Several, and none was selected. This does not matter if none of them has connections, or if they come from
        # elsewhere.
        if _are_elsewhere() or not any(each.environment_file for each in profiles.read().values()):
            return None
        raise


ELSEWHERE = ("AIRFLOW_CONN_", "AIRFLOW__SECRETS__BACKEND", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
"""Prefixes of variables that provide connections."""


def _are_elsewhere() -> bool:
    return any(each.startswith(ELSEWHERE) for each in os.environ)
