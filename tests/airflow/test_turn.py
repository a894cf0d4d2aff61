"""Operations of one deployment take turns, those of different deployments do not: on a real Airflow."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pytest

from gantry import overview
from gantry.cli.queries import asset_state
from gantry.rest import client
from gantry.state import run_records
from tests.airflow.stage import Launch, Stage, archive, eventually, probe

pytestmark = pytest.mark.airflow

CONFIGURE = "service-probe.configure"
STOP = "service-probe.stop_service"
TURN = "turn"
Name = Callable[[str], str]

HELD = """#!/bin/sh
# Until somebody lets go, or for three minutes.
number=0
while [ -e /tmp/hold ] && [ "$number" -lt 600 ]; do
    number=$((number + 1))
    sleep 0.3
done
"""
HELD_START = (
    HELD
    + """[ -e /tmp/break ] && { echo "it breaks"; exit 7; }
touch /tmp/probe-runs
"""
)
HELD_STOP = HELD + "rm -f /tmp/probe-runs\n"
CONFIGURED = '#!/bin/sh\ncp "$2" /tmp/configured-with\ntouch /tmp/hold\n'
"""From its configuration on, a service's start is held."""


def define(stage: Stage, name: str) -> None:
    """A deployment whose service is held when it starts and stops."""
    scripts = {
        "enstratus-configure": CONFIGURED,
        "enstratus-start": HELD_START,
        # A launch stops what it configures; only a termination finds it running, and is held.
        "enstratus-stop": f"#!/bin/sh\n[ -e /tmp/hold-stop ] || exit 0\n{HELD_STOP}",
    }
    url = stage.upload(f"{name}.tar.gz", archive(scripts))
    stage.define(name, probe(name, url, attend="2s", configure="240s"))


def is_held(launch: Launch) -> None:
    """Wait until a launch is at work, for as long as the test wants."""
    launch.await_state(CONFIGURE, "deferred")


def let_go(stage: Stage, name: str) -> None:
    stage.machine(name).sh("rm -f /tmp/hold")


def waits_for(launch: Launch, other: Launch) -> client.ApiTaskInstance:
    """The wait of a launch is deferred, and says for whom."""
    found = launch.await_state(TURN, "deferred")
    line = eventually(
        lambda: next((each for each in launch.log(found).splitlines() if "waiting: " in each), None),
        "the log to say for whom it waits",
    )
    assert f"waiting: {other.dag} has been running since " in line
    assert f", run {other.run}" in line
    return found


def times(launch: Launch, task: str) -> tuple[str, str]:
    """When a task began and ended, in ISO 8601."""
    found = launch.instance(task)
    assert found.started is not None
    assert found.ended is not None
    return found.started, found.ended


def test_a_termination_waits_for_the_launch_and_a_launch_of_another_deployment_does_not(
    stage: Stage, scrapped: Name
) -> None:
    name, other = scrapped("held"), scrapped("aside")
    define(stage, name)
    define(stage, other)
    launch = stage.launch(name, reason="the first one")
    is_held(launch)
    assert launch.instance(TURN).state == "success"
    assert "this run has the turn" in launch.task_log(TURN)
    took = [datetime.datetime.fromisoformat(each) for each in times(launch, TURN)]
    print(f"the task {TURN} took {(took[1] - took[0]).total_seconds():.2f} s with nobody else at work")

    terminate = stage.terminate(name)
    waits_for(terminate, launch)
    beside = stage.launch(other)
    is_held(beside)
    assert terminate.instance(TURN).state == "deferred"
    assert stage.api.run_state(name, launch.run) == "running"

    let_go(stage, name)
    launch.succeeds()
    terminate.succeeds()
    assert "this run has the turn" in terminate.task_log(TURN)
    assert times(terminate, STOP)[0] > times(launch, "finish_launch")[1]
    assert not list(stage.instances(name))
    let_go(stage, other)
    beside.succeeds()

    state = asset_state.state_of(stage.api, name)
    last, first = state.records()
    (told,) = state.facts_of(first)
    assert (told.service, told.server) == ("probe", f"{name}-only-1")
    assert told.handout.diff[0] == "--- /dev/null"
    assert any(line.startswith("+serviceId=") for line in told.handout.diff)
    # The servers are gone, and what ran there with them.
    assert overview.installed(state.kept) == {}
    assert (last.operation, last.run, last.result) == ("terminate", terminate.run, run_records.Result.SUCCESS)
    assert last.ended == (f"{name}-only-1",)
    assert (first.operation, first.run, first.result) == ("launch", launch.run, run_records.Result.SUCCESS)
    assert (first.by, first.reason) == (stage.airflow.user, "the first one")
    assert list(first.started) == [f"{name}-only-1"]
    assert list(first.versions) == ["probe"]
    assert "configure dependent services" in first.phases
    assert CONFIGURE in first.critical_path
    assert first.over is not None
    assert first.began < first.over


def test_a_failed_launch_holds_nobody_up_and_the_next_one_waits_for_the_termination(
    stage: Stage, scrapped: Name
) -> None:
    name = scrapped("broken")
    define(stage, name)
    launch = stage.launch(name)
    is_held(launch)
    machine = stage.machine(name)
    machine.sh("touch /tmp/break && rm /tmp/hold")
    assert "it breaks" in launch.fails_at(CONFIGURE)

    machine.sh("rm /tmp/break && touch /tmp/hold /tmp/hold-stop")
    terminate = stage.terminate(name)
    terminate.await_state(STOP, "running")
    assert "waiting: " not in terminate.task_log(TURN)

    # A step of the launch that failed is run anew, behind the launch's wait for its turn.
    before = machine.calls("startService")
    launch.clear(CONFIGURE)
    assert launch.ends() == "failed"
    refusal = launch.task_log(CONFIGURE)
    assert f"this run no longer has its turn: {name}.terminate has been running since" in refusal
    assert machine.calls("startService") == before, "\n".join(machine.journal())

    again = stage.launch(name)
    waits_for(again, terminate)
    machine.sh("rm /tmp/hold")
    terminate.succeeds()
    is_held(again)
    assert times(again, "tier-only.scale_up")[0] > times(terminate, "finish_termination")[1]
    let_go(stage, name)
    again.succeeds()
    past = [(each.operation, each.result.value) for each in asset_state.state_of(stage.api, name).records()]
    assert past == [("launch", "success"), ("terminate", "success"), ("launch", "failed")]
