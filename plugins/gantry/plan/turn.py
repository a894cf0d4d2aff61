"""Position of the `turn` step: after questions to people, before everything that changes the deployment."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from gantry.names import StepKind
from gantry.plan.step_kinds import Effect
from gantry.plan.steps import DEPLOYMENT, Step, last_of, step_id


def behind_turn(steps: Iterable[Step]) -> list[Step]:
    """Return an operation's steps, with the `turn` step before all of them except the gates.

    Every operation's plan is built with this function: so no two operations of a deployment work concurrently.
    """
    every = tuple(steps)
    gates = [step for step in every if step.facts.effect is Effect.ASKS]
    asked = {step.id for step in gates}
    turn = Step(
        id=step_id(DEPLOYMENT, StepKind.TURN),
        kind=StepKind.TURN,
        group=DEPLOYMENT,
        upstream=last_of(gates),
    )
    work = (
        dataclasses.replace(step, upstream=(turn.id,)) if asked.issuperset(step.upstream) else step
        for step in every
        if step.facts.effect is not Effect.ASKS
    )
    return [*gates, turn, *work]
