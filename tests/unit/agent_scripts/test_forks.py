"""What a redeploy costs a server is above all how many processes its scripts make."""

from __future__ import annotations

import datetime
import os
import random
import subprocess

import pytest

from .counting import Call, counted
from .packing import SCRIPTS, tar
from .redeploy import redeploys
from .server import CUSTOMER, SERVICE, Server

REDEPLOY = {
    "marks": 3,
    "job open": 6,
    "put": 8,
    "withDownload": 50,
    "job close": 4,
    "checkService": 3,
    "putConfig": 18,
    "configureService": 17,
    "stopService": 14,
    "startService": 14,
    "awaitService": 16,
}
"""What each is allowed: of a job, one more than `benchmarks/script_cost.py` has counted."""


@pytest.fixture(autouse=True)
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("a process namespace of its own needs root")


def test_each_part_of_a_redeploy_makes_few_processes(server: Server) -> None:
    with redeploys(server) as several:
        several.redeploy()
        each = several.redeploy().each
    assert each.keys() == REDEPLOY.keys()
    assert {name: cost.forks for name, cost in each.items() if cost.forks > REDEPLOY[name]} == {}


def test_an_installation_over_an_earlier_one_makes_no_process_for_each_file_or_folder(server: Server) -> None:
    forks = []
    for count in (2, 60):
        files = {f"lib/{number}/{number}.txt": "text" for number in range(count)}
        archive = tar(server.root / "s.tar", {**SCRIPTS, **files})
        call = Call("install", (server.bin("installService"), SERVICE, CUSTOMER, "u1", str(archive)))
        costs = [counted([call], server.environment).each["install"] for _ in range(2)]
        assert [each.codes for each in costs] == [(0,), (0,)], costs
        forks.append(costs[1].forks)
    # One moves the files of a folder into the one that is there; nothing else is done folder by folder.
    assert forks[1] - forks[0] <= 58


def test_a_node_that_joins_or_leaves_makes_few_processes(server: Server) -> None:
    # A stand-in that is never asked successfully what it has loaded: so joining does all that it does, and undoes it.
    haproxy = server.script(
        "programs/haproxy", '[ "$1" != -v ] || echo "HAProxy version 2.6.12-1 2026/10/17"'
    )
    for service in ("a1", "a2"):
        folder = server.path(f"enstratus/ws/proxy/{service}")
        (folder / "nodes").mkdir(parents=True)
        (folder / "enstratus.cfg").write_text("port.1.publicPort=8080\nbalancedServices=a1,a2\n")
        (folder / "names").write_text(f"{service}.test\n")
        (folder / "nodes/10.0.0.9_80").write_text("10.0.0.9 80\n")
    calls = [
        Call("leave", (server.bin("stopProxy"), "10.0.0.9")),
        Call("join", (server.bin("startProxy"), "a1", "a1.test", "b.test", "10.0.0.1", "10.0.0.2", "80")),
    ]
    path = f"{haproxy.parent}:{server.environment['PATH']}"
    costs = counted(calls, server.environment | {"PATH": path, "GANTRY_PROXY_SECONDS": "0"}).each
    assert {name: each.codes for name, each in costs.items()} == {"leave": (0,), "join": (21,)}, costs
    assert "did not load the new configuration" in costs["join"].err
    assert (costs["leave"].forks <= 96, costs["join"].forks <= 141) == (True, True), costs


def test_what_an_order_has_not_read_is_none_of_the_next(server: Server) -> None:
    orders = "".join(
        f"W{number} {len(stdin)} {command}\n{stdin}"
        for number, (command, stdin) in enumerate(
            [("true", "a\nb\nc"), ("cat", "d\ne"), ("sh -c 'read -r x; echo $x'", "f\ng\n"), ("cat", "")]
        )
    )
    done = subprocess.run(
        [server.bin("serve")],
        input=orders,
        env=server.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "serve\nW0 0\nd\neW1 0\nf\nW2 0\nW3 0\n"


def test_the_journal_counts_the_calendar_itself(server: Server) -> None:
    chance = random.Random(1)
    edges = ("1970-01-01", "2000-02-28", "2000-02-29", "2000-03-01", "2024-02-29", "2027-01-01", "2100-03-01")
    seconds = [int(datetime.datetime.fromisoformat(f"{each}T23:59:59+00:00").timestamp()) for each in edges]
    seconds += [chance.randrange(2**32) for _ in range(200)]
    program = (
        '. "$0"; agent_clock() { UPTIME=7; GANTRY_CLOCK=7:$second; }; for second; do agent_journal line; done'
    )
    library = server.path("enstratus/lib/agent.sh")
    command = ["sh", "-euc", program, str(library), *map(str, seconds)]
    subprocess.run(command, env=server.environment, check=True)
    expected = [
        datetime.datetime.fromtimestamp(each, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for each in seconds
    ]
    assert [line.split()[0] for line in server.journal()] == expected


@pytest.mark.parametrize("clock", ["", "5", "0:5", "x:5", "5:x", "5:5:5", ":", "99999999999:5"])
def test_a_clock_that_is_old_or_none_is_not_gone_by(server: Server, clock: str) -> None:
    began = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    assert server.call("log", "line", GANTRY_CLOCK=clock).code == 0
    (line,) = server.journal()
    assert began <= datetime.datetime.fromisoformat(line.split()[0]) <= datetime.datetime.now(datetime.UTC)
