"""Task that triggers another operation of the deployment after a check of its servers called for it."""

from __future__ import annotations

from typing import NoReturn

import pydantic
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException, DagRunTriggerException

from gantry import errors, names, requests
from gantry.operators import base
from gantry.plan import TRIGGERED, StepKind
from gantry.reconcile import step_run
from gantry.runtime import trigger_request

_REQUEST = pydantic.TypeAdapter(trigger_request.TriggerRequest)


class PausedOperationError(errors.GantryError):
    """The operation to trigger has a paused DAG."""

    def __init__(self, dag: str, why: str) -> None:
        self.dag = dag
        super().__init__(
            f"{dag} should run now ({why}), but it is paused\n"
            f"Unpause {dag}; or pause the DAG that watches the deployment, if nothing should be done automatically."
        )


class TriggerOperator(base.StepOperator):
    """Triggers the operation that its step names."""

    def perform(self, context: Context, run: step_run.StepRun) -> NoReturn:
        """Trigger the operation."""
        dag = names.dag_id(run.definition.deployment, TRIGGERED[run.step.kind])
        found = context["ti"].xcom_pull(task_ids=StepKind.WATCH.value, key=run.step.id)
        if found is None:
            raise AirflowSkipException("the check of the servers requires no action")
        request = _REQUEST.validate_python(found)
        if context["ti"].get_dag(dag).is_paused:
            raise PausedOperationError(dag, request.why)
        self.log.info("%s is triggered with %s: %s", dag, request.conf, request.why)
        # The same exception that Airflow's TriggerDagRunOperator raises. That operator would load Airflow's database
        # models at each task start.
        raise DagRunTriggerException(
            trigger_dag_id=dag,
            # The same in each try: a retry after a lost worker triggers nothing twice.
            dag_run_id=f"watch__{run.id}",
            conf={
                **request.conf,
                **requests.ReasonedRequest(reason=request.why[: requests.LONGEST_REASON]).conf(),
            },
            note=request.why,
            reset_dag_run=False,
            skip_when_already_exists=True,
            wait_for_completion=False,
            allowed_states=["success"],
            failed_states=["failed"],
            poke_interval=60,
            deferrable=False,
        )
