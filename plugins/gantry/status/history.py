"""What a deployment is, from its runs alone: for lists, and for what was before the run that is looked at."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping

from gantry.plan import DeploymentState, StepKind
from gantry.plan.turn import UNTOUCHING
from gantry.status.tasks import TaskState

_GATES = tuple(kind.value for kind in UNTOUCHING)
"""Tasks that touch nothing: they ask a person or a server, wait for their turn, look at what is wanted, back up."""

UNTOUCHED = (
    TaskState.NONE,
    TaskState.SCHEDULED,
    TaskState.QUEUED,
    TaskState.SKIPPED,
    TaskState.UPSTREAM_FAILED,
    TaskState.REMOVED,
)
"""States of a task that has not begun."""


class RunKind(enum.StrEnum):
    """What a run is for."""

    LAUNCH = "launch"
    TERMINATION = "termination"


@dataclasses.dataclass(frozen=True)
class RunView:
    """One run of a deployment, a launch or a termination.

    Attributes:
        tasks: the states of its task instances, by task; of several instances the one that has come farthest.
    """

    kind: RunKind
    is_over: bool
    tasks: Mapping[str, TaskState]

    @property
    def has_touched(self) -> bool:
        """Whether it has begun to change anything."""
        return any(
            state not in UNTOUCHED
            for task, state in self.tasks.items()
            if task.rpartition(".")[2] not in _GATES
        )

    @property
    def has_arrived(self) -> bool:
        """Whether its last step, the one that says so, has succeeded."""
        last = StepKind.FINISH_LAUNCH if self.kind is RunKind.LAUNCH else StepKind.FINISH_TERMINATION
        return self.tasks.get(last.value) is TaskState.SUCCESS


@dataclasses.dataclass(frozen=True)
class Standing:
    """A deployment's state; `failed` where the run that made it so did not get further."""

    state: DeploymentState
    failed: bool = False


def standing(runs: Iterable[RunView]) -> Standing:
    """What the runs, the newest first, have made of the deployment. Takes no more of them than it needs."""
    newest_first = iter(runs)
    for run in newest_first:
        if not run.has_touched:
            continue
        if run.kind is RunKind.TERMINATION:
            return Standing(
                DeploymentState.STOPPED if run.has_arrived else DeploymentState.STOPPING, _failed(run)
            )
        if run.has_arrived:
            return Standing(DeploymentState.RUNNING)
        redeploy = was_running(newest_first)
        return Standing(DeploymentState.MAINTENANCE if redeploy else DeploymentState.LAUNCHING, _failed(run))
    return Standing(DeploymentState.STOPPED)


def was_running(runs: Iterable[RunView]) -> bool:
    """Whether these runs, the newest first, left the deployment RUNNING."""
    return standing(runs).state is DeploymentState.RUNNING


def _failed(run: RunView) -> bool:
    return run.is_over and not run.has_arrived
