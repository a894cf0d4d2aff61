"""A bookshop that grows by the clock and shrinks by hand while people visit it; nobody's request is lost."""

from __future__ import annotations

import collections
import contextlib
import datetime
import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Self

import pytest

from gantry.cli.queries import asset_state
from tests.airflow.shared import INCLUDE
from tests.airflow.shell import Gantry
from tests.airflow.stage import Launch, Machine, Stage, archive, eventually, without_chef

pytestmark = pytest.mark.airflow

SHOP = "scaled"
DAG = f"{SHOP}.scale"
FAILING = "/enstratus/custom/bin/stopProxy-pre"
NODES = "{% for each in peers %}{{ each.address }}{% if not loop.last %} {% endif %}{% endfor %}"


def shop(clock: str = "") -> str:
    """A bookshop with a service beside the application that is told its peers."""
    text = without_chef((INCLUDE / "bookshop" / "bookshop.yaml").read_text())
    beside = (
        "  beside:\n    id: a1003\n    tier: application\n    archive: s3://bookshop/beside.tar.gz\n"
        f"    custom: {{nodes: '{NODES}'}}\n\nload_balancers:"
    )
    text = text.replace("load_balancers:", beside).replace("bookshop\ndescr", f"{SHOP}\ndescr")
    return f"{text}\n{clock}"


class Visitors:
    """People who visit the shop all the time, each request on a connection of its own."""

    def __init__(self, address: str) -> None:
        self.served: collections.Counter[str] = collections.Counter()
        self.lost: list[str] = []
        self._address = address
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._visit) for _ in range(2)]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join()

    def _visit(self) -> None:
        # Not more than that: the machine has servers to start beside.
        while not self._over.wait(0.5):
            try:
                shop = http.client.HTTPConnection(self._address, timeout=60)
                with contextlib.closing(shop):
                    shop.request("GET", "/books.json?limit=3", headers={"Host": "shop.example.com"})
                    answer = shop.getresponse()
                    answer.read()
                if answer.status == http.HTTPStatus.OK:
                    self.served[str(answer.getheader("X-Served-By"))] += 1
                else:
                    self.lost.append(f"{answer.status}")
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))


@pytest.fixture(scope="module")
def visitors(stage: Stage) -> Iterator[Visitors]:
    stage.upload("beside.tar.gz", archive())
    stage.define(SHOP, shop())
    stage.api.await_dag(DAG)
    stage.launch(SHOP).succeeds()
    with Visitors(stage.address(SHOP, "proxy-1")) as found:
        yield found
    print(f"\n{sum(found.served.values())} requests served, {len(found.lost)} lost: {dict(found.served)}")
    stage.scrap(SHOP)


def newest(stage: Stage) -> Launch:
    return Launch(stage, DAG, next(iter(stage.api.runs(DAG))).id)


def took(run: Launch) -> str:
    """How long the steps of a farewell took."""
    steps = ("choose_servers", "balancer-front.release_nodes", "tier-application.retire_servers")
    found = {each.task_id: each for each in run.api.instances(run.dag, run.run) if each.task_id in steps}
    times = (
        (step, datetime.datetime.fromisoformat(each.ended) - datetime.datetime.fromisoformat(each.started))
        for step, each in found.items()
        if each.started and each.ended
    )
    return ", ".join(f"{step} {length.total_seconds():.1f} s" for step, length in times)


def granted(stage: Stage) -> list[str]:
    """Who may open the catalog, as the database itself says."""
    database = stage.machines(SHOP)["database-1"]
    socket = database.sh("find /mnt/services/a1001 -type s -name '*.sock' | head -1").strip()
    return database.sh(
        f"mariadb --socket={socket} -N -e \"select host from mysql.user where user='bookshop' order by host\""
    ).split()


def nodes(stage: Stage) -> list[str]:
    """Where HAProxy itself says that it sends to, now."""
    proxy = stage.machines(SHOP)["proxy-1"]
    said = proxy.sh(
        'python3 -c \'import socket; s=socket.socket(socket.AF_UNIX); s.connect("/run/haproxy/admin.sock");'
        's.sendall(b"show servers state\\n"); print(s.makefile().read())\''
    )
    lines = [line.split() for line in said.splitlines()[2:] if line.split()]
    return sorted(line[4] for line in lines)


def everybody_knows(stage: Stage, slots: tuple[int, ...]) -> dict[str, Machine]:
    """Database, balancer and peers know exactly these application servers."""
    machines = stage.machines(SHOP)
    names = [f"application-{slot}" for slot in slots]
    assert sorted(each for each in machines if each.startswith("application")) == names
    addresses = [stage.address(SHOP, each) for each in names]
    assert granted(stage) == sorted(addresses)
    assert nodes(stage) == sorted(addresses)
    for each in names:
        config = machines[each].sh("cat /mnt/services/a1003/cfg/enstratus.cfg")
        assert f"nodes={' '.join(addresses)}\n" in config, each
    return machines


