"""A launch of a deployment that runs already: whatever it has not touched stays as it was."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Protocol

import pytest

from gantry import inventory, names, plan, status
from gantry.plan import AgentState, DeploymentState, ServiceState
from gantry.status import TaskState, TaskView

APP, DB = names.ServiceName("app"), names.ServiceName("db")


class Moment(Protocol):
    """What the fixtures hand out; see conftest."""

    tasks: tuple[TaskView, ...]
    inventory: inventory.Inventory
    run_ended: bool


def test_a_redeploy_is_maintenance_until_it_ends(
    launch: plan.Plan, composed: tuple[Moment, ...], running: Moment
) -> None:
    states = [
        status.deployment_status(
            launch,
            moment.tasks,
            older(running.inventory),
            run_ended=moment.run_ended,
            before=DeploymentState.RUNNING,
        ).state
        for moment in composed
    ]
    assert [state for state, _ in itertools.groupby(states)] == [
        DeploymentState.RUNNING,
        DeploymentState.MAINTENANCE,
        DeploymentState.RUNNING,
    ]


def test_a_redeploy_leaves_running_what_it_has_not_touched(
    launch: plan.Plan, composed: tuple[Moment, ...], running: Moment
) -> None:
    def at(number: int) -> status.DeploymentStatus:
        moment = composed[number]
        return status.deployment_status(
            launch, moment.tasks, older(running.inventory), run_ended=False, before=DeploymentState.RUNNING
        )

    assert set(at(2).agents.values()) == {AgentState.RUNNING}
    assert (at(2).service(APP), at(2).service(DB)) == (ServiceState.RUNNING, ServiceState.RUNNING)
    assert (at(8).service(APP), at(8).service(DB)) == (ServiceState.RUNNING, ServiceState.STARTING)


def test_a_launch_that_finds_nothing_changed_leaves_everything_running_whatever_was_before(
    launch: plan.Plan, running: Moment
) -> None:
    ends = {"turn", "find_lost", "finish_launch"}
    tasks = tuple(
        TaskView(each.id, state=TaskState.SUCCESS if each.id in ends else TaskState.SKIPPED)
        for each in launch
    )
    for before in (DeploymentState.RUNNING, DeploymentState.LAUNCHING):
        found = status.deployment_status(launch, tasks, running.inventory, run_ended=True, before=before)
        assert (found.state, found.failed) == (DeploymentState.RUNNING, None)
        assert set(found.agents.values()) == {AgentState.RUNNING}
        assert (found.service(APP), found.service(DB)) == (ServiceState.RUNNING, ServiceState.RUNNING)
        assert status.Progress.LEFT_OUT not in found.steps.values(), "they are not lacking"


def test_steps_that_have_nothing_to_do_are_neither_lacking_nor_waited_for(
    launch: plan.Plan, running: Moment
) -> None:
    """What `find_lost` has skipped counts as done, from the moment on in which it has."""
    works = {"service-app.update", "service-app.configure", "balancer-front.start_proxy"}
    ups = {step.id for step in launch if step.kind is plan.StepKind.SCALE_UP}
    runs = {"turn", "find_lost", "finish_launch", *ups, *works}

    def at(done: set[str]) -> status.DeploymentStatus:
        tasks = tuple(
            TaskView(
                step.id,
                state=TaskState.SKIPPED
                if step.id not in runs
                else TaskState.SUCCESS
                if step.id in done
                else TaskState.NONE,
            )
            for step in launch
        )
        return status.deployment_status(
            launch,
            tasks,
            older(running.inventory),
            run_ended=done == runs,
            before=DeploymentState.RUNNING,
        )

    for done in ({"turn", "find_lost"}, {"turn", "find_lost", *ups}, runs - {"finish_launch"}):
        found = at(done)
        assert set(found.agents.values()) == {AgentState.RUNNING}
        assert found.service(DB) is ServiceState.RUNNING
        assert status.Progress.LEFT_OUT not in found.steps.values()
    assert at(runs - {"finish_launch"}).service(APP) is ServiceState.RUNNING
    assert (at(runs).state, at(runs).failed) == (DeploymentState.RUNNING, None)


def test_a_step_that_a_person_skips_after_others_have_worked_is_lacking(
    launch: plan.Plan, running: Moment
) -> None:
    tasks = tuple(
        TaskView(each.id, state=TaskState.SKIPPED if each.id == "service-db.configure" else TaskState.SUCCESS)
        for each in launch
    )
    found = status.deployment_status(launch, tasks, running.inventory, run_ended=True)
    assert found.steps["service-db.configure"] is status.Progress.LEFT_OUT
    assert found.state is not DeploymentState.RUNNING


@pytest.mark.parametrize("last", ["find_lost", "tier-application.scale_up", "tier-application.handshake"])
def test_what_airflow_skips_in_a_run_that_a_person_ends_is_lacking(
    launch: plan.Plan, running: Moment, last: str
) -> None:
    """Airflow skips all that is not over then, or when `dagrun_timeout` has passed: also the last step."""
    steps = [step.id for step in launch]
    over = steps[: steps.index(last) + 1]
    tasks = tuple(
        TaskView(each, state=TaskState.SUCCESS if each in over else TaskState.SKIPPED) for each in steps
    )
    found = status.deployment_status(
        launch, tasks, running.inventory, run_ended=True, before=DeploymentState.LAUNCHING
    )
    assert found.state is DeploymentState.LAUNCHING
    assert found.steps["service-db.configure"] is status.Progress.LEFT_OUT
    assert found.service(DB) is not ServiceState.RUNNING


def test_skipped_steps_alone_do_not_mean_that_nothing_has_changed(launch: plan.Plan, running: Moment) -> None:
    """As after a refused approval: the look for lost servers is skipped too."""
    tasks = tuple(
        TaskView(each.id, state=TaskState.SUCCESS if each.id == "turn" else TaskState.SKIPPED)
        for each in launch
    )
    found = status.deployment_status(
        launch, tasks, running.inventory, run_ended=True, before=DeploymentState.STOPPED
    )
    assert found.steps["tier-database.scale_up"] is status.Progress.LEFT_OUT
    assert found.state is not DeploymentState.RUNNING


def test_a_redeploy_starts_a_server_that_is_missing(
    launch: plan.Plan, composed: tuple[Moment, ...], running: Moment
) -> None:
    lost = names.ServerName("bookshop-application-2")
    known = inventory.Inventory(tuple(server for server in older(running.inventory) if server.name != lost))
    found = status.deployment_status(
        launch, composed[1].tasks, known, run_ended=False, before=DeploymentState.RUNNING
    )
    assert found.agents[lost] is AgentState.STARTING
    assert found.services[APP, lost] is ServiceState.PAUSED
    assert found.services[APP, names.ServerName("bookshop-application-1")] is ServiceState.RUNNING


def older(known: inventory.Inventory) -> inventory.Inventory:
    """The same servers, started long before the run."""
    return inventory.Inventory(
        tuple(dataclasses.replace(each, launched_at=each.launched_at.replace(year=2020)) for each in known)
    )
