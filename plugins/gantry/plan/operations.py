"""Table of operations: one row each, with everything specific that does not need Airflow.

The DAG of an operation (its form, its page, its schedule) is defined in `gantry.dag.operations`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from gantry import errors, names
from gantry.definition import models
from gantry.names import Operation
from gantry.plan.backups import backup_plan, restore_plan
from gantry.plan.drill import drill_plan
from gantry.plan.launch import launch_plan
from gantry.plan.recovery import recover_plan
from gantry.plan.scaling import scale_plan
from gantry.plan.steps import Plan
from gantry.plan.termination import termination_plan
from gantry.plan.watch import watch_plan


class UnknownOperationError(errors.GantryError):
    """A DAG does not belong to an operation of this Gantry version.

    Attributes:
        dag: the DAG's id.
    """

    def __init__(self, dag: str) -> None:
        self.dag = dag
        known = ", ".join(names.dag_id("NAME", each) for each in Operation)
        super().__init__(
            f"DAG {dag} is not an operation of a deployment; those are {known}\n"
            "If it was made by a newer Gantry, install that version here too."
        )


@dataclasses.dataclass(frozen=True)
class OperationFacts:
    """The specifics of an operation.

    Attributes:
        plan: returns its steps, given a definition.
        noun: the noun for a run of it: `last termination: success`.
        title: the label of the button that starts it.
        purpose: what its DAG does, placed before the deployment's name.
        dangerous: whether it destroys something, so that its button is a warning.
        read_only: whether it changes nothing: it waits for no other operation, and leaves no record. A failed run is
            soon followed by the next one, so there are no retries and no notifications.
        keeps_state: whether it leaves the deployment's state unchanged.
        launches: whether it ends as a launch does, with every server set up and its databases filled.
        isolated: whether it works on separate servers. Then only a termination, which removes those too, must not run
            concurrently.
    """

    plan: Callable[[models.Definition], Plan]
    noun: str
    title: str
    purpose: str
    dangerous: bool = False
    read_only: bool = False
    keeps_state: bool = False
    launches: bool = False
    isolated: bool = False

    def describe(self, deployment: str) -> str:
        """Return a sentence about what its DAG does: the DAG's description, unless the definition has its own."""
        return f"{self.purpose} {deployment}"


OPERATIONS: dict[Operation, OperationFacts] = {
    Operation.LAUNCH: OperationFacts(
        launch_plan, "launch", "Launch or redeploy", "Launch the deployment", launches=True
    ),
    Operation.SCALE: OperationFacts(scale_plan, "scaling", "Scale", "Scale the deployment", launches=True),
    Operation.TERMINATE: OperationFacts(
        termination_plan, "termination", "Terminate", "Terminate the deployment", dangerous=True
    ),
    Operation.BACKUP: OperationFacts(
        backup_plan, "backup", "Back up", "Back up the deployment", keeps_state=True
    ),
    Operation.RESTORE: OperationFacts(
        restore_plan,
        "restore",
        "Restore",
        "Restore a backup of the deployment",
        dangerous=True,
        keeps_state=True,
    ),
    Operation.RECOVER: OperationFacts(
        recover_plan, "recovery", "Recover", "Replace lost servers of the deployment", launches=True
    ),
    Operation.WATCH: OperationFacts(
        watch_plan, "watch", "Watch", "Watch the deployment", read_only=True, keeps_state=True
    ),
    Operation.DRILL: OperationFacts(
        drill_plan,
        "drill",
        "Drill",
        "Try out the backups of the deployment",
        keeps_state=True,
        isolated=True,
    ),
}
"""In the order of `names.Operation`, which is also that of buttons and lists."""

READ_ONLY = frozenset(each for each, facts in OPERATIONS.items() if facts.read_only)
KEEPS_STATE = frozenset(each for each, facts in OPERATIONS.items() if facts.keeps_state)
LAUNCHING = tuple(each for each, facts in OPERATIONS.items() if facts.launches)
ISOLATED = frozenset(each for each, facts in OPERATIONS.items() if facts.isolated)


def plan_of(definition: models.Definition, operation: Operation) -> Plan:
    """Return the plan of an operation of the deployment."""
    return OPERATIONS[operation].plan(definition)


def operation_of(dag: str) -> Operation:
    """Return the operation of a DAG, by its id.

    Raises:
        UnknownOperationError: it does not belong to one.
    """
    found = names.operation_of(dag)
    if found is None:
        raise UnknownOperationError(dag)
    return found
