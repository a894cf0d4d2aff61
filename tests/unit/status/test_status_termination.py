"""The states of a deployment that is taken down."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import pytest

from gantry import inventory, names, plan, status
from gantry.plan import AgentState, DeploymentState, Phase, ServiceState
from gantry.status import TaskState, TaskView

APP, DB = names.ServiceName("app"), names.ServiceName("db")
GONE = inventory.Inventory(())


class Moment(Protocol):
    inventory: inventory.Inventory


def run(termination: plan.Plan, done: int, state: TaskState = TaskState.RUNNING) -> list[TaskView]:
    """The tasks when `done` steps have succeeded and the next one is in a state."""
    words = [*[TaskState.SUCCESS] * done, state]
    return [TaskView(step.id, state=word) for step, word in zip(termination, words, strict=False)]


def until(termination: plan.Plan, step: str) -> int:
    return [each.id for each in termination].index(step)


def test_a_termination_is_stopping_until_everything_is_gone(termination: plan.Plan, running: Moment) -> None:
    count = len(termination.steps)
    found = [
        status.deployment_status(
            termination,
            run(termination, done),
            running.inventory,
            run_ended=False,
            before=DeploymentState.RUNNING,
        )
        for done in range(count)
    ]
    assert [each.state for each in found] == [
        DeploymentState.RUNNING,  # it asks for confirmation
        DeploymentState.RUNNING,  # it waits for its turn
        DeploymentState.RUNNING,  # it asks the servers
        *[DeploymentState.STOPPING] * (count - 4),
        DeploymentState.STOPPED,  # only the last step's report is missing
    ]
    phases = list(dict.fromkeys(each.phase for each in found[3:-1]))
    assert phases[:2] == [Phase.START_PROXY, Phase.CONFIGURE_DEPENDENTS]
    assert (found[-1].phase, found[-1].failed) == (None, None)


def test_a_person_who_refuses_keeps_the_deployment_running(termination: plan.Plan, running: Moment) -> None:
    refused = [
        TaskView(step.id, state=TaskState.SUCCESS if step.id == "confirm" else TaskState.SKIPPED)
        for step in termination
    ]
    found = status.deployment_status(
        termination, refused, running.inventory, run_ended=True, before=DeploymentState.RUNNING
    )
    assert (found.state, found.failed) == (DeploymentState.RUNNING, None)
    assert found.service(APP) is ServiceState.RUNNING
    assert [tier.wanted for tier in found.tiers] == [1, 2, 1]


def test_a_server_that_does_not_answer_leaves_the_deployment_what_it_was(
    termination: plan.Plan, running: Moment
) -> None:
    tasks = run(termination, until(termination, "ask_servers"), TaskState.FAILED)
    found = status.deployment_status(
        termination, tasks, running.inventory, run_ended=True, before=DeploymentState.RUNNING
    )
    assert (found.state, found.failed) == (DeploymentState.RUNNING, None)


def test_services_stop_before_those_that_they_need(termination: plan.Plan, running: Moment) -> None:
    done = until(termination, "service-app.stop_service") + 1
    found = status.deployment_status(
        termination,
        run(termination, done),
        running.inventory,
        run_ended=False,
        before=DeploymentState.RUNNING,
    )
    assert (found.service(APP), found.service(DB)) == (ServiceState.STOPPED, ServiceState.RUNNING)
    assert set(found.agents.values()) == {AgentState.RUNNING}
    assert [tier.wanted for tier in found.tiers] == [0, 0, 0]


@pytest.mark.parametrize("known", [GONE, None], ids=["the cloud says so", "the cloud is not asked"])
def test_at_the_end_nothing_is_left(termination: plan.Plan, known: inventory.Inventory | None) -> None:
    tasks = run(termination, len(termination.steps))
    found = status.deployment_status(termination, tasks, known, run_ended=True)
    assert (found.state, found.phase) == (DeploymentState.STOPPED, None)
    assert found.agents == {}
    assert set(found.services.values()) == {ServiceState.STOPPED}
    assert [(tier.running, tier.wanted) for tier in found.tiers] == [(0, 0)] * 3


@pytest.mark.parametrize(
    ("step", "phase", "app"),
    [
        ("balancer-front.stop_proxy", Phase.START_PROXY, ServiceState.RUNNING),
        ("service-app.stop_service", Phase.CONFIGURE_DEPENDENTS, ServiceState.IMPAIRED),
        ("tier-database.terminate_servers", Phase.SCALE_UP, ServiceState.STOPPED),
    ],
)
def test_a_termination_that_failed_is_stopping_failed_at_its_phase(
    termination: plan.Plan, running: Moment, step: str, phase: Phase, app: ServiceState
) -> None:
    tasks = run(termination, until(termination, step), TaskState.FAILED)
    found = status.deployment_status(
        termination, tasks, running.inventory, run_ended=True, before=DeploymentState.RUNNING
    )
    assert (found.state, found.failed, found.phase) == (DeploymentState.STOPPING, phase, None)
    assert found.service(APP) is app


def test_servers_that_shut_down_are_no_longer_reached(termination: plan.Plan, running: Moment) -> None:
    falling = inventory.Inventory(
        tuple(
            dataclasses.replace(server, state=inventory.InstanceState.SHUTTING_DOWN)
            for server in running.inventory
        )
    )
    tasks = run(termination, len(termination.steps) - 2)
    found = status.deployment_status(termination, tasks, falling, run_ended=False)
    assert set(found.agents.values()) == {AgentState.UNREACHABLE}
    assert [tier.running for tier in found.tiers] == [0, 0, 0]


def test_what_a_failed_launch_left_behind_is_not_called_running(
    termination: plan.Plan, running: Moment
) -> None:
    asking = run(termination, 0, TaskState.AWAITING_INPUT)
    found = status.deployment_status(termination, asking, running.inventory, run_ended=False)
    assert found.state is DeploymentState.LAUNCHING
    assert found.service(APP) is ServiceState.PAUSED
