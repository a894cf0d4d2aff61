"""Gantry's steps on a hundred and on a thousand simulated servers: how time, CPU and memory grow.

    PYTHONPATH=.:plugins .venv/bin/python benchmarks/simulated.py --servers 100 1000 --fan-out 8

The servers are one process (`simulated_servers.py`) that answers at once. Its half of each connection costs as much CPU
as Gantry's, so on few cores much of the wall time is its own. Gantry's processes are those of `benchmarks/fleet.py`.

Exits 1 where `MaxStartups` has dropped a connection, where a process has held more connections than it has servers, or
where the CPU for each server grows by more than a half from the fewest servers to the most.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import ipaddress
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence

import asyncssh

from gantry.agent import ssh

_HERE = pathlib.Path(__file__).parent
_MOST_GROWTH = 1.5
Address = tuple[str, str, str, int]
"""A server, as orders name it."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run has taken, and what the servers have seen of it."""

    servers: int
    fan_out: int
    what: str
    seconds: float
    cpu: float
    memory: float
    lines: int
    seen: dict[str, int]

    @property
    def share(self) -> int:
        """Servers of the process that has the most."""
        return -(-self.servers // min(self.fan_out, self.servers))


@contextlib.contextmanager
def servers(count: int, lines: int) -> Iterator[tuple[list[Address], Callable[[], dict[str, int]]]]:
    """So many servers, as orders name them, and what asks them what they have seen."""
    command = [sys.executable, str(_HERE / "simulated_servers.py"), str(lines)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as behind:
        assert behind.stdin is not None
        assert behind.stdout is not None
        into, out = behind.stdin, behind.stdout
        began = json.loads(out.readline())

        def seen() -> dict[str, int]:
            print(file=into, flush=True)
            found: dict[str, int] = json.loads(out.readline())
            return found

        first = ipaddress.IPv4Address("127.1.0.0")
        yield (
            [
                (f"shop-{each}", str(first + each), began["host_key"], began["port"])
                for each in range(1, count + 1)
            ],
            seen,
        )
        into.close()


def simulate(
    count: int,
    fan_out: int,
    lines: int = 0,
    *,
    jump: bool = False,
    connect_seconds: float = ssh.CONNECT_TIMEOUT,
) -> Iterator[Run]:
    """A first release on so many servers, and the same once more.

    Args:
        count: how many servers.
        fan_out: how many processes for each step.
        lines: that each service prints when it starts.
        jump: whether the way to them goes through a host in front of them.
        connect_seconds: for one attempt to log in.
    """
    with (
        tempfile.TemporaryDirectory(prefix="gantry-simulated-") as folder,
        servers(count, lines) as (known, seen),
    ):
        key = pathlib.Path(folder, "key")
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(key)
        for what in ("redeploy", "nothing changed"):
            order = {
                "servers": known, "user": "deploy", "key": str(key), "url": "http://127.0.0.1/shop.tar.gz",
                "sha256": "0" * 64, "greeting": "hello", "fan_out": fan_out, "run": what.replace(" ", "-"),
                "handshake": False, "log": f"{folder}/{what}", "own_users": True,
                "connect_seconds": connect_seconds,
                "jump": ("jump", "127.0.0.1", *known[0][2:]) if jump else None,
            }  # fmt: skip
            ended = subprocess.run(
                [sys.executable, str(_HERE / "fleet_gantry.py")],
                input=json.dumps(order), stdout=subprocess.PIPE, text=True, check=True,
            )  # fmt: skip
            used = json.loads(ended.stdout)
            printed = len(pathlib.Path(folder, what).read_text().splitlines())
            yield Run(count, fan_out, what, used["seconds"], used["cpu"], used["memory"], printed, seen())


def findings(runs: Sequence[Run]) -> list[str]:
    """What is not as it should be."""
    wrong = []
    for each in runs:
        where = f"{each.servers} servers, {each.what}"
        if each.seen["dropped"]:
            wrong.append(f"{where}: MaxStartups has dropped {each.seen['dropped']} connections")
        if each.seen["open_by_user"] > each.share:
            wrong.append(
                f"{where}: a process held {each.seen['open_by_user']} connections for {each.share} servers"
            )
    for what in {each.what for each in runs}:
        same = sorted((each for each in runs if each.what == what), key=lambda each: each.servers)
        few, many = (each.cpu / each.servers for each in (same[0], same[-1]))
        if many > few * _MOST_GROWTH:
            grown = f"{many * 1000:.0f} ms of CPU for each of the most servers, and {few * 1000:.0f} ms of the fewest"
            wrong.append(f"{what}: {grown}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--fan-out", type=int, default=8)
    parser.add_argument("--lines", type=int, default=0, help="lines that each service prints when it starts")
    parser.add_argument("--jump", action="store_true", help="all connections go through a jump host")
    parser.add_argument(
        "--connect-seconds", type=float, default=ssh.CONNECT_TIMEOUT, help="for one attempt to log in"
    )
    asked = parser.parse_args()
    print(
        f"{'servers':>8} {'':16} {'wall s':>8} {'CPU s':>8} {'ms a server':>12} {'largest MiB':>12} "
        f"{'lines':>9} {'open a process':>15} {'open':>6} {'at one door':>12} {'dropped':>8}"
    )
    runs = []
    for count in asked.servers:
        for each in simulate(
            count, asked.fan_out, asked.lines, jump=asked.jump, connect_seconds=asked.connect_seconds
        ):
            runs.append(each)
            print(
                f"{each.servers:8} {each.what:16} {each.seconds:8.2f} {each.cpu:8.2f} "
                f"{each.cpu / each.servers * 1000:12.1f} {each.memory:12.0f} {each.lines:9} "
                f"{each.seen['open_by_user']:15} {each.seen['open']:6} {each.seen['logging_in']:12} "
                f"{each.seen['dropped']:8}",
                flush=True,
            )
    wrong = findings(runs)
    for line in wrong:
        print(line)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
