"""A launch that fails takes away what it has started, where the definition says so, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gantry import names
from gantry.state import kept_failures
from tests.airflow.stage import Stage, archive, probe

pytestmark = pytest.mark.airflow

CONFIGURE = "service-probe.configure"
REMOVE = "remove_new_servers"
Name = Callable[[str], str]

FAILS_ON_THE_SECOND = """#!/bin/sh
grep -q '^serverId=.*-2$' /mnt/services/a2001/cfg/enstratus.cfg && { echo "this one never starts"; exit 7; }
[ -e /tmp/probe-is-broken ] && { echo "not any more"; exit 8; }
touch /tmp/probe-runs
"""


def define(stage: Stage, name: str, start: str) -> None:
    url = stage.upload(f"{name}.tar.gz", archive({"enstratus-start": start}))
    text = probe(name, url).replace("servers: 1}", "servers: {min: 1, max: 2}}")
    stage.define(name, f"{text}on_failure: remove_new\n")


def start_with(stage: Stage, server: Any, tags: list[dict[str, str]]) -> None:
    """Start an instance like another one, with these tags."""
    specifications: Any = [{"ResourceType": "instance", "Tags": tags}]
    ec2 = stage.cloud.client("ec2")
    answer = ec2.run_instances(
        ImageId=server["ImageId"],
        InstanceType=server["InstanceType"],
        MinCount=1,
        MaxCount=1,
        TagSpecifications=specifications,
    )
    ids = [answer["Instances"][0]["InstanceId"]]
    ec2.get_waiter("instance_exists").wait(InstanceIds=ids, WaiterConfig={"Delay": 1})


def test_a_failed_first_launch_leaves_nothing_in_the_cloud(stage: Stage, scrapped: Name) -> None:
    name = scrapped("nothing-left")
    define(stage, name, "#!/bin/sh\necho 'never'; exit 7\n")
    launch = stage.launch(name)
    assert "startService a2001 failed with exit code 7" in launch.fails_at(CONFIGURE)
    failed = launch.instance(CONFIGURE)
    (failure,) = launch.api.failures(launch.dag, launch.run, failed.task_id, failed.map_index) or ()
    assert (failure.server, failure.script, failure.code) == (f"{name}-only-1", "startService", 7)
    assert "never" in failure.detail
    # It outlives the run, which Airflow's cleanup deletes in the end.
    kept = kept_failures.of_run(launch.api.asset_state(names.state(name)), "launch", launch.run)
    assert kept[failed.task_id, failed.map_index].failures == (failure,)
    assert list(stage.instances(name)) == []
    log = launch.task_log(REMOVE)
    assert f"failed: {CONFIGURE}" in log
    assert f"{name}-only-1: instance i-" in log
    assert "removed, this run started it" in log


def test_a_failed_launch_takes_away_its_own_servers_and_keeps_those_that_ran(
    stage: Stage, scrapped: Name
) -> None:
    name = scrapped("one-left")
    define(stage, name, FAILS_ON_THE_SECOND)
    first = stage.launch(name)
    first.succeeds()
    assert first.instance(REMOVE).state == "skipped"
    before = stage.machine(name)

    more = stage.launch(name, servers_only=2)
    more.fails_at(CONFIGURE)
    after = stage.machine(name)
    assert after.instance_id == before.instance_id
    assert after.calls("startService", "begin") == 1
    log = more.task_log(REMOVE)
    assert f"{name}-only-1: instance {before.instance_id}, running: kept, it ran before" in log
    assert f"{name}-only-2: instance i-" in log

    # What is left is a deployment like any other.
    again = stage.launch(name)
    again.succeeds()
    assert stage.machine(name).instance_id == before.instance_id

    # Weeks later, a person clears a step of the launch that started this server, and it fails.
    stage.machine(name).sh("touch /tmp/probe-is-broken && rm /tmp/probe-runs")
    first.clear(CONFIGURE)
    assert "startService a2001 failed with exit code 8" in first.fails_at(CONFIGURE)
    said = f"{name}-only-1: instance {before.instance_id}, running: kept, the deployment has been RUNNING with it"
    assert said in first.task_log(REMOVE)
    assert stage.machine(name).instance_id == before.instance_id

    # Somebody launches "more like this" in the cloud's console, and one more with tags that say nothing.
    (server,) = stage.instances(name)
    start_with(stage, server, server["Tags"])
    start_with(stage, server, [{"Key": "gantry:deployment", "Value": name}])
    gone = stage.terminate(name, force=True)
    gone.succeeds()
    assert list(stage.instances(name)) == []
    assert f"{name}-only-1: the instances " in gone.task_log("finish_termination")
