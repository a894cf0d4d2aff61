"""Operations of one deployment take turns, those of different deployments do not: on a real Airflow."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gantry.rest import client
from tests.airflow.stage import Launch, Stage, archive, eventually, probe

pytestmark = pytest.mark.airflow

CONFIGURE = "service-probe.configure"
TURN = "turn"
Name = Callable[[str], str]

HELD_START = """#!/bin/sh
# Until somebody lets go, or for three minutes.
number=0
while [ -e /tmp/hold ] && [ "$number" -lt 600 ]; do
    number=$((number + 1))
    sleep 0.3
done
[ -e /tmp/break ] && { echo "it breaks"; exit 7; }
touch /tmp/probe-runs
"""
HELD_STOP = HELD_START.replace("touch", "rm -f")
CONFIGURED = '#!/bin/sh\ncp "$2" /tmp/configured-with\ntouch /tmp/hold\n'
"""From the first configuration on, a start and a stop are held."""


def define(stage: Stage, name: str) -> None:
    """A deployment whose service is held when it starts and stops."""
    scripts = {
        "enstratus-configure": CONFIGURED,
        "enstratus-start": HELD_START,
        "enstratus-stop": "#!/bin/sh\nrm -f /tmp/probe-runs\n",
    }
    stage.define(name, probe(name, stage.upload(f"{name}.tar.gz", archive(scripts)), attend="2s"))


def is_held(stage: Stage, name: str, launch: Launch) -> None:
    """Wait until a launch is at work, for as long as the test wants."""
    launch.await_state(CONFIGURE, "deferred", seconds=120)


def let_go(stage: Stage, name: str) -> None:
    stage.machine(name).sh("rm -f /tmp/hold")


def waits_for(launch: Launch, other: Launch) -> client.Instance:
    """The wait of a launch is deferred, and says for whom."""
    found = launch.await_state(TURN, "deferred")
    line = eventually(
        lambda: next((each for each in launch.log(found).splitlines() if "waiting: " in each), None),
        "the log to say for whom it waits",
    )
    assert f"waiting: {other.dag} is at work since " in line
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
    launch = stage.launch(name)
    is_held(stage, name, launch)
    assert launch.instance(TURN).state == "success"
    assert "it is this run's turn" in launch.task_log(TURN)

    terminate = stage.terminate(name)
    waits_for(terminate, launch)
    beside = stage.launch(other)
    is_held(stage, other, beside)
    assert terminate.instance(TURN).state == "deferred"
    assert stage.api.run_state(name, launch.run) == "running"

    let_go(stage, name)
    launch.succeeds()
    terminate.succeeds()
    assert "it is this run's turn" in terminate.task_log(TURN)
    assert times(terminate, "service-probe.stop_service")[0] > times(launch, "finish_launch")[1]
    assert not list(stage.instances(name))
    let_go(stage, other)
    beside.succeeds()
