"""A launch of a deployment that runs already: whatever it has not touched stays as it was."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Protocol

from gantry import inventory, names, plan, status
from gantry.plan import AgentState, DeploymentState, ServiceState
from gantry.status import TaskView

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
