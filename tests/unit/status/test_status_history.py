"""What a deployment is, from its runs alone."""

from __future__ import annotations

import pytest

from gantry import status
from gantry.plan import DeploymentState
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
        ([WORKING, FAILED, GOOD], DeploymentState.LAUNCHING, False),
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
    assert status.standing(newest_first) == status.Standing(state, failed)


def test_no_more_runs_are_asked_for_than_it_takes() -> None:
    runs = iter([GOOD, FAILED])
    assert status.was_running(runs)
    assert list(runs) == [FAILED]
