"""Every step that works on servers decides in the one place that `gantry plan` asks too."""

from __future__ import annotations

from gantry.operators import catalog, decisions, server_step
from gantry.plan import StepKind
from gantry.plan.steps import PER_SERVER


def test_every_kind_of_step_on_servers_has_its_decision() -> None:
    # A handshake sends what is stale, whatever the step before it did.
    assert PER_SERVER - {StepKind.HANDSHAKE} <= set(decisions.DECISIONS)


def test_no_operator_decides_by_itself() -> None:
    deciding = {
        kind
        for kind, operator in catalog.OPERATORS.items()
        if issubclass(operator, server_step.ServerStepOperator)
        and operator.decide is not server_step.ServerStepOperator.decide
    }
    # It notes on the way who is new to the Chef server.
    assert deciding == {StepKind.PREPARE_CONFIGURATION_MANAGEMENT}
