"""The question before a launch. Loaded only for definitions that have one asked."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context, Param

from gantry.operators import base
from gantry.runtime import xcom

NOTE = "note"


def form() -> dict[str, Param]:
    """What is asked beside yes and no."""
    note = Param(
        "",
        type="string",
        maxLength=500,
        title="Note",
        description="Kept in the log, with the name of the person who answers.",
        section="Your answer",
        source="task",
    )
    return {NOTE: note}


class ApproveOperator(ApprovalOperator):
    """Waits, without a worker, for a person who agrees. After a refusal nothing is started, and no step runs."""

    ui_color = "#fff4d6"

    def execute(self, context: Context) -> Any:  # noqa: ANN401 - Airflow's signature
        """Ask, unless there is nothing to ask about."""
        base.refuse_backfill(context)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> xcom.Result:
        """Say who answered what, and leave out what follows if it was no."""
        user = event.get("responded_by_user") or {}
        who = str(user.get("name") or user.get("id") or "an unknown user")
        note = str((event.get("params_input") or {}).get(NOTE) or "")
        if "error" not in event:
            approved = list(event["chosen_options"]) == [self.APPROVE]
            self.log.info(
                "%s by %s at %s", "approved" if approved else "rejected", who, event["responded_at"]
            )
            self.log.info("note: %s", note or "none")
            if not approved:
                self.log.info("nothing is started")
        # Does not come back after a no: Airflow skips by raising.
        super().execute_complete(context, event)
        return xcom.result(context, [], by=who, note=note)
