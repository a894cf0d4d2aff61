"""Scaling out and in: who leaves is chosen, let go of by the balancers, and taken away at the end."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from gantry import errors, names
from gantry.agent import ssh
from gantry.operators import base, server_retirement, server_step
from gantry.reconcile import step_run, tier_size
from gantry.runtime import xcom


class NoServersToScaleError(errors.GantryError):
    """A deployment without servers: it is launched, not scaled."""

    def __init__(self, deployment: names.DeploymentName) -> None:
        self.deployment = deployment
        super().__init__(
            f"deployment {deployment} has no servers, so there is nothing to scale\n"
            f"Launch it first; the form of the launch takes numbers of servers too."
        )


class ChooseServersOperator(base.StepOperator):
    """Notes in the cloud how many servers each tier shall have, and which ones leave: those of the highest slots."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Check every number before the first note is made; a repeated call finds what it has noted."""
        if not run.inventory.everything:
            if run.by_clock:
                raise AirflowSkipException(f"{run.definition.deployment} is not launched: nothing to scale")
            raise NoServersToScaleError(run.definition.deployment)
        counts = {
            tier: tier_size.wanted_servers(run.definition, tier, count)
            for tier, count in run.scaled_to.items()
        }
        if not counts:
            self.log.info("no number is given: every tier stays as large as it is")
        for tier, count in counts.items():
            has = run.inventory.of_tier(tier)
            staying, going = has[:count], has[count:]
            self.log.info(
                "scaling event: tier %s, before %d, wanted %d, leaving: %s",
                tier, len(has), count, ", ".join(each.name for each in going) or "none",
            )  # fmt: skip
            # First who stays: a lost worker must not leave fewer servers behind than are remembered.
            run.cloud.remember_wanted(staying, count)
            run.cloud.let_leave(going)
        return xcom.result(context, [])


class ReleaseNodesOperator(server_step.ServerStepOperator):
    """A load balancer's servers let go of the nodes that leave, and finish what is under way there."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's
        super().__init__(servers=(), **kwargs)

    def targets(self, run: step_run.StepRun) -> list[ssh.Target]:
        """All servers of the balancer, if there is anything to let go of."""
        return server_retirement.balancers(run)


class RetireServersOperator(base.StepOperator):
    """Takes a tier's leaving servers away: nobody needs them any more."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Stop what answers, forget the servers where Chef knows them, terminate them, and wait until they are gone."""
        found = server_retirement.retire(context, run, self)
        return xcom.result(context, [], retired=list(found.ended), skipped=list(found.skipped))
