"""A git server on this machine, which the machines of the cluster reach by network, and one repository on it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import socket
import subprocess
import time
from collections.abc import Iterator

from gantry.local.cluster import network

BUNDLE, FOLDER = "deployments", "dags-folder"
"""The bundle of the repository, and that of the DAG folder: Airflow's own name of it."""
_USER = ("-c", "user.name=ada", "-c", "user.email=ada@example.com")
_READY_SECONDS = 20.0


@dataclasses.dataclass(frozen=True)
class Repository:
    """A repository.

    Attributes:
        tree: where people change files.
        port: the server's.
    """

    tree: pathlib.Path
    port: int

    def settings(self) -> dict[str, str]:
        """Airflow's: the bundles, and where each machine keeps its copies."""
        host = next(network.NETWORK.hosts())
        bundles = [
            {
                "name": FOLDER,
                "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                "kwargs": {},
            },
            {
                "name": BUNDLE,
                "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
                "kwargs": {
                    "repo_url": f"git://{host}:{self.port}/origin.git",
                    "tracking_ref": "main",
                    "subdir": "dags",
                    "refresh_interval": 5,
                },
            },
        ]
        return {
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": "/opt/airflow/bundles",
        }

    def push(self, files: dict[str, str | None]) -> str:
        """Commit files below `dags`, None for one that is to go; return the commit."""
        for name, text in files.items():
            path = self.tree / "dags" / name
            path.parent.mkdir(exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
        self._git("add", "--all", ".")
        self._git(*_USER, "commit", "--quiet", "--message", "definitions")
        self._git("push", "--quiet", "origin", "HEAD:main")
        return self._git("rev-parse", "HEAD")

    def _git(self, *arguments: str) -> str:
        return subprocess.check_output(["git", *arguments], cwd=self.tree, text=True).strip()


@contextlib.contextmanager
def serving(folder: pathlib.Path) -> Iterator[Repository]:
    """Serve a repository with nothing but a note in it, until the end."""
    origin, tree = folder / "origin.git", folder / "tree"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", origin], check=True)
    subprocess.run(["git", "clone", "--quiet", origin, tree], check=True, stderr=subprocess.DEVNULL)
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    # It complains of each connection that asks for nothing, as the one below.
    daemon = subprocess.Popen(
        ["git", "daemon", "--export-all", f"--base-path={folder}", f"--port={port}", "--reuseaddr", folder],
        stderr=subprocess.DEVNULL,
    )
    try:
        found = Repository(tree, port)
        found.push({"README": "Definitions of deployments.\n"})
        _await_answer(port)
        yield found
    finally:
        daemon.terminate()
        daemon.wait()


def _await_answer(port: int) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"git daemon does not listen on port {port}")
        time.sleep(0.1)
