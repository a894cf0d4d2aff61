"""pyinfra, ansible-core and Gantry's steps roll out the same service on the same servers, in turns.

    PYTHONPATH=.:plugins .venv/bin/python benchmarks/fleet.py --servers 20 --peers .work/peers

The service: download an archive, unpack it, put a configuration file, configure, stop, start, wait for the check. Each
tool first rolls out a first release, which is not measured; then a new one (redeploy), then the same one again (nothing
changed). Servers are containers with a real sshd. All tools log in as the same user, who may sudo, and know the host
keys.

Gantry's part is its steps on servers alone, in processes forked from one that has loaded what tasks need: what Airflow
takes to schedule and start tasks is not in it. pyinfra and ansible are their whole commands. The best of the rounds
counts.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence

from benchmarks import fleet_peers, fleet_servers

_HERE = pathlib.Path(__file__).parent
_FIRST, REDEPLOY, SAME = "first release", "redeploy", "nothing changed"
Tool = Callable[[fleet_servers.Release, str], "Used"]
"""Brings a release to all servers. The second argument is a name that no other run has."""


class FailedError(Exception):
    """A tool has not done what it was asked for."""


@dataclasses.dataclass(frozen=True)
class Used:
    """What a run has taken.

    Attributes:
        seconds: wall time.
        servers: seconds of processors on all servers.
        control: seconds of processors of the control side.
        memory: of its largest process, in MiB.
    """

    seconds: float
    servers: float
    control: float
    memory: float

    def over(self, other: Used) -> tuple[float, ...]:
        """Each as a multiple of another one's."""
        mine, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return tuple(one / max(two, 0.001) for one, two in zip(mine, theirs, strict=True))


def best(several: Sequence[Used]) -> Used:
    """The least of each."""
    return Used(*(min(each) for each in zip(*map(dataclasses.astuple, several), strict=True)))


