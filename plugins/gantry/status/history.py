"""State of a deployment from its runs alone: for lists, and for the state before the run shown."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping

from gantry import names
from gantry.plan import UNTOUCHING, DeploymentState, Group, GroupKind, StepKind, group_id
from gantry.status.deployment import RAN, Greeted
from gantry.status.tasks import TaskState, TaskView

_GATES = tuple(kind.value for kind in UNTOUCHING)
"""Tasks that change nothing: they ask a person or a server, wait for their turn, check the request, back up."""

UNTOUCHED = (
    TaskState.NONE,
    TaskState.SCHEDULED,
    TaskState.QUEUED,
    TaskState.SKIPPED,
    TaskState.UPSTREAM_FAILED,
    TaskState.REMOVED,
)
"""States of a task that has not begun."""

_OF_TIER = group_id(Group(GroupKind.TIER))
_GOOD = TaskState.SUCCESS
_SAID = (_GOOD, TaskState.FAILED)
"""States of a handshake that show whether its servers answer."""


class RunKind(enum.StrEnum):
    """The purpose of a run."""

    LAUNCH = "launch"
    TERMINATION = "termination"


@dataclasses.dataclass(frozen=True)
class RunView:
    """One run of a deployment: a launch or a termination.

    Attributes:
        tasks: the states of its tasks; of several instances, the most advanced one.
    """

    kind: RunKind
    is_over: bool
    tasks: Mapping[str, TaskState]

    @property
    def has_touched(self) -> bool:
        """Return whether it has begun to change anything."""
        return any(
            state not in UNTOUCHED
            for task, state in self.tasks.items()
            if task.rpartition(".")[2] not in _GATES
        )

    @property
    def decides(self) -> bool:
        """Return whether earlier runs cannot affect the deployment's state: it has succeeded, or is a termination."""
        return self.has_touched and (self.kind is RunKind.TERMINATION or self.has_arrived)

    @property
    def has_arrived(self) -> bool:
        """Return whether its last step, which reports success, has succeeded."""
        last = StepKind.FINISH_LAUNCH if self.kind is RunKind.LAUNCH else StepKind.FINISH_TERMINATION
        return self.tasks.get(last.value) is TaskState.SUCCESS


@dataclasses.dataclass(frozen=True)
class SettledState:
    """A deployment's state; `failed` if the run that led to it failed there."""

    state: DeploymentState
    failed: bool = False


@dataclasses.dataclass(frozen=True)
class Before:
    """A deployment's state and servers before a run."""

    state: DeploymentState = DeploymentState.STOPPED
    greeted: Greeted = dataclasses.field(default_factory=dict)


def greeted(runs: Iterable[Iterable[TaskView]]) -> Greeted:
    """Return the servers that these launches, newest first, have left running. The newest report on each counts."""
    last: dict[names.TierName, dict[names.ServerName, bool]] = {}
    for run in runs:
        tasks = tuple(run)
        # It has terminated the servers that it started, and its tasks do not show which ones.
        undone = any(_kind(each) == StepKind.REMOVE_NEW_SERVERS and each.state is _GOOD for each in tasks)
        for each in tasks:
            if _kind(each) != StepKind.HANDSHAKE or each.state not in _SAID:
                continue
            has_answered = each.state is _GOOD
            if undone and has_answered:
                continue
            group = each.task_id.rpartition(".")[0]
            tier = last.setdefault(names.TierName(group.removeprefix(_OF_TIER)), {})
            for server in each.servers:
                tier.setdefault(server, has_answered)
    return {tier: frozenset(each for each, good in found.items() if good) for tier, found in last.items()}


def _kind(task: TaskView) -> str:
    return task.task_id.rpartition(".")[2]


def standing(runs: Iterable[RunView]) -> SettledState:
    """Return the deployment's state after the runs, newest first. Consumes no more of them than necessary."""
    newest_first = iter(runs)
    for run in newest_first:
        if not run.has_touched:
            continue
        if run.kind is RunKind.TERMINATION:
            return SettledState(
                DeploymentState.STOPPED if run.has_arrived else DeploymentState.STOPPING, _failed(run)
            )
        if run.has_arrived:
            return SettledState(DeploymentState.RUNNING)
        # A failed launch of a running deployment has stopped nothing.
        redeploy = standing(newest_first).state in RAN
        return SettledState(
            DeploymentState.MAINTENANCE if redeploy else DeploymentState.LAUNCHING, _failed(run)
        )
    return SettledState(DeploymentState.STOPPED)


def _failed(run: RunView) -> bool:
    return run.is_over and not run.has_arrived
