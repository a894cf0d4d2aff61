"""Workers, triggerers and connections die in the middle of a script. The launch ends well, each script ran once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.airflow.stage import Launch, Machine, Stage, archive, eventually, probe

pytestmark = pytest.mark.airflow

CONFIGURE = "service-probe.configure"
Name = Callable[[str], str]

SLOW_START = """#!/bin/sh
echo begun >> /tmp/starts
number=0
while [ "$number" -lt 60 ]; do
    number=$((number + 1))
    echo "tick $number of 60"
    [ -e /tmp/hurry ] || sleep 0.5
done
touch /tmp/probe-runs
"""
"""Thirty seconds of output, or as fast as it goes once /tmp/hurry is there."""

BURST_AT_THE_END = f"{SLOW_START}seq -f 'last words %g' 300\n"
"""More than a triggerer reads of its triggers' lines in a second, just before the end."""


WAITING_START = """#!/bin/sh
echo begun >> /tmp/starts
number=0
while [ ! -e /tmp/hurry ] && [ "$number" -lt 1800 ]; do
    number=$((number + 1))
    sleep 0.2
done
touch /tmp/probe-runs
"""
"""Until /tmp/hurry is there."""


def follower(stage: Stage, launch: Launch) -> int | None:
    """The triggerer that has the task's trigger."""
    path = f"/dags/{launch.dag}/dagRuns/{launch.run}/taskInstances/{CONFIGURE}/0"
    found = stage.api.call("GET", path)["triggerer_job"]
    return None if found is None else int(found["id"])


def begin(stage: Stage, name: str, attend: str, script: str = SLOW_START) -> tuple[Launch, Machine]:
    """Launch a deployment whose service starts slowly; come back when its start script is running."""
    url = stage.upload(f"{name}.tar.gz", archive({"enstratus-start": script}))
    stage.define(name, probe(name, url, attend=attend, configure="120s"))
    launch = stage.launch(name)
    launch.await_state(CONFIGURE, "running", "deferred")
    machine = stage.machine(name)
    eventually(lambda: "starts" in machine.sh("ls /tmp") or None, "the start script to run")
    return launch, machine


def followed(machine: Machine) -> None:
    """Wait until somebody is connected: the worker, or the triggerer once it has taken over."""
    eventually(lambda: "sshd: launcher" in machine.sh("ps -eo args") or None, "somebody to follow the script")


def ended_well(launch: Launch, machine: Machine) -> None:
    """The launch succeeded, and the server's own journal knows of one call of each script."""
    machine.sh("touch /tmp/hurry")
    launch.succeeds()
    assert machine.sh("cat /tmp/starts") == "begun\n"
    for script in ("withDownload", "installService", "configureService", "stopService", "startService"):
        assert (machine.calls(script, "begin"), machine.calls(script, "end")) == (1, 1), script
    assert machine.secrets_in_transit() == []


def test_a_worker_killed_while_a_script_runs_changes_nothing_on_the_server(
    stage: Stage, scrapped: Name
) -> None:
    name = scrapped("worker-dies")
    launch, machine = begin(stage, name, attend="60s")
    stage.kill_workers(launch, CONFIGURE)
    eventually(lambda: launch.instance(CONFIGURE).try_number > 1 or None, "the task to be tried again")
    ended_well(launch, machine)


def test_a_shutdown_and_a_frozen_triggerer_are_no_verdict(stage: Stage, scrapped: Name) -> None:
    name = scrapped("no-verdict")
    url = stage.upload("waits.tar.gz", archive({"enstratus-start": WAITING_START}))
    stage.define(name, probe(name, url, attend="200s", configure="400s"))
    launch = stage.launch(name)
    launch.await_state(CONFIGURE, "running")
    machine = stage.machine(name)
    eventually(lambda: "starts" in machine.sh("ls /tmp") or None, "the start script to run")
    followed(machine)

    # The worker is shut down: the triggerer continues to follow them, and no try is lost.
    stage.shut_down_worker(launch, CONFIGURE)
    launch.await_state(CONFIGURE, "deferred")
    assert "the scripts on the servers keep running" in launch.task_log(CONFIGURE)

    # A triggerer freezes, another one takes its trigger, and the first one wakes up.
    first = eventually(lambda: follower(stage, launch), "a triggerer to follow")
    thaw = stage.freeze("triggerer")
    try:
        stage.start_triggerer()
        eventually(lambda: follower(stage, launch) not in (None, first) or None, "another triggerer")
    finally:
        thaw()
    eventually(
        lambda: "the task continues in another process" in launch.task_log(CONFIGURE) or None,
        "the first triggerer to hear that it has lost its trigger",
    )
    assert launch.instance(CONFIGURE).state == "deferred"
    ended_well(launch, machine)
    assert launch.instance(CONFIGURE).try_number == 1


