"""A launch that asks first: while the question stands nothing has begun, and after a no nothing ever does."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Protocol

import pytest

from gantry import definition, inventory, names, plan, status
from gantry.plan import DeploymentState, Phase, ServiceState
from gantry.status import ApprovalState, TaskState, TaskView


class Running(Protocol):
    """What the fixture `running` hands out; see conftest."""

    tasks: tuple[TaskView, ...]
    inventory: inventory.Inventory


ASKED = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def asking(bookshop_text: str) -> plan.Plan:
    return plan.launch_plan(definition.loads(f"{bookshop_text}approval: {{}}\n"))


def found(
    asking: plan.Plan,
    question: TaskState,
    others: TaskState = TaskState.NONE,
    *,
    servers: inventory.Inventory | None = None,
    run_ended: bool = False,
    before: DeploymentState = DeploymentState.STOPPED,
) -> status.DeploymentStatus:
    """The states while the question and all other steps are in these."""
    tasks = [
        TaskView(step.id, state=question, started=ASKED)
        if step.kind is plan.StepKind.APPROVE
        else TaskView(step.id, state=others)
        for step in asking
    ]
    return status.deployment_status(asking, tasks, servers, run_ended=run_ended, before=before)


def test_the_question_comes_before_every_server(asking: plan.Plan, launch: plan.Plan) -> None:
    (question,) = [step for step in asking if step.kind is plan.StepKind.APPROVE]
    assert (question.id, question.phase, question.upstream) == ("approve", Phase.PRE_LAUNCH, ())
    assert asking.steps[0] == question
    scale_ups = [step for step in asking if step.kind is plan.StepKind.SCALE_UP]
    assert {step.upstream for step in scale_ups} == {("find_lost",)}
    assert asking.by_id["turn"].upstream == ("approve",)
    assert [
        dataclasses.replace(step, upstream=()) if step.kind is plan.StepKind.TURN else step
        for step in asking
        if step is not question
    ] == list(launch)


def test_while_it_waits_for_its_turn_the_deployment_is_what_it_was(launch: plan.Plan) -> None:
    for was in (DeploymentState.STOPPED, DeploymentState.RUNNING, DeploymentState.MAINTENANCE):
        tasks = [
            TaskView(step.id, state=TaskState.DEFERRED if step.kind is plan.StepKind.TURN else TaskState.NONE)
            for step in launch
        ]
        now = status.deployment_status(launch, tasks, None, run_ended=False, before=was)
        assert (now.state, now.phase, now.failed) == (was, Phase.PRE_LAUNCH, None)
        view = status.RunView(
            status.RunKind.LAUNCH, is_over=False, tasks={each.task_id: each.state for each in tasks}
        )
        assert not view.has_touched


def test_while_the_answer_is_awaited_the_deployment_is_what_it_was(asking: plan.Plan) -> None:
    now = found(asking, TaskState.AWAITING_INPUT)
    assert (now.state, now.phase, now.failed) == (DeploymentState.STOPPED, Phase.PRE_LAUNCH, None)
    assert now.approval is ApprovalState.AWAITED
    assert (dict(now.agents), dict(now.services)) == ({}, {})
    again = found(asking, TaskState.AWAITING_INPUT, before=DeploymentState.RUNNING)
    assert (again.state, again.approval) == (DeploymentState.RUNNING, ApprovalState.AWAITED)


def test_a_refused_launch_is_not_running_and_has_not_failed(asking: plan.Plan) -> None:
    for ended in (False, True):
        now = found(asking, TaskState.SUCCESS, TaskState.SKIPPED, run_ended=ended)
        assert (now.state, now.phase, now.failed) == (DeploymentState.STOPPED, None, None)
        assert now.approval is ApprovalState.REFUSED


def test_a_refused_redeploy_leaves_running_what_runs(asking: plan.Plan, running: Running) -> None:
    servers = inventory.Inventory(
        tuple(
            dataclasses.replace(server, launched_at=ASKED - datetime.timedelta(days=1))
            for server in running.inventory
        )
    )
    now = found(
        asking,
        TaskState.SUCCESS,
        TaskState.SKIPPED,
        servers=servers,
        run_ended=True,
        before=DeploymentState.RUNNING,
    )
    assert (now.state, now.approval) == (DeploymentState.RUNNING, ApprovalState.REFUSED)
    assert now.service(names.ServiceName("app")) is ServiceState.RUNNING


def test_an_answer_that_never_came_is_a_failure_before_the_launch(asking: plan.Plan) -> None:
    now = found(asking, TaskState.FAILED, TaskState.UPSTREAM_FAILED, run_ended=True)
    assert (now.state, now.failed, now.approval) == (DeploymentState.STOPPED, Phase.PRE_LAUNCH, None)


def test_after_a_yes_the_launch_is_like_any_other(
    asking: plan.Plan, running: Running, launch: plan.Plan
) -> None:
    tasks = (TaskView("approve", state=TaskState.SUCCESS, started=ASKED), *running.tasks)
    now = status.deployment_status(asking, tasks, running.inventory, run_ended=True)
    assert (now.state, now.approval) == (DeploymentState.RUNNING, ApprovalState.GIVEN)
    unasked = status.deployment_status(launch, running.tasks, running.inventory, run_ended=True)
    assert unasked.approval is None
    assert (now.agents, now.services) == (unasked.agents, unasked.services)
