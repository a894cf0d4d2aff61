"""The place of the wait for the turn: behind what a person is asked, before everything that touches the deployment."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from gantry.plan.phases import Phase
from gantry.plan.steps import DEPLOYMENT, Step, StepKind, last_of, step_id

GATES = frozenset({StepKind.APPROVE, StepKind.CONFIRM, StepKind.CONFIRM_RESTORE})
"""Steps that ask whether anything shall be done at all. Nobody is kept waiting while a person thinks."""

BEFORE_WORK = GATES | {StepKind.TURN}
"""Steps that need no turn."""

LOOKING = frozenset({StepKind.ASK_SERVERS, StepKind.BACK_UP, StepKind.KEEP_BACKUP})
"""Steps of a termination that come before all that it takes down."""

UNTOUCHING = BEFORE_WORK | LOOKING | {StepKind.CHOOSE_SERVERS}
"""Steps after which everything of the deployment still does what it did."""


def behind_turn(steps: Iterable[Step]) -> list[Step]:
    """These steps of an operation, and the wait for its turn before all of them but the gates.

    Every operation's plan goes through here: then no two operations of a deployment work at once.
    """
    every = tuple(steps)
    gates = [step for step in every if step.kind in GATES]
    asked = {step.id for step in gates}
    turn = Step(
        id=step_id(DEPLOYMENT, StepKind.TURN),
        kind=StepKind.TURN,
        phase=Phase.PRE_LAUNCH,
        group=DEPLOYMENT,
        upstream=last_of(gates),
    )
    work = (
        dataclasses.replace(step, upstream=(turn.id,)) if asked.issuperset(step.upstream) else step
        for step in every
        if step.kind not in GATES
    )
    return [*gates, turn, *work]
