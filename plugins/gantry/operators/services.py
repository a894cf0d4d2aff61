"""Services: download and install, datasources, configuration, grants, proxies.

What each step does on a server stands in `gantry.reconcile.step_work`; a class of its own gives its tasks their name.
"""

from __future__ import annotations

import dataclasses

from airflow.sdk import Context

from gantry import names
from gantry.operators import server_step
from gantry.reconcile import data_renewal, step_run
from gantry.runtime import lost_server_report, xcom


class InstallServicesOperator(server_step.ServerStepOperator):
    """Every server downloads and installs all services of its tier."""


class InstallDatasourcesOperator(server_step.ServerStepOperator):
    """Loads a database service's datasources, unless they are loaded already. What is lost comes from its backup."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """As any step on servers; it is noted where the data is before there is any."""
        memory = lost_server_report.memory(run)
        servers = [run.server(names.ServerName(each)) for each in self.servers]
        for server in servers:
            memory.begin(run.service, server)
        # Asked again: a server may have been lost, and its slot filled, since the run has looked for lost ones.
        answers = data_renewal.DataEvidence(run.from_dump)
        renewals = data_renewal.renewals(
            run.definition, run.inventory, {}, memory, lambda name: run.shelf(name).find(""), answers
        )
        return super().perform(context, dataclasses.replace(run, renewals=renewals))

    def holding(self, run: step_run.StepRun) -> dict[str, str]:
        """The data that is there when all is loaded."""
        servers = [run.server(names.ServerName(each)) for each in self.servers]
        return lost_server_report.memory(run).holding(run.service, servers)


class ConfigureOperator(server_step.ServerStepOperator):
    """Hands over `enstratus.cfg`, configures, restarts, and waits for the check."""


class RestartOperator(server_step.ServerStepOperator):
    """The second half of the configuration where the datasource comes in between."""


class ConfigureReplicantsOperator(server_step.ServerStepOperator):
    """Configures and starts the copies of a replicated service, whose master runs by now."""


class GrantAccessOperator(server_step.ServerStepOperator):
    """On the database's servers, opens the access for exactly the dependent's addresses."""


class StartProxyOperator(server_step.ServerStepOperator):
    """Tells a load balancer of every node of its service."""
