"""The step's run, created from Airflow's context of the task."""

from __future__ import annotations

import datetime
import hashlib
import uuid

from airflow.sdk import Context

from gantry import errors, names, requests
from gantry.agent import jobs
from gantry.plan import BEFORE_WORK, Step, StepKind
from gantry.reconcile import step_run
from gantry.runtime import dag_bundles

CLEAN_UP_TIME = datetime.timedelta(minutes=30)
"""Time after a run's `dagrun_timeout` for the task that cleans up. Airflow itself would skip that task."""

_MARK = "life"
"""The key, in state and XComs of `turn`, of the value that distinguishes a run from an earlier one of its id."""
_BUNDLE = " "
"""Between that value and the name of the run's DAG bundle, in the XCom."""

MACRO = "gantry"
"""The name under which a DAG carries its deployment (a user-defined macro: Airflow does not serialize it)."""


class RunTimeUpError(errors.GantryError):
    """A task starts when its run should already be over."""

    def __init__(self, run: str) -> None:
        self.run = run
        super().__init__(
            f"nothing was begun: the dagrun_timeout of {run} has passed\n"
            f"Raise dagrun_timeout in the definition, or see what took so long, and launch again."
        )


def run_of(context: Context) -> step_run.StepRun:
    """Return the step's run for the task that is running."""
    compiled = (context["dag"].user_defined_macros or {})[MACRO]
    instance = context["ti"]
    dag_run = context["dag_run"]
    params = context["params"]
    step = compiled.plan.by_id[instance.task_id]
    scaled_to = _scaled_to(compiled, context) if step_run.any_scaling(compiled.plan) else {}
    life = _life(context, step)
    told_apart = (instance.dag_id, instance.run_id, *filter(None, (life,)))
    run_key = hashlib.sha256(" ".join(told_apart).encode()).hexdigest()[:12]
    return step_run.StepRun(
        definition=compiled.definition,
        plan=compiled.plan,
        step=step,
        id=dag_run.run_id,
        key=jobs.StepKey(
            step=f"{run_key}.{step.id}",
            # Airflow raises max_tries only when a person clears the task: tries start over from there.
            epoch=str(instance.max_tries),
            attempt=str(instance.try_number),
        ),
        operation=compiled.operation,
        params=params,
        wanted={
            # A tier that the scaling leaves unchanged has no number in `scaled_to`.
            tier: scaled_to.get(names.TierName(tier)) or count
            for tier, count in requests.LaunchRequest.read(params).sizes(compiled.definition).items()
        },
        scaled_to=scaled_to,
        by_clock=dag_run.run_type == _SCHEDULED,
        moment=dag_run.run_after,
        lost=requests.RecoverRequest.read(params) if compiled.operation is names.Operation.RECOVER else None,
        until=_until(context, compiled, step),
        source=compiled.source,
        bundle=life.partition(_BUNDLE)[2],
    )


def begin_life(context: Context) -> None:
    """Publish the value that distinguishes this run from an earlier one of its id. For the task that takes the lock.

    It lives as long as Airflow's row of the run: clears and retries find it again, a run that is deleted and created
    again does not. A run that was started by an older Gantry has none, and keeps its jobs' names.

    With it goes the DAG bundle that the run begins in, for the tasks that follow: they ask for this value anyway.
    """
    from airflow.sdk.execution_time.context import NEVER_EXPIRE  # noqa: PLC0415 - not for DAG files

    store = context["task_state_store"]
    life = store.get(_MARK)
    if life is None:
        if context["dag_run"].clear_number:
            return
        life = uuid.uuid4().hex
        store.set(_MARK, life, retention=NEVER_EXPIRE)
    bundle = dag_bundles.of(context)
    context["ti"].xcom_push(key=_MARK, value=f"{life}{_BUNDLE}{bundle}" if bundle else life)


def _life(context: Context, step: Step) -> str:
    if step.kind in BEFORE_WORK:
        # These have no jobs and start no servers.
        return ""
    return str(context["ti"].xcom_pull(task_ids=StepKind.TURN.value, key=_MARK) or "")


def _until(context: Context, compiled: step_run.DagPayload, step: Step) -> float:
    """Return the time limit. Only a run with a cleanup task ends by itself: Airflow would skip that task."""
    limit, began = compiled.definition.dagrun_timeout, context["dag_run"].start_date
    cleanup = compiled.plan.cleanup
    if limit is None or began is None or cleanup is None or step.id == cleanup.id:
        return 0.0
    if compiled.operation is not names.Operation.LAUNCH:
        return 0.0
    return float((began + limit).timestamp())


_SCHEDULED = "scheduled"


def _scaled_to(compiled: step_run.DagPayload, context: Context) -> dict[names.TierName, int]:
    """Return the numbers of servers from the schedule, overridden by those from the form."""
    definition, dag_run = compiled.definition, context["dag_run"]
    found: dict[names.TierName, int] = {}
    if dag_run.run_type == _SCHEDULED and dag_run.logical_date is not None:
        found |= definition.scaled_at(dag_run.logical_date)
    return found | requests.ScaleRequest.read(context["params"]).sizes(definition)
