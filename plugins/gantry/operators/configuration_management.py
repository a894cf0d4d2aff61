"""Operators of a launch's phases 2 and 3 (configuration management), and its cleanup when servers are terminated."""

from __future__ import annotations

from collections.abc import Sequence

from airflow.sdk import Context

from gantry import errors, names
from gantry.agent import fan_out, ssh
from gantry.configuration_management import chef, chef_server
from gantry.credentials import connections
from gantry.definition import models
from gantry.operators import base, server_step
from gantry.reconcile import output_readers, step_run, step_work
from gantry.runtime import xcom


class PrepareConfigurationManagementOperator(server_step.ServerStepOperator):
    """Prepares servers for configuration management, and deletes former servers' registrations with Chef."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Prepare the servers; then remove what earlier servers of the same names left on the Chef server."""
        self._new: set[names.ServerName] = set()
        report = super().perform(context, run)
        settings = run.definition.launch_configuration_of(run.tier).chef
        if settings is not None and self._new:
            self._make_way(connections.chef_credentials(settings))
        return report

    def decide(self, run: step_run.StepRun) -> fan_out.Decide:
        """Return the job: write files that are missing or differ. Servers that are new to Chef are recorded."""
        prepare = super().decide(run)
        is_chef = run.definition.launch_configuration_of(run.tier).chef is not None

        def decide(target: ssh.Target, applied: fan_out.Applied) -> fan_out.Work:
            found = prepare(target, applied)
            if is_chef and not chef.registered(applied):
                self._new.add(target.name)
            sent = " ".join(file.path for file in found.files) or "none, all are up to date"
            self.log.info("%s: files sent: %s", target.name, sent)
            return found

        return decide

    def _make_way(self, credentials: chef.Credentials) -> None:
        """Remove registrations under the name of a server that has no key: they belong to an earlier server."""
        if credentials.admin is None:
            self.log.info(
                "connection %s has no admin key: what a former server of the same name has left on the Chef server "
                "cannot be removed",
                credentials.connection,
            )
            return
        try:
            found = chef.forget(credentials, self._new)
        except chef_server.ChefServerUnreachableError as error:
            # The servers may still reach it; if a registration is left, their run reports it.
            self.log.warning(
                "leftovers of earlier servers with the same names were not searched for: %s", error
            )
            return
        for what in found.removed:
            self.log.info("removed from the Chef server, left by an earlier server: %s", what)
        for name in found.others:
            self.log.warning("%s", not_ours(name, credentials))


class ExecuteConfigurationManagementOperator(server_step.ServerStepOperator):
    """Runs configuration management where something has changed since it last succeeded."""

    def reader(self, run: step_run.StepRun) -> output_readers.Name | None:
        """Return the reader of Chef's output, which shows what was updated and explains failures."""
        return "chef" if run.definition.launch_configuration_of(run.tier).chef is not None else None


class CleanUpConfigurationManagementOperator(base.StepOperator):
    """Removes a tier's nodes and clients from the Chef server when their servers are gone."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Remove everything registered under the tier's possible server names; log what cannot be removed."""
        settings = run.definition.launch_configuration_of(run.tier).chef
        if settings is None:
            raise step_work.NoManagementError(run.tier)
        skipped = forget(self, context, settings, possible_names(run.definition, run.tier))
        for line in skipped:
            self.log.warning("skipped: %s", line)
        return xcom.result(context, [], skipped=skipped)


def forget(
    operator: base.StepOperator, context: Context, settings: models.Chef, gone: Sequence[names.ServerName]
) -> list[str]:
    """Remove the nodes and clients of terminated servers from the Chef server; return what could not be removed.

    Args:
        operator: the calling task; removals are written to its log.
        context: the context of the task's try, which shows whether further tries follow.
        settings: the Chef server and the login for it.
        gone: the names of the terminated servers.

    Raises:
        GantryError: a transient error, in any try but the last.
    """
    instance = context["ti"]
    last_try = instance.try_number > (instance.max_tries or 0)
    nodes = f"nodes and clients {gone[0]} …"
    try:
        credentials = connections.chef_credentials(settings)
        if credentials.admin is None:
            return [f"{nodes} stay on {credentials.url}: connection {settings.connection} has no admin key"]
        found = chef.forget(credentials, gone)
    except errors.GantryError as error:
        # The servers are gone; an error of the Chef server or of a connection must not fail the end of the run.
        if error.transient and not last_try:
            raise
        return [f"{nodes} may still be on the Chef server: {error.failure.headline}"]
    operator.log.info("removed from the Chef server: %s", ", ".join(found.removed) or "nothing was there")
    return [not_ours(name, credentials) for name in found.others]


def not_ours(node: str, credentials: chef.Credentials) -> str:
    """Return why a node is not removed."""
    return (
        f"node {node} stays on the Chef server: it has no mark of origin of connection "
        f"{credentials.connection} ({credentials.origin or 'none'}), so it may be another Airflow's"
    )


def possible_names(definition: models.Definition, tier: names.TierName) -> tuple[names.ServerName, ...]:
    """Return the names that servers of a tier can have had, also with a larger maximum.

    Includes only those within today's maximum if the names do not contain the deployment's: other deployments may
    share the pattern.
    """
    if "deployment.name" not in definition.server_name:
        return definition.names_of(tier)
    return tuple(definition.name_of(tier, slot) for slot in range(1, models.MOST_SERVERS + 1))
