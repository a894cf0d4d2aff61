"""Approval task before a launch. Imported only if the definition requires approval."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context, Param

from gantry.operators import base
from gantry.runtime import xcom

NOTE = "note"


def form() -> dict[str, Param]:
    """Return the fields that the approval form shows besides yes and no."""
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
    """Waits for a person's approval without occupying a worker. After a refusal, all later steps are skipped."""

    ui_color = "#fff4d6"

    def execute(self, context: Context) -> Any:  # noqa: ANN401 - Airflow's signature
        """Ask for approval, unless there is nothing to ask about."""
        base.refuse_backfill(context)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> xcom.Result:
        """Report who answered and how; skip the downstream tasks if the answer was no."""
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
        # After a no, this does not return: Airflow skips by raising.
        super().execute_complete(context, event)
        return xcom.result(context, [], by=who, note=note)
