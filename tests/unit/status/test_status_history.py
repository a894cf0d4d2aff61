"""What a deployment is, from its runs alone."""

from __future__ import annotations

import pytest

from gantry import names, plan, status
from gantry.plan import AgentState, DeploymentState
from gantry.status import RunKind, TaskState


def launch(
    finish: TaskState, scale_up: TaskState = TaskState.SUCCESS, *, over: bool = True
) -> status.RunView:
    return status.RunView(RunKind.LAUNCH, over, {"tier-a.scale_up": scale_up, "finish_launch": finish})


def termination(
    finish: TaskState, confirm: TaskState = TaskState.SUCCESS, *, over: bool = True
) -> status.RunView:
    stopped = TaskState.SUCCESS if confirm is TaskState.SUCCESS else TaskState.UPSTREAM_FAILED
    return status.RunView(
        RunKind.TERMINATION,
        over,
        {"confirm": confirm, "tier-a.terminate_servers": stopped, "finish_termination": finish},
    )


def scaling(choose: TaskState, release: TaskState = TaskState.NONE, *, over: bool = True) -> status.RunView:
    """A scaling that has not come to its end."""
    tasks = {"choose_servers": choose, "balancer-a.release_nodes": release, "finish_launch": TaskState.NONE}
    return status.RunView(RunKind.LAUNCH, over, tasks)


RELEASING = scaling(TaskState.SUCCESS, TaskState.RUNNING, over=False)
NOT_RELEASED = scaling(TaskState.SUCCESS, TaskState.FAILED)
BEYOND = scaling(TaskState.FAILED, TaskState.UPSTREAM_FAILED)
NOT_LAUNCHED = scaling(TaskState.SKIPPED, TaskState.SKIPPED)
GOOD = launch(TaskState.SUCCESS)
FAILED = launch(TaskState.UPSTREAM_FAILED)
WORKING = launch(TaskState.NONE, over=False)
QUEUED = launch(TaskState.NONE, TaskState.NONE, over=False)
REFUSED = launch(TaskState.SKIPPED, TaskState.SKIPPED)
GONE = termination(TaskState.SUCCESS)
STUCK = termination(TaskState.UPSTREAM_FAILED)
MISTYPED = termination(TaskState.UPSTREAM_FAILED, TaskState.FAILED)


@pytest.mark.parametrize(
    ("newest_first", "state", "failed"),
    [
        ([], DeploymentState.STOPPED, False),
        ([QUEUED], DeploymentState.STOPPED, False),
        ([WORKING], DeploymentState.LAUNCHING, False),
        ([FAILED], DeploymentState.LAUNCHING, True),
        ([GOOD, FAILED], DeploymentState.RUNNING, False),
        ([WORKING, GOOD], DeploymentState.MAINTENANCE, False),
        ([FAILED, GOOD], DeploymentState.MAINTENANCE, True),
        ([WORKING, FAILED, GOOD], DeploymentState.MAINTENANCE, False),
        ([FAILED, FAILED, GOOD], DeploymentState.MAINTENANCE, True),
        ([WORKING, FAILED, GONE, GOOD], DeploymentState.LAUNCHING, False),
        ([REFUSED, GOOD], DeploymentState.RUNNING, False),
        ([RELEASING, GOOD], DeploymentState.MAINTENANCE, False),
        ([NOT_RELEASED, GOOD], DeploymentState.MAINTENANCE, True),
        ([BEYOND, GOOD], DeploymentState.RUNNING, False),
        ([NOT_LAUNCHED, GONE, GOOD], DeploymentState.STOPPED, False),
        ([MISTYPED, GOOD], DeploymentState.RUNNING, False),
        ([STUCK, GOOD], DeploymentState.STOPPING, True),
        ([GONE, GOOD], DeploymentState.STOPPED, False),
        ([WORKING, GONE, GOOD], DeploymentState.LAUNCHING, False),
    ],
)
def test_runs_make_a_state(newest_first: list[status.RunView], state: DeploymentState, failed: bool) -> None:  # noqa: FBT001
    assert status.standing(newest_first) == status.SettledState(state, failed)


def test_no_more_runs_are_asked_for_than_it_takes() -> None:
    runs = iter([GOOD, FAILED])
    assert status.standing(runs).state is DeploymentState.RUNNING
    assert list(runs) == [FAILED]


