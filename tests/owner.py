"""The process of a test run that starts what all of its workers share, and ends it.

pytest's workers (pytest-xdist) are processes, and none of them may end what the others use. So the one that distributes
the tests is the owner; without workers it is the only one. Nothing is started before a test asks for it.
"""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
import threading
import traceback
from pathlib import Path

_FOLDER = "GANTRY_TESTS_SHARED"
"""The variable that tells workers the folder in which they find each other."""

WANTED, FOUND, FAILURE = "wanted", "found", "failure"
"""Files there: a test asks for what is shared; what it is; why it could not be started."""


def folder() -> Path:
    """Where the processes of this test run find each other."""
    return Path(os.environ[_FOLDER])


class Owner:
    """Starts what is shared in the background, as soon as a test asks for it."""

    def __init__(self) -> None:
        # One name for all test runs of this kind: `make clean` knows it.
        self._folder = Path(tempfile.mkdtemp(prefix="gantry-airflow-"))
        # PostgreSQL's own user has to get through to what is its own.
        self._folder.chmod(0o711)
        os.environ[_FOLDER] = str(self._folder)
        self._cloud = f"airflow-{os.getpid()}"
        self._over = threading.Event()
        self._starter = threading.Thread(target=self._start_when_asked, daemon=True)
        self._starter.start()

    def close(self) -> None:
        """End everything that was started."""
        self._over.set()
        self._starter.join()
        del os.environ[_FOLDER]
        try:
            if (self._folder / WANTED).exists():
                from tests.airflow import shared  # noqa: PLC0415 - seconds, for runs that need it

                shared.stop(self._folder, self._cloud)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start_when_asked(self) -> None:
        while not self._over.wait(0.1):
            if (self._folder / WANTED).exists():
                try:
                    from tests.airflow import shared  # noqa: PLC0415 - seconds, for runs that need it

                    self._tell(FOUND, pickle.dumps(shared.start(self._folder, self._cloud)))
                except BaseException:  # noqa: BLE001 - told where it is waited for
                    self._tell(FAILURE, traceback.format_exc().encode())
                return

    def _tell(self, name: str, content: bytes) -> None:
        """Complete or not at all."""
        draft = self._folder / f"{name}.draft"
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as stream:
            stream.write(content)
        draft.replace(self._folder / name)
