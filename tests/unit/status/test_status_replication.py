"""A replicated service: its master runs while its replicants are still made."""

from __future__ import annotations

import pytest

from gantry import definition, names, plan, status
from gantry.plan import ServiceState
from gantry.status import TaskState, TaskView

TEXT = """\
deployment: shop
cloud: {region: eu-central-1}
launch_configurations: {debian: {image: ami-1, ssh: {connection: ssh}}}
tiers: {data: {launch_configuration: debian, servers: 3}}
services:
  db:
    id: a1
    tier: data
    archive: s3://shop/db.tar.gz
    order: ORDER
    replication: {connection: replication}
    datasources: {catalog: {dump: s3://shop/x.sql, connection: catalog}}
"""
DB = names.ServiceName("db")
SERVERS = tuple(names.ServerName(f"shop-data-{slot}") for slot in (1, 2, 3))
TIER = ("tier-data.scale_up", "tier-data.handshake", "tier-data.install_services")
ORDERS = {
    "datasource-first": ("service-db.install_datasources", "service-db.configure"),
    "configure-first": ("service-db.configure", "service-db.install_datasources", "service-db.restart"),
}


def states(order: str, tasks: list[TaskView], *, run_ended: bool = False) -> list[str]:
    found = status.deployment_status(
        plan.launch_plan(definition.loads(TEXT.replace("ORDER", order))), tasks, None, run_ended=run_ended
    )
    return [str(found.services[DB, server]) for server in SERVERS]


def done(*steps: str) -> list[TaskView]:
    return [TaskView(step, state=TaskState.SUCCESS) for step in steps]


def replicants(*states: TaskState) -> list[TaskView]:
    return [
        TaskView("service-db.configure_replicants", index, state, servers=(SERVERS[index],))
        for index, state in enumerate(states)
    ]


@pytest.mark.parametrize("order", ORDERS)
def test_replicants_wait_while_the_master_is_made_and_are_made_while_it_runs(order: str) -> None:
    *before, last = ORDERS[order]
    making = [*done(*TIER, *before), TaskView(last, state=TaskState.RUNNING)]
    assert states(order, making) == ["STARTING", "PAUSED", "PAUSED"]
    made = done(*TIER, *before, last)
    assert states(order, made) == ["RUNNING", "STARTING", "STARTING"]
    success, failed = TaskState.SUCCESS, TaskState.FAILED
    assert states(order, [*made, *replicants(success, success, TaskState.RUNNING)]) == [
        "RUNNING", "RUNNING", "STARTING",
    ]  # fmt: skip
    assert states(order, [*made, *replicants(success, failed, success)], run_ended=True) == [
        "RUNNING", "IMPAIRED", "RUNNING",
    ]  # fmt: skip
    assert states(order, [*made, *replicants(success, success, success)]) == ["RUNNING"] * 3


def test_a_failure_of_a_batch_of_replicants_says_nothing_against_the_master() -> None:
    together = TaskView("service-db.configure_replicants", 0, TaskState.FAILED, servers=SERVERS)
    found = states("datasource-first", [*done(*TIER, *ORDERS["datasource-first"]), together], run_ended=True)
    assert found == ["RUNNING", "IMPAIRED", "IMPAIRED"]


def test_a_master_that_failed_leaves_its_replicants_waiting() -> None:
    failed = TaskView("service-db.configure", state=TaskState.FAILED)
    tasks = [*done(*TIER, "service-db.install_datasources"), failed]
    assert states("datasource-first", tasks, run_ended=True) == [
        str(ServiceState.IMPAIRED), str(ServiceState.PAUSED), str(ServiceState.PAUSED),
    ]  # fmt: skip
