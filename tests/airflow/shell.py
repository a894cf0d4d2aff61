"""A person's shell: commands that are typed at the stage's Airflow."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from gantry.rest import profiles
from tests.airflow.stage import Stage

COMMAND = [sys.executable, "-m", "gantry"]

Gantry = Callable[..., subprocess.CompletedProcess[str]]
"""Types a command, word by word, and waits for its end. Keywords are further variables of the environment."""


def environ(stage: Stage, home: Path) -> dict[str, str]:
    """What a person's shell has: definitions, and a profile with everything else."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "AWS", "GANTRY"))
    }
    found = {
        **kept,
        "AIRFLOW_HOME": str(home / "airflow"),
        "GANTRY_PROFILES": str(home / "profiles.toml"),
        "GANTRY_DEFINITIONS": str(stage.definitions),
        "COLUMNS": "200",
    }
    connections = home / "stage.env"
    profiles.write_environment(
        connections, {key: value for key, value in stage.shop.environment.items() if "CHEF" not in key}
    )
    airflow = stage.airflow
    profile = profiles.Profile(
        "stage", airflow.url, username=airflow.user, password=airflow.password, environment_file=connections
    )
    profiles.write(profile, found)
    return found


def typing(environ: dict[str, str]) -> Gantry:
    """A shell; it prints what was typed and answered, for the report of a test that fails."""

    def call(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *words],
            env={**environ, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        print(f"$ gantry {' '.join(words)}  → {done.returncode}\n{done.stdout[-2500:]}{done.stderr[-2500:]}")
        return done

    return call
