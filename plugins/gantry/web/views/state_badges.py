"""Badges of states: a colour, a shape and a word for each, so that colour is never the only sign."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

from gantry import inventory, plan, status


class Tone(enum.StrEnum):
    """The meaning of a colour. The stylesheet has one for each, in both themes."""

    GOOD = "good"
    BUSY = "busy"
    WAITING = "waiting"
    ASKING = "asking"
    WARNING = "warning"
    BAD = "bad"
    QUIET = "quiet"
    LEFT_OUT = "left-out"


class Shape(enum.StrEnum):
    """The sign beside the word; `templates/icons.html.jinja` has an icon for each."""

    CHECK = "check"
    CROSS = "cross"
    HALF = "half"
    RING = "ring"
    PAUSE = "pause"
    SQUARE = "square"
    TRIANGLE = "triangle"
    HAND = "hand"
    WRENCH = "wrench"
    UP = "up"
    DOWN = "down"
    SKIP = "skip"
    DASH = "dash"
    RETRY = "retry"
    BROKEN = "broken"


@dataclasses.dataclass(frozen=True)
class Badge:
    """The badge of one state."""

    tone: Tone
    shape: Shape
    word: str


State = (
    plan.DeploymentState
    | plan.AgentState
    | plan.ServiceState
    | status.Progress
    | status.TaskState
    | status.ApprovalState
    | inventory.InstanceState
)

_LOOKS: tuple[Mapping[State, tuple[Tone, Shape]], ...] = (
    {
        plan.DeploymentState.STOPPED: (Tone.QUIET, Shape.SQUARE),
        plan.DeploymentState.LAUNCHING: (Tone.BUSY, Shape.UP),
        plan.DeploymentState.RUNNING: (Tone.GOOD, Shape.CHECK),
        plan.DeploymentState.MAINTENANCE: (Tone.BUSY, Shape.WRENCH),
        plan.DeploymentState.STOPPING: (Tone.WARNING, Shape.DOWN),
    },
    {
        plan.AgentState.STARTING: (Tone.BUSY, Shape.UP),
        plan.AgentState.RUNNING: (Tone.GOOD, Shape.CHECK),
        plan.AgentState.UNREACHABLE: (Tone.BAD, Shape.BROKEN),
    },
    {
        plan.ServiceState.PAUSED: (Tone.WAITING, Shape.PAUSE),
        plan.ServiceState.STARTING: (Tone.BUSY, Shape.UP),
        plan.ServiceState.RUNNING: (Tone.GOOD, Shape.CHECK),
        plan.ServiceState.IMPAIRED: (Tone.WARNING, Shape.TRIANGLE),
        plan.ServiceState.STOPPED: (Tone.QUIET, Shape.SQUARE),
    },
    {
        status.Progress.NOT_APPLICABLE: (Tone.QUIET, Shape.DASH),
        status.Progress.WAITING: (Tone.WAITING, Shape.RING),
        status.Progress.IN_PROGRESS: (Tone.BUSY, Shape.HALF),
        status.Progress.SUCCEEDED: (Tone.GOOD, Shape.CHECK),
        status.Progress.FAILED: (Tone.BAD, Shape.CROSS),
        status.Progress.LEFT_OUT: (Tone.LEFT_OUT, Shape.SKIP),
    },
    {
        status.TaskState.NONE: (Tone.WAITING, Shape.RING),
        status.TaskState.SCHEDULED: (Tone.WAITING, Shape.RING),
        status.TaskState.QUEUED: (Tone.WAITING, Shape.RING),
        status.TaskState.RUNNING: (Tone.BUSY, Shape.HALF),
        status.TaskState.DEFERRED: (Tone.BUSY, Shape.HALF),
        status.TaskState.SUCCESS: (Tone.GOOD, Shape.CHECK),
        status.TaskState.FAILED: (Tone.BAD, Shape.CROSS),
        status.TaskState.UPSTREAM_FAILED: (Tone.WARNING, Shape.DASH),
        status.TaskState.SKIPPED: (Tone.LEFT_OUT, Shape.SKIP),
        status.TaskState.UP_FOR_RETRY: (Tone.WARNING, Shape.RETRY),
        status.TaskState.UP_FOR_RESCHEDULE: (Tone.WAITING, Shape.RETRY),
        status.TaskState.RESTARTING: (Tone.WARNING, Shape.RETRY),
        status.TaskState.REMOVED: (Tone.QUIET, Shape.DASH),
        status.TaskState.AWAITING_INPUT: (Tone.ASKING, Shape.HAND),
    },
    {
        status.ApprovalState.AWAITED: (Tone.ASKING, Shape.HAND),
        status.ApprovalState.GIVEN: (Tone.GOOD, Shape.CHECK),
        status.ApprovalState.REFUSED: (Tone.LEFT_OUT, Shape.SKIP),
    },
    {
        inventory.InstanceState.PENDING: (Tone.BUSY, Shape.UP),
        inventory.InstanceState.RUNNING: (Tone.GOOD, Shape.CHECK),
        inventory.InstanceState.SHUTTING_DOWN: (Tone.WARNING, Shape.DOWN),
        inventory.InstanceState.TERMINATED: (Tone.QUIET, Shape.SQUARE),
        inventory.InstanceState.STOPPING: (Tone.WARNING, Shape.DOWN),
        inventory.InstanceState.STOPPED: (Tone.QUIET, Shape.SQUARE),
    },
)
"""One table for each enum: members of two enums are equal when their words are."""

_BY_KIND = {type(next(iter(table))): table for table in _LOOKS}


def look(state: State) -> Badge:
    """Return the badge of a state."""
    tone, shape = _BY_KIND[type(state)][state]
    return Badge(tone, shape, state.value.replace("_", " "))


FAILED = Badge(Tone.BAD, Shape.CROSS, "FAILED")
"""Shown beside the state of a deployment whose last run did not succeed."""

DIFFER = Badge(Tone.WARNING, Shape.TRIANGLE, "servers differ")
"""Shown if one service has several versions: during an update, or after an interrupted one."""

_RUNS = {
    "queued": (Tone.WAITING, Shape.RING),
    "running": (Tone.BUSY, Shape.HALF),
    "success": (Tone.GOOD, Shape.CHECK),
    "failed": (Tone.BAD, Shape.CROSS),
}


def of_run(state: str) -> Badge:
    """Return the badge of a run's state, in Airflow's word."""
    tone, shape = _RUNS.get(state, (Tone.QUIET, Shape.DASH))
    return Badge(tone, shape, state)