class Tools:
    """What is compared.

    Args:
        fleet: the servers.
        peers: the other tools.
        folder: for logs.
        fan_out: Gantry's.
    """

    def __init__(
        self, fleet: fleet_servers.Fleet, peers: fleet_peers.Peers, folder: pathlib.Path, fan_out: int
    ) -> None:
        self._fleet = fleet
        self._peers = peers
        self._folder = folder
        self._fan_out = fan_out
        self._is_greeted = False

    def pyinfra(self, release: fleet_servers.Release, _: str) -> Used:
        command, environment = self._peers.pyinfra(release)
        return self._used("pyinfra", [str(_HERE / "usage.py"), *command], env=environment)

    def ansible(self, release: fleet_servers.Release, _: str) -> Used:
        command, environment = self._peers.ansible(release)
        return self._used("ansible", [str(_HERE / "usage.py"), *command], env=environment)

    def gantry(self, release: fleet_servers.Release, run: str) -> Used:
        order = {
            "servers": [(each.name, each.address, each.host_key, 22) for each in self._fleet.servers],
            "user": fleet_servers.USER,
            "key": str(self._fleet.key),
            "url": release.url,
            "sha256": release.sha256,
            "greeting": release.greeting,
            "fan_out": self._fan_out,
            "run": run,
            "handshake": not self._is_greeted,
            "log": str(self._folder / "gantry.lines"),
        }
        self._is_greeted = True
        lines = self._folder / "gantry.lines"
        before = lines.stat().st_size if lines.exists() else 0
        cost = self._used("gantry", [str(_HERE / "fleet_gantry.py")], stdin=json.dumps(order))
        said = lines.stat().st_size - before
        if bool(said) == run.endswith(SAME.replace(" ", "-")):
            raise FailedError(f"Gantry, {run}: what scripts have printed are {said} bytes")
        return cost

    def _used(
        self, name: str, command: Sequence[str], *, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> Used:
        return used(self._fleet, command, env, log=self._folder / f"{name}.log", stdin=stdin)


def used(
    servers: fleet_servers.Fleet,
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    *,
    log: pathlib.Path,
    stdin: str = "",
) -> Used:
    """What a Python program has used that prints it (`usage.py`). Raises FailedError, with the end of its log."""
    before = servers.cpu()
    with log.open("w") as said:
        ended = subprocess.run(
            [sys.executable, *command], input=stdin, stdout=subprocess.PIPE, stderr=said, text=True,
            env=env, check=False,
        )  # fmt: skip
    if ended.returncode != 0:
        raise FailedError(f"{log.stem} has failed ({ended.returncode}):\n{log.read_text()[-3000:]}")
    found = json.loads(ended.stdout)
    return Used(found["seconds"], servers.cpu() - before, found["cpu"], found["memory"])


def running(fleet: fleet_servers.Fleet, home: str, release: fleet_servers.Release) -> bool:
    """Whether a service runs on all servers, as this release configures it."""
    script = f'kill -0 "$(cat {home}/cfg/pid)" && grep -q "{release.greeting}" {home}/cfg/settings'
    return all(each.container.exec_run(["sh", "-c", script])[0] == 0 for each in fleet.servers)


def measured(
    tools: Mapping[str, tuple[Tool, str]],
    fleet: fleet_servers.Fleet,
    store: fleet_servers.Store,
    rounds: int,
) -> dict[str, dict[str, Used]]:
    """For each thing to do, what each tool has taken.

    Raises:
        FailedError: a tool says that it has failed, or the service does not run where it has been.
    """
    found: dict[str, dict[str, list[Used]]] = {REDEPLOY: {}, SAME: {}}
    for number in range(rounds + 1):
        # One tool after the other: two of Gantry's have the same folder.
        for name, (tool, home) in tools.items():
            release = store.release()
            for what in (REDEPLOY, SAME) if number else (_FIRST,):
                cost = tool(release, f"{release.number}-{what.replace(' ', '-')}")
                print(f"{name}, {what}: {cost}", file=sys.stderr, flush=True)
                if not running(fleet, home, release):
                    raise FailedError(
                        f"{name}, {what}: the service does not run on every server as configured"
                    )
                if what is not _FIRST:
                    found[what].setdefault(name, []).append(cost)
    return {what: {name: best(each) for name, each in by.items()} for what, by in found.items()}


def table(found: Mapping[str, Mapping[str, Used]], servers: int) -> list[str]:
    """What was measured, and in brackets as multiples of pyinfra's."""
    heads = ("wall s", "servers' CPU s", "control CPU s", "memory MiB")
    lines = [f"{f'{servers} servers':38}" + "".join(f"{each:>20}" for each in heads)]
    for what, by in found.items():
        lines.append(what)
        pyinfra = next(iter(by.values()))
        for name, used in by.items():
            cells = zip(dataclasses.astuple(used), used.over(pyinfra), strict=True)
            lines.append(
                f"  {name:36}" + "".join(f"{f'{value:.2f} ({ratio:.2f})':>20}" for value, ratio in cells)
            )
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--fan-out", type=int, nargs="+", default=[8], help="more than one are compared")
    parser.add_argument("--without-ansible", action="store_true", help="it takes most of the time")
    parser.add_argument(
        "--peers",
        type=pathlib.Path,
        help="an environment for pyinfra and ansible to keep; else it goes at the end",
    )
    asked = parser.parse_args()
    # So that the servers go with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gantry-fleet-")))
        fleet = stack.enter_context(fleet_servers.started(asked.servers, folder))
        archives = folder / "store"
        archives.mkdir()
        store = fleet_servers.Store(archives, fleet.gateway)
        stack.callback(store.close)
        environment = (asked.peers or folder / "peers").resolve()
        peers = fleet_peers.Peers(fleet, folder, environment, with_ansible=not asked.without_ansible)
        tools: dict[str, tuple[Tool, str]] = {}
        for fan_out in asked.fan_out:
            driven = Tools(fleet, peers, folder, fan_out)
            if not tools:
                tools[f"pyinfra {fleet_peers.PYINFRA}"] = (driven.pyinfra, "/opt/pyinfra")
                if not asked.without_ansible:
                    tools[f"ansible-core {fleet_peers.ANSIBLE}"] = (driven.ansible, "/opt/ansible")
            tools[f"Gantry's steps, fan_out {fan_out}"] = (driven.gantry, "/mnt/services/a4200")
        for line in table(measured(tools, fleet, store, asked.rounds), asked.servers):
            print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