def test_work_longer_than_the_attend_time_ends_in_the_triggerer_with_its_whole_log(
    stage: Stage, scrapped: Name
) -> None:
    name = scrapped("deferred")
    launch, machine = begin(stage, name, attend="2s", script=BURST_AT_THE_END)
    launch.await_state(CONFIGURE, "deferred")
    machine.sh("touch /tmp/hurry")
    launch.succeeds()
    log = launch.task_log(CONFIGURE)
    ticks = [line.rpartition("tick ")[2] for line in log.splitlines() if "tick " in line]
    assert ticks == [f"{number} of 60" for number in range(1, 61)]
    last = [line.rpartition("last words ")[2] for line in log.splitlines() if "last words " in line]
    assert last == [str(number) for number in range(1, 301)]
    assert f"deployment {name} is RUNNING" in launch.task_log("finish_launch")
    assert launch.instance(CONFIGURE).try_number == 1


@pytest.mark.alone
def test_a_triggerer_killed_while_a_script_runs_changes_nothing_on_the_server(
    stage: Stage, scrapped: Name
) -> None:
    name = scrapped("triggerer-dies")
    launch, machine = begin(stage, name, attend="2s")
    launch.await_state(CONFIGURE, "deferred")
    stage.kill_triggerer()
    ended_well(launch, machine)
    assert launch.instance(CONFIGURE).try_number == 1


@pytest.mark.parametrize("attend", ["60s", "2s"], ids=["worker", "triggerer"])
def test_a_connection_cut_in_the_middle_of_a_script_loses_no_line(
    stage: Stage, scrapped: Name, attend: str
) -> None:
    name = scrapped(f"cut-{attend[:-1]}")
    launch, machine = begin(stage, name, attend=attend)
    if attend == "2s":
        launch.await_state(CONFIGURE, "deferred")
    for _ in range(2):
        eventually(
            lambda: "sshd: launcher" in machine.sh("ps -eo args") or None, "somebody to follow the script"
        )
        # The processes of the sessions, not the server that takes new ones.
        machine.sh("pkill -KILL -f '^sshd: [a-z]' || true")
    ended_well(launch, machine)
    log = launch.task_log(CONFIGURE)
    ticks = [line.rpartition("tick ")[2] for line in log.splitlines() if "tick " in line]
    assert ticks == [f"{number} of 60" for number in range(1, 61)]
    assert "connecting again" in log
    assert launch.instance(CONFIGURE).try_number == 1


@pytest.mark.parametrize("attend", ["60s", "2s"], ids=["worker", "triggerer"])
def test_marking_the_task_failed_ends_the_remote_processes(stage: Stage, scrapped: Name, attend: str) -> None:
    name = scrapped(f"marked-{attend[:-1]}")
    # It does not end by itself: the first question of a busy triggerer takes a while.
    launch, machine = begin(stage, name, attend=attend, script=WAITING_START)
    if attend == "2s":
        launch.await_state(CONFIGURE, "deferred")
    followed(machine)
    stage.api.call(
        "PATCH",
        f"/dags/{name}/dagRuns/{launch.run}/taskInstances/{CONFIGURE}/0",
        json={"new_state": "failed"},
    )
    eventually(lambda: "enstratus-start" not in machine.sh("ps -eo args") or None, "the script to be ended")
    assert launch.ends() == "failed"
    assert "the task was marked as failed: ending what runs on the servers" in launch.task_log(CONFIGURE)
    assert machine.secrets_in_transit() == []
    machine.sh("touch /tmp/hurry")
    launch.clear(CONFIGURE)
    launch.succeeds()
    assert machine.calls("configureService") == 1
    assert machine.calls("startService") == 2


def test_a_cleared_step_that_had_succeeded_runs_anew(stage: Stage, scrapped: Name) -> None:
    name = scrapped("cleared")
    url = stage.upload("cleared.tar.gz", archive())
    stage.define(name, probe(name, url))
    launch = stage.launch(name, redeploy=["probe"])
    launch.succeeds()
    machine = stage.machine(name)
    assert machine.calls("startService") == 1
    launch.clear(CONFIGURE)
    launch.succeeds()
    assert machine.calls("startService") == 2
