"""A small deployment that is watched, and whose tier follows what a script on its servers says."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.airflow.stage import Launch, Stage, archive, eventually, probe

pytestmark = pytest.mark.airflow

NAME = "watched"
WATCH, SCALE = f"{NAME}.watch", f"{NAME}.scale"
LOAD = "/tmp/load"
HOLDING = "/enstratus/custom/bin/startService-pre"
MEASURE = f"#!/bin/sh\ncat {LOAD} 2>/dev/null || echo 50\n"
RULE = (
    "{check: probe, scale_out_above: 80, scale_in_below: 20, breach_period: 20s, cooldown: 40s, increment: 1}"
)


WHY = re.compile(
    r"only: probe (?P<load>\S+ [<>] \d+) for (?P<long>\d+) (?P<unit>s|min), (?P<servers>. → .) servers"
)


def definition(url: str) -> str:
    tier = f"servers: {{min: 1, max: 2}}, rule: {RULE}"
    # One test holds a launch in the middle of its configuration for as long as it takes.
    text = probe(NAME, url, configure="10m").replace("servers: 1", tier)
    return f"{text}\nwatch: {{every: 10s}}\n"


class Watching:
    """The looks at the deployment, each of which the clock has begun."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._logs: dict[str, str] = {}

    def told(self, *words: str, seconds: float = 180) -> Launch:
        """A look that begins from now on, and says all this."""
        since = datetime.datetime.now(tz=datetime.UTC)

        def look() -> Launch | None:
            for found in self.stage.api.runs(WATCH):
                if found.started is not None and datetime.datetime.fromisoformat(found.started) < since:
                    return None
                if found.is_over:
                    run = Launch(self.stage, WATCH, found.id)
                    if found.id not in self._logs:
                        self._logs[found.id] = run.task_log("watch")
                    if all(word in self._logs[found.id] for word in words):
                        return run
            return None

        try:
            return eventually(look, f"a look that says {words}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n" + "\n".join(list(self._logs.values())[-3:])) from error

    def scalings(self) -> list[str]:
        """The runs that have been triggered, the newest first."""
        return [each.id for each in self.stage.api.runs(SCALE)]

    def scaled(self, before: list[str]) -> Launch:
        """The next one, which has to succeed."""
        eventually(lambda: len(self.scalings()) > len(before), "a scaling")
        run = Launch(self.stage, SCALE, self.scalings()[0])
        run.succeeds()
        return run

    def asked(self, run: Launch) -> Any:
        """A scaling as Airflow shows it."""
        return self.stage.api.call("GET", f"/dags/{SCALE}/dagRuns/{run.run}")

    def load(self, load: int) -> None:
        """What all servers say from now on."""
        for machine in self.stage.machines(NAME).values():
            machine.sh(f"echo {load} >{LOAD}.new && mv {LOAD}.new {LOAD}")

    def servers(self) -> list[str]:
        return sorted(self.stage.machines(NAME))


def took(run: Launch) -> float:
    """Seconds that a look took."""
    task = run.instance("watch")
    assert task.started is not None
    assert task.ended is not None
    started, ended = (datetime.datetime.fromisoformat(each) for each in (task.started, task.ended))
    return (ended - started).total_seconds()


@pytest.fixture(scope="module")
def watching(stage: Stage) -> Iterator[Watching]:
    url = stage.upload("watched.tar.gz", archive({"enstratus-measure": MEASURE}))
    stage.define(NAME, definition(url))
    for dag in (SCALE, WATCH):
        stage.api.await_dag(dag)
    stage.launch(NAME).succeeds()
    yield Watching(stage)
    stage.scrap(NAME)


def test_looks_come_by_themselves_and_nothing_follows_from_a_load_that_is_right(watching: Watching) -> None:
    run = watching.told("1 of 1 servers answer", "probe 50, the mean of 1 of 1", "within the thresholds")
    assert run.instance("trigger_scale").state == "skipped"
    run = watching.told("within the thresholds")
    print(f"a look takes {took(run):.1f} s")
    assert watching.scalings() == []


def test_a_breach_that_lasts_scales_out_and_the_cooldown_holds(watching: Watching) -> None:
    watching.load(93)
    run = watching.scaled([])
    asked = watching.asked(run)
    why = WHY.fullmatch(asked["conf"]["reason"])
    assert why is not None, asked["conf"]["reason"]
    print(why[0])
    assert (why["load"], why["servers"], asked["conf"]["servers_only"]) == ("93 > 80", "1 → 2", 2)
    assert why["unit"] == "min" or int(why["long"]) >= 20
    assert asked["note"] == why[0]
    assert watching.servers() == ["only-1", "only-2"]
    watching.load(5)
    watching.told("the mean of 2 of 2 servers", "the cooldown ends at")


def test_a_low_load_scales_in_when_the_cooldown_is_over(watching: Watching) -> None:
    (out,) = watching.scalings()
    run = watching.scaled([out])
    asked, before = watching.asked(run), watching.asked(Launch(watching.stage, SCALE, out))
    why = WHY.fullmatch(asked["conf"]["reason"])
    assert why is not None, asked["conf"]["reason"]
    assert (why["load"], why["servers"], asked["conf"]["servers_only"]) == ("5 < 20", "2 → 1", 1)
    assert why["unit"] == "min" or int(why["long"]) >= 20
    waited = datetime.datetime.fromisoformat(asked["queued_at"]) - datetime.datetime.fromisoformat(
        before["end_date"]
    )
    assert waited >= datetime.timedelta(seconds=40)
    assert watching.servers() == ["only-1"]


def test_a_server_that_does_not_answer_is_told_and_fails_nothing(watching: Watching) -> None:
    machine = watching.stage.machine(NAME)
    # As a launch may have noted it. A watch that replaces nothing takes it away when the server answers.
    now = datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds")
    ec2 = watching.stage.cloud.client("ec2")
    ec2.create_tags(
        Resources=[machine.instance_id], Tags=[{"Key": "gantry:ailing-since", "Value": f"{now}/{now}"}]
    )
    machine.container.pause()
    try:
        run = watching.told(
            "0 of 1 servers answer",
            f"{NAME}-only-1 ({machine.instance_id}) has not answered since",
            "keeps its 1 servers",
        )
    finally:
        machine.container.unpause()
    assert run.instance("watch").state == "success"
    watching.told("1 of 1 servers answer")
    found = ec2.describe_instances(InstanceIds=[machine.instance_id])["Reservations"][0]["Instances"][0]
    assert "gantry:ailing-since" not in [each["Key"] for each in found["Tags"]]


def test_while_another_operation_is_at_work_nothing_is_decided(watching: Watching) -> None:
    machine = watching.stage.machine(NAME)
    machine.sh(
        f"printf '#!/bin/sh\\nuntil [ -e /tmp/go ]; do sleep 0.2; done\\n' >{HOLDING}; chmod 755 {HOLDING}"
    )
    launch = watching.stage.launch(NAME, redeploy=["probe"])
    launch.await_state("service-probe.configure", "running", "deferred")
    run = watching.told("nothing is measured or decided", f"{NAME} has been running")
    assert run.instance("trigger_scale").state == "skipped"
    machine.sh("touch /tmp/go")
    launch.succeeds()