def test_more_servers_come_by_the_clock(stage: Stage, visitors: Visitors) -> None:
    # What the clock said last is applied as soon as it is there: nobody waits for a minute that comes.
    now = datetime.datetime.now(tz=datetime.timezone(datetime.timedelta(hours=3)))
    before, last = now - datetime.timedelta(hours=2), now - datetime.timedelta(minutes=10)
    clock = (
        f"timezone: Etc/GMT-3\nscaling:\n"
        f'  - {{schedule: "{last.minute} {last.hour} * * *", servers: {{application: 4}}}}\n'
        f'  - {{schedule: "{before.minute} {before.hour} * * *", servers: {{application: 2}}}}\n'
    )
    unscheduled = stage.details(DAG)["timetable_summary"]
    stage.redefine(SHOP, shop(clock))
    begun = time.monotonic()
    stage.reparse(DAG, lambda: stage.details(DAG)["timetable_summary"] != unscheduled, "the clock's schedule")
    eventually(lambda: list(stage.api.runs(DAG)), "a scaling by the clock")
    print(f"the clock's run came after {time.monotonic() - begun:.0f} s")
    newest(stage).succeeds()
    print(f"and was over after {time.monotonic() - begun:.0f} s")
    everybody_knows(stage, (1, 2, 3, 4))
    assert eventually(lambda: len(visitors.served) == 4, "every server serves")
    assert visitors.lost == []
    stage.redefine(SHOP, shop())
    stage.reparse(DAG, lambda: stage.details(DAG)["timetable_summary"] == unscheduled, "no schedule")


def test_who_leaves_is_let_go_of_first_and_a_failed_release_goes_on_when_it_is_cleared(
    stage: Stage, visitors: Visitors, gantry: Gantry
) -> None:
    before = stage.machines(SHOP)
    before["proxy-1"].sh(
        f"mkdir -p /enstratus/custom/bin; printf '#!/bin/sh\\nexit 3\\n' >{FAILING}; chmod 755 {FAILING}"
    )
    failed = gantry("scale", SHOP, "application=3")
    assert failed.returncode == 1
    assert "balancer-front.release_nodes" in failed.stderr
    assert "stopProxy" in failed.stderr
    # Nobody has been cut off: it serves on, and may ask the database.
    assert len(nodes(stage)) == len(granted(stage)) == 4
    seen = json.loads(gantry("status", SHOP, "--from", "both", "--json").stdout)
    assert (seen["state"], seen["failed"]) == ("MAINTENANCE", True)
    assert any("application-4" in note and "leaves" in note for note in seen["notes"])
    before["proxy-1"].sh(f"rm {FAILING}")
    run = newest(stage)
    run.clear("balancer-front.release_nodes")
    run.succeeds()
    print(took(run))
    assert asset_state.state_of(stage.api, SHOP).records()[0].ended == (f"{SHOP}-application-4",)
    everybody_knows(stage, (1, 2, 3))
    assert visitors.lost == []
    ended = stage.cloud.client("ec2").describe_instances(InstanceIds=[before["application-4"].instance_id])
    assert ended["Reservations"][0]["Instances"][0]["State"]["Name"] == "terminated"
    assert before["database-1"].calls("revokeDatabaseAccess", "end") >= 1
    # Nothing that had no need to was restarted.
    assert all(before[f"application-{slot}"].calls("startService") >= 1 for slot in (1, 2, 3))
    for source in ("airflow", "both"):
        seen = json.loads(gantry("status", SHOP, "--from", source, "--json").stdout)
        assert seen["state"] == "RUNNING"
        assert seen["tiers"]["application"] == {"running": 3, "wanted": 3}


def test_a_launch_goes_on_with_a_scaling_that_died(stage: Stage, visitors: Visitors, gantry: Gantry) -> None:
    before = stage.machines(SHOP)
    before["proxy-1"].sh(f"printf '#!/bin/sh\\nexit 3\\n' >{FAILING}; chmod 755 {FAILING}")
    assert gantry("scale", SHOP, "application=2").returncode == 1
    before["proxy-1"].sh(f"rm {FAILING}")
    planned = gantry("plan", SHOP, "--json")
    removed = [each["name"] for each in json.loads(planned.stdout)["servers"] if each["action"] == "remove"]
    assert removed == [f"{SHOP}-application-3"]
    launch = stage.launch(SHOP)
    launch.succeeds()
    assert "stopProxy" in launch.task_log("tier-application.scale_up")
    after = everybody_knows(stage, (1, 2))
    assert {name: each.instance_id for name, each in after.items()} == {
        name: each.instance_id for name, each in before.items() if name != "application-3"
    }
    assert gantry("plan", SHOP).returncode == 0
    assert visitors.lost == []


def test_numbers_beyond_the_limits_and_tiers_of_one_number_are_refused(
    stage: Stage, visitors: Visitors, gantry: Gantry
) -> None:
    many = gantry("scale", SHOP, "application=7")
    assert many.returncode == 1
    assert "its limits are 2 to 6" in many.stderr
    fixed = gantry("scale", SHOP, "database=2")
    assert fixed.returncode == 1
    assert "unknown tier 'database'; there is application" in fixed.stderr
    assert visitors.lost == []
