"""The table of operations: each has a row, and everything that differs between them is read from it."""

from __future__ import annotations

import pytest

from gantry import definition, names, plan
from gantry.dag.operations import RECIPES
from gantry.names import Operation


def test_every_operation_has_its_row_in_the_order_of_the_buttons() -> None:
    assert list(plan.OPERATIONS) == list(Operation)


def test_every_operation_has_its_dag_in_the_same_order() -> None:
    assert list(RECIPES) == list(Operation)


def test_no_two_operations_are_called_the_same() -> None:
    for column in ("noun", "title", "purpose", "plan"):
        assert len({getattr(row, column) for row in plan.OPERATIONS.values()}) == len(Operation)


def test_every_dag_of_a_deployment_leads_back_to_its_operation() -> None:
    for each in Operation:
        assert plan.operation_of(names.dag_id("bookshop", each)) is each


@pytest.mark.parametrize("dag", ["bookshop.transmogrify", "bookshop.", "bookshop.launch"])
def test_an_unknown_dag_is_refused_and_never_gets_the_plan_of_a_launch(dag: str) -> None:
    with pytest.raises(plan.UnknownOperationError) as refused:
        plan.operation_of(dag)
    assert refused.value.dag == dag
    assert f"DAG {dag} is not an operation of a deployment" in str(refused.value)


def test_an_operation_has_its_own_plan(bookshop: definition.Definition) -> None:
    assert plan.plan_of(bookshop, Operation.LAUNCH) == plan.launch_plan(bookshop)
    assert plan.plan_of(bookshop, Operation.SCALE) == plan.scale_plan(bookshop)
    assert plan.plan_of(bookshop, Operation.TERMINATE) == plan.termination_plan(bookshop)
