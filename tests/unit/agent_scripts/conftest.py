from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .balancing import end
from .server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    # Not tmp_path: HAProxy's sockets need a path of less than 97 characters.
    root = Path(tempfile.mkdtemp(prefix="gantry-agent-"))
    yield Server.create(root)
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def need() -> dict[str, str]:
    """Programs that the tests of real servers' parts cannot do without: missing ones fail, they do not skip."""
    programs = {
        name: shutil.which(name, path="/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin") for name in PROGRAMS
    }
    missing = sorted(name for name, path in programs.items() if path is None)
    if missing:
        pytest.fail(
            f"not installed: {', '.join(missing)}. Run: apt-get install --no-install-recommends {' '.join(missing)}"
        )
    return {name: path for name, path in programs.items() if path is not None}


@pytest.fixture
def balancer(server: Server, need: dict[str, str]) -> Iterator[Server]:
    assert need
    yield server
    with contextlib.suppress(FileNotFoundError):
        end(server)


PROGRAMS = ("bzip2", "curl", "haproxy", "shellcheck", "unzip", "wget", "xz", "zstd")
