"""Counts the processes that agent scripts make, and their processor time.

Commands run in a process namespace of their own, whose processes the kernel numbers one after the other: how far the
number has come says how many there were. The first process there is this very file (`main`), which everything falls to
that has lost its parent, so that detached runners of jobs are counted and waited for too.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_NEWEST = "/proc/sys/kernel/ns_last_pid"
_SECONDS = 120.0


@dataclasses.dataclass(frozen=True)
class Call:
    """A command, with what it gets on its standard input. `name`: calls of the same name are added up."""

    name: str
    command: tuple[str, ...]
    stdin: str = ""


@dataclasses.dataclass(frozen=True)
class Cost:
    """What calls of one name have taken: processes beside the first of each, and what they said."""

    forks: int
    out: str
    err: str
    codes: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Costs:
    """What calls have taken, by their names, and the processor time of all of them."""

    each: Mapping[str, Cost]
    seconds: float


def counted(calls: Sequence[Call], environment: Mapping[str, str], *, served: str = "") -> Costs:
    """Carry out one call after the other, each until all that it has begun has ended.

    Args:
        calls: what to carry out.
        environment: of all of them.
        served: the agent's `serve`, which takes them as orders; else each is a program of its own.
    """
    order = json.dumps({"calls": [dataclasses.astuple(each) for each in calls], "served": served})
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-ISs", __file__],
        input=order, env=dict(environment), capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    each: dict[str, Cost] = {}
    for name, forks, out, err, code in found["calls"]:
        before = each.get(name, Cost(0, "", "", ()))
        each[name] = Cost(before.forks + forks, before.out + out, before.err + err, (*before.codes, code))
    return Costs(each, found["seconds"])


# --- within the namespace ------------------------------------------------------------------------------------


def main() -> None:
    order = json.load(sys.stdin)
    served = _Served(order["served"]) if order["served"] else None
    found = []
    for name, command, stdin in order["calls"]:
        before = _newest()
        out, err, code = _ordered(served, command, stdin) if served else _run(command, stdin)
        _until_alone(served)
        # The program that is called is none of its own processes; an order is carried out by one that is.
        found.append((name, _newest() - before - (0 if served else 1), out, err, code))
    if served:
        served.end()
    times = os.times()
    json.dump({"calls": found, "seconds": times.children_user + times.children_system}, sys.stdout)


def _newest() -> int:
    return int(Path(_NEWEST).read_text())


def _run(command: Sequence[str], stdin: str) -> tuple[str, str, int]:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    return done.stdout, done.stderr, done.returncode


class _Served:
    """The agent's `serve`, as the control side speaks to it."""

    def __init__(self, program: str) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([program], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "serve\n"

    def end(self) -> None:
        self.process.communicate()


def _ordered(served: _Served, command: Sequence[str], stdin: str) -> tuple[str, str, int]:
    process = served.process
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    size = "-" if "follow" in command else str(len(stdin))
    words = " ".join("'" + each.replace("'", "'\\''") + "'" for each in command)
    process.stdin.write(f"END {size} {words}\n{stdin}")
    process.stdin.flush()
    said = []
    for stream in (process.stdout, process.stderr):
        lines: list[str] = []
        # What comes before may end without a line break.
        while "END " not in (line := stream.readline()):
            if not line:
                raise EOFError(f"{command}: {lines}")
            lines.append(line)
        rest, _, code = line.partition("END ")
        said.append("".join((*lines, rest)))
    return said[0], said[1], int(code)


def _until_alone(served: _Served | None) -> None:
    """Wait for those who have lost their parents."""
    known = {1} | ({served.process.pid} if served else set())
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        others = {int(each.name) for each in Path("/proc").glob("[0-9]*")} - known
        if not others:
            return
        for each in others:
            # Those of others are waited for by them.
            try:
                os.waitpid(each, os.WNOHANG)
            except ChildProcessError:
                continue
        time.sleep(0.005)
    raise TimeoutError(f"still there: {others}")


if __name__ == "__main__":
    main()
