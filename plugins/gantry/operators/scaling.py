"""Scaling: choose the servers that leave, remove them from the load balancers, and terminate them at the end."""

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
    """The deployment has no servers: it must be launched, not scaled."""

    def __init__(self, deployment: names.DeploymentName) -> None:
        self.deployment = deployment
        super().__init__(
            f"deployment {deployment} has no servers, so there is nothing to scale\n"
            f"Launch it first; the launch form accepts numbers of servers, too."
        )


class ChooseServersOperator(base.StepOperator):
    """Records in the cloud how many servers each tier shall have, and which ones leave: those of the highest slots."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Check every number before anything is recorded; a repeated call finds what the first one recorded."""
        if not run.inventory.everything:
            if run.by_clock:
                raise AirflowSkipException(f"{run.definition.deployment} is not launched: nothing to scale")
            raise NoServersToScaleError(run.definition.deployment)
        counts = {
            tier: tier_size.wanted_servers(run.definition, tier, count)
            for tier, count in run.scaled_to.items()
        }
        if not counts:
            self.log.info("no number is given: no tier changes its size")
        for tier, count in counts.items():
            has = run.inventory.of_tier(tier)
            staying, going = has[:count], has[count:]
            self.log.info(
                "scaling event: tier %s, before %d, wanted %d, leaving: %s",
                tier, len(has), count, ", ".join(each.name for each in going) or "none",
            )  # fmt: skip
            # Record first which servers stay: after a crash, there must not be fewer servers than recorded.
            run.cloud.remember_wanted(staying, count)
            run.cloud.let_leave(going)
        return xcom.result(context, [])


class ReleaseNodesOperator(server_step.ServerStepOperator):
    """Removes leaving nodes from a load balancer's servers, and waits until their open requests are finished."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's
        super().__init__(servers=(), **kwargs)

    def targets(self, run: step_run.StepRun) -> list[ssh.Target]:
        """Return all servers of the balancer, if nodes have to be removed."""
        return server_retirement.balancers(run)


class RetireServersOperator(base.StepOperator):
    """Terminates a tier's leaving servers, which are no longer needed."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Stop services where possible, remove the servers from Chef, terminate them, and wait until they are gone."""
        found = server_retirement.retire(context, run, self)
        return xcom.result(context, [], retired=list(found.ended), skipped=list(found.skipped))
