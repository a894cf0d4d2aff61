"""Preparation of this machine for the embedded cloud, by the demo's script."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
from collections.abc import Callable

from gantry.local import errors, resources

_LIBRARIES = ("docker", "moto", "werkzeug")


class LibrariesMissingError(errors.LocalCloudError):
    """The distribution was installed without the libraries of the embedded cloud."""

    def __init__(self, missing: list[str]) -> None:
        self.missing = missing
        super().__init__(
            f"the embedded cloud needs {', '.join(missing)}; "
            "install them with: pip install 'airflow-provider-gantry[local]'"
        )


class MachineNotReadyError(errors.LocalCloudError):
    """The machine could not be prepared."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(
            f"this machine is not ready for the embedded cloud (exit code {code}): "
            f"see above what {resources.SETUP_MACHINE} says. It needs Debian 12 and root; elsewhere a Docker Engine "
            "that runs, and the programs that it names"
        )


def require_libraries() -> None:
    """Raise LibrariesMissingError unless the extra `local` is installed."""
    missing = [each for each in _LIBRARIES if importlib.util.find_spec(each) is None]
    if missing:
        raise LibrariesMissingError(missing)


def prepare(say: Callable[[str], None]) -> None:
    """Install packages, start the Docker Engine, build the server images, unless already done.

    The script's commands and output are shown as they come.

    Raises:
        MachineNotReadyError: something is missing that it cannot install; it has said what.
    """
    say("this machine: packages, Docker Engine and server images (some minutes the first time)")
    # With an explicit shell: the script's executable mode may have been lost.
    done = subprocess.run(  # noqa: S603 - our own script
        ["/bin/sh", str(resources.SETUP_MACHINE)], stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode != 0:
        raise MachineNotReadyError(done.returncode)


def engine_runs() -> bool:
    """Return whether a Docker Engine answers."""
    # Only if the libraries are installed.
    from gantry.local.cloud import docker_engine  # noqa: PLC0415

    try:
        client = docker_engine.connect()
    except errors.EngineUnreachableError:
        return False
    with contextlib.closing(client):
        return True
