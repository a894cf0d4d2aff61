"""Every step that works on servers decides in the one place that `gantry plan` asks too."""

from __future__ import annotations

from gantry import plan
from gantry.operators import registry, server_step
from gantry.plan import StepKind
from gantry.reconcile import step_work

ON_SERVERS = {
    kind: operator
    for kind, operator in registry.OPERATORS.items()
    if issubclass(operator, server_step.ServerStepOperator)
}


def test_every_kind_of_step_on_servers_has_its_decision() -> None:
    # A handshake sends what is stale, whatever the step before it did.
    per_server = {kind for kind, facts in plan.STEP_KINDS.items() if facts.per_server}
    assert per_server - {StepKind.HANDSHAKE} <= set(step_work.DECISIONS)
    assert set(ON_SERVERS) <= set(step_work.DECISIONS)


def test_no_operator_decides_by_itself() -> None:
    deciding = {
        kind
        for kind, operator in ON_SERVERS.items()
        if operator.decide is not server_step.ServerStepOperator.decide
    }
    # It notes on the way who is new to the Chef server.
    assert deciding == {StepKind.PREPARE_CONFIGURATION_MANAGEMENT}
