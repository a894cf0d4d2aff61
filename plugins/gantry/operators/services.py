"""Service operators: download and install, datasources, configuration, grants, load balancers.

What each step does on a server is defined in `gantry.reconcile.step_work`; the subclasses give tasks their names.
"""

from __future__ import annotations

import dataclasses

from airflow.sdk import Context

from gantry import names, requests
from gantry.operators import server_step
from gantry.reconcile import data_renewal, step_run
from gantry.runtime import lost_server_report, xcom


class InstallServicesOperator(server_step.ServerStepOperator):
    """Downloads and installs all services of a tier on each of its servers."""


class InstallDatasourcesOperator(server_step.ServerStepOperator):
    """Loads a database service's datasources unless they are loaded already. Lost ones are restored from the backup."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Run the jobs as any server step does; where the data will be is recorded before there is any."""
        memory = lost_server_report.memory(run)
        servers = [run.server(names.ServerName(each)) for each in self.servers]
        for server in servers:
            memory.begin(run.service, server)
        # Checked again: since the run looked for lost servers, one may have been lost and its slot filled.
        answers = data_renewal.DataEvidence(run.asked(requests.LostDataRequest).from_dump)
        renewals = data_renewal.renewals(
            run.definition, run.inventory, {}, memory, lambda name: run.shelf(name).find(""), answers
        )
        return super().perform(context, dataclasses.replace(run, renewals=renewals))

    def holding(self, run: step_run.StepRun) -> dict[str, str]:
        """Return the data that exists when everything is loaded."""
        servers = [run.server(names.ServerName(each)) for each in self.servers]
        return lost_server_report.memory(run).holding(run.service, servers)


class ConfigureOperator(server_step.ServerStepOperator):
    """Writes `enstratus.cfg`, configures and restarts the service, and waits for its check."""


class RestartOperator(server_step.ServerStepOperator):
    """Second half of the configuration, for services whose datasource is loaded in between."""


class ConfigureReplicantsOperator(server_step.ServerStepOperator):
    """Configures and starts the replicants of a replicated service, whose master is already running."""


class GrantAccessOperator(server_step.ServerStepOperator):
    """Grants access to a database, on its servers, to exactly the addresses of the dependent service."""


class StartProxyOperator(server_step.ServerStepOperator):
    """Configures a load balancer with every node of its service."""
