"""Commands of a process that has loaded Airflow already: each is a fork of it, as tasks are forks of the scheduler.

`gantry plan` loads Airflow, its database models and the libraries for clouds and servers: seconds of a processor, while
all else that it does takes less than one. Where a module asks for two dozen plans, that is paid once.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[2]

Command = Callable[..., subprocess.CompletedProcess[str]]
"""Calls `gantry` with these words."""


@contextlib.contextmanager
def started(environment: Mapping[str, str], folder: Path) -> Iterator[Command]:
    """A process for commands that have this environment. What they say goes through files in the folder."""
    out, err = folder / "out", folder / "err"
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=ROOT,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        orders, codes = process.stdin, process.stdout

        def call(*words: str) -> subprocess.CompletedProcess[str]:
            print(json.dumps([str(out), str(err), *words]), file=orders, flush=True)
            code = int(codes.readline())
            return subprocess.CompletedProcess(list(words), code, out.read_text(), err.read_text())

        try:
            yield call
        finally:
            # It ends where there is nothing more to read.
            orders.close()


def serve() -> None:
    """Fork a command for each line of standard input; print its exit code."""
    _load()
    for line in sys.stdin:
        out, err, *words = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(out, err, words)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _load() -> None:
    """Load what `gantry plan` does, under the switch that it sets before (`gantry.cli.support.connections`)."""
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    from airflow.models.connection import Connection  # noqa: F401, PLC0415 - after the switch
    from sqlalchemy import orm  # noqa: PLC0415 - as above

    from gantry import warm_up  # noqa: PLC0415 - as above
    from gantry.cli.commands import plan  # noqa: F401, PLC0415 - as above
    from gantry.cli.output import plan_text  # noqa: F401, PLC0415 - as above
    from gantry.preview import dry_run  # noqa: F401, PLC0415 - as above

    warm_up.load()
    orm.configure_mappers()


def _become(out: str, err: str, words: list[str]) -> NoReturn:
    """Be a command, with an end of its own: nothing that the parent has opened is flushed or closed twice."""
    from gantry import cli  # noqa: PLC0415 - as above

    streams = ((os.devnull, os.O_RDONLY), (out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    for number, (path, flags) in enumerate((*streams, (err, streams[1][1]))):
        os.dup2(os.open(path, flags, 0o600), number)
    sys.argv = ["gantry", *words]
    code = 1
    try:
        cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:  # noqa: BLE001 - as Python does at the end of a process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