def test_after_a_failed_redeploy_the_next_one_begins_with_what_runs(launch: plan.Plan) -> None:
    # From the terminal, where nobody asks the cloud.
    before = status.standing([FAILED, GOOD]).state
    found = status.deployment_status(launch, (), None, run_ended=False, before=before)
    assert found.state is DeploymentState.MAINTENANCE
    assert {each.running for each in found.tiers} != {0}
    assert [each.running for each in found.tiers] == [each.wanted for each in found.tiers]
    assert set(found.agents.values()) == {AgentState.RUNNING}


def test_after_a_failed_first_launch_the_next_one_begins_as_a_launch(launch: plan.Plan) -> None:
    before = status.standing([FAILED]).state
    found = status.deployment_status(launch, (), None, run_ended=False, before=before)
    assert found.state is DeploymentState.LAUNCHING
    assert {each.running for each in found.tiers} == {0}


DATABASE, FIRST, SECOND, THIRD = (
    names.ServerName(f"bookshop-{each}")
    for each in ("database-1", "application-1", "application-2", "application-3")
)


def handshake(tier: str, state: TaskState, *servers: names.ServerName) -> status.TaskView:
    return status.TaskView(f"tier-{tier}.handshake", 0, state, servers=servers)


GREETED = (
    handshake("database", TaskState.SUCCESS, DATABASE),
    handshake("application", TaskState.SUCCESS, FIRST),
    handshake("application", TaskState.FAILED, SECOND),
)


def counted(
    launch: plan.Plan, before: DeploymentState, greeted: status.Greeted
) -> dict[str, tuple[int, int]]:
    found = status.deployment_status(launch, (), None, run_ended=False, before=before, greeted=greeted)
    assert found.state is before
    return {each.tier: (each.running, each.wanted) for each in found.tiers}


def test_after_a_failed_first_launch_the_servers_that_have_answered_are_counted(launch: plan.Plan) -> None:
    greeted = status.greeted([GREETED])
    assert counted(launch, DeploymentState.LAUNCHING, greeted) == {
        "database": (1, 1), "application": (1, 2), "proxy": (0, 1),
    }  # fmt: skip


def test_they_run_and_their_services_are_not_said_to(launch: plan.Plan) -> None:
    found = status.deployment_status(
        launch,
        (status.TaskView("tier-database.scale_up", -1, TaskState.RUNNING),),
        None,
        run_ended=False,
        before=DeploymentState.LAUNCHING,
        greeted=status.greeted([GREETED]),
    )
    assert found.agents == {DATABASE: AgentState.RUNNING, FIRST: AgentState.RUNNING}
    assert set(found.services.values()) == {plan.ServiceState.PAUSED}


def test_after_a_failed_scale_out_on_what_runs_all_servers_are_counted(launch: plan.Plan) -> None:
    greeted = status.greeted(
        [
            [handshake("application", TaskState.SUCCESS, THIRD)],
            [handshake("application", TaskState.SUCCESS, FIRST)],
        ]
    )
    # What the plan counts on ran before; the third has come.
    assert counted(launch, DeploymentState.MAINTENANCE, greeted)["application"] == (3, 2)


@pytest.mark.parametrize(
    ("newest_first", "answer"),
    [
        ([[handshake("application", TaskState.FAILED, FIRST)], GREETED], set()),
        ([[handshake("application", TaskState.UPSTREAM_FAILED, FIRST)], GREETED], {FIRST}),
        ([[handshake("application", TaskState.SUCCESS, SECOND)], GREETED], {FIRST, SECOND}),
        ([[handshake("application", TaskState.SUCCESS, SECOND),
           status.TaskView("remove_new_servers", state=TaskState.SUCCESS)], GREETED], {FIRST}),
        ([[handshake("application", TaskState.SUCCESS, SECOND),
           status.TaskView("remove_new_servers", state=TaskState.SKIPPED)], GREETED], {FIRST, SECOND}),
    ],
    ids=["silent now", "not asked again", "answers now", "taken away again", "nothing taken away"],
)  # fmt: skip
def test_the_newest_word_on_a_server_counts(
    newest_first: list[list[status.TaskView]], answer: set[names.ServerName]
) -> None:
    assert status.greeted(newest_first)[names.TierName("application")] == answer
