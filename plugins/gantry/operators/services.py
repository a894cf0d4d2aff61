"""Services: download and install, datasources, configuration, grants, proxies. Each deals with one step."""

from __future__ import annotations

from collections.abc import Mapping

from gantry import names
from gantry.agent import drive, work
from gantry.operators import run as runs
from gantry.operators import server_step


class InstallServicesOperator(server_step.ServerStepOperator):
    """Every server downloads and installs all services of its tier."""

    def decide(self, run: runs.Run) -> drive.Decide:
        """Look at the archives once; what a server lacks is decided there."""
        wanted = [
            work.Install(
                service,
                run.download(service.archive, service.sha256, f"the archive of service {name!r}"),
                forced=name in run.redeploy,
            )
            for name, service in run.definition.services_of(run.tier).items()
        ]
        return lambda _, applied: work.install_services(run.definition, wanted, applied.marks)


class InstallDatasourcesOperator(server_step.ServerStepOperator):
    """Loads a database service's datasources, unless they are loaded already."""

    def decide(self, run: runs.Run) -> drive.Decide:
        """Look at the dumps once."""
        known = run.facts(run.service)
        dumps: Mapping[names.DatasourceName, work.Download] = {
            name: run.download(
                datasource.dump, datasource.sha256, f"datasource {name!r} of service {run.service!r}"
            )
            for name, datasource in run.definition.services[run.service].datasources.items()
        }
        return lambda target, applied: work.install_datasources(
            known, run.service, run.server(target.name), dumps, applied.marks
        )


class ConfigureOperator(server_step.ServerStepOperator):
    """Hands over `enstratus.cfg`, configures, restarts, and waits for the check."""

    def decide(self, run: runs.Run) -> drive.Decide:
        """Facts are made once, from the whole deployment."""
        known = run.facts(run.service)
        forced = run.service in run.redeploy
        return lambda target, applied: work.configure(
            known, run.service, run.server(target.name), applied, forced=forced
        )

    def questions(self, run: runs.Run) -> drive.Questions:
        """A service that should run and does not is started again, even if no fact has changed."""
        return drive.Questions(checked=run.definition.services[run.service].id)


class RestartOperator(server_step.ServerStepOperator):
    """The second half of the configuration where the datasource comes in between."""

    def decide(self, run: runs.Run) -> drive.Decide:
        """As `ConfigureOperator`."""
        known = run.facts(run.service)
        return lambda target, applied: work.restart(known, run.service, run.server(target.name), applied)

    def questions(self, run: runs.Run) -> drive.Questions:
        """As `ConfigureOperator`."""
        return drive.Questions(checked=run.definition.services[run.service].id)


class GrantAccessOperator(server_step.ServerStepOperator):
    """On the database's servers, opens the access for exactly the dependent's addresses."""

    def decide(self, run: runs.Run) -> drive.Decide:
        """Facts are made once."""
        known = run.facts(run.service)
        dependent = run.step.peer
        if dependent is None:
            raise LookupError(f"{run.step.id} has no peer")
        return lambda target, applied: work.grant_access(
            known, run.service, run.server(target.name), dependent, applied.marks
        )


class StartProxyOperator(server_step.ServerStepOperator):
    """Tells a load balancer of every node of its service."""

    def decide(self, run: runs.Run) -> drive.Decide:
        """Facts are made once."""
        known = run.facts()
        balancer = run.step.balancer
        if balancer is None:
            raise LookupError(f"{run.step.id} is about no load balancer")
        return lambda target, applied: work.start_proxy(
            known, balancer, run.server(target.name), applied.marks
        )
