"""Decisions of each kind of step: which work is left on a server.

The operators execute these decisions and `gantry plan` shows them, so its output is what the next run does. Nothing
here changes anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from gantry import errors, names, requests
from gantry.agent import downloads, fan_out, server_facts, ssh
from gantry.cloud import backups as stored
from gantry.configuration_management import chef, manager, script
from gantry.credentials import connections
from gantry.definition import models
from gantry.plan import StepKind
from gantry.reconcile import (
    backup_work,
    datasource_work,
    load_balancer_work,
    rolling_update_work,
    service_work,
    step_run,
)


class NoManagementError(errors.GantryError):
    """A step of configuration management has a launch configuration without it."""

    def __init__(self, tier: names.TierName) -> None:
        super().__init__(f"tier {tier}: its launch configuration names no configuration management")


def decide(run: step_run.StepRun) -> fan_out.Decide:
    """Return a function that decides which work of the run's step is left on a server.

    Called once per task: everything that the servers share (connections, archives) is read here. The returned function
    is called once per server.

    Raises:
        GantryError: a connection, an archive or a dump that the step needs is not available.
    """
    return DECISIONS[run.step.kind].decide(run)


def questions(run: step_run.StepRun) -> fan_out.Questions:
    """Return what a server is asked besides its marks: a service's check, files."""
    return DECISIONS[run.step.kind].questions(run)


def management(run: step_run.StepRun) -> manager.Manager:
    """Return the configuration management of the step's tier, with its credentials."""
    settings = run.definition.launch_configuration_of(run.tier).configuration_management
    match settings:
        case models.Chef():
            return chef.ChefManager(run.definition, settings, connections.chef_credentials(settings))
        case models.Script():
            wanted_by = f"the configuration management of tier {run.tier!r}"
            found = run.download(settings.program, settings.sha256, wanted_by)
            return script.ScriptManager(run.definition, settings, found)
        case None:
            raise NoManagementError(run.tier)


def _nothing(run: step_run.StepRun) -> fan_out.Questions:  # noqa: ARG001 - as those that ask
    return fan_out.Questions()


def _check(run: step_run.StepRun) -> fan_out.Questions:
    """Check services: one that should run and does not is restarted, even if no fact has changed."""
    return fan_out.Questions(checked=run.definition.services[run.service].id)


def _management_files(run: step_run.StepRun) -> fan_out.Questions:
    is_chef = run.definition.launch_configuration_of(run.tier).chef is not None
    return fan_out.Questions(files=chef.ChefManager.files if is_chef else script.ScriptManager.files)


def _prepare_management(run: step_run.StepRun) -> fan_out.Decide:
    """Write the files that are missing or differ."""
    found = management(run)
    return lambda target, applied: found.prepare(run.server(target.name), applied)


def _execute_management(run: step_run.StepRun) -> fan_out.Decide:
    """Run configuration management where something has changed since it last succeeded."""
    found = management(run)
    occasion = manager.Occasion(run.key.step, forced=run.tier in run.asked(requests.LaunchRequest).converge)
    return lambda target, applied: found.run(run.server(target.name), applied, occasion)


def _install_services(run: step_run.StepRun) -> fan_out.Decide:
    """Download and install on every server the services of its tier that it lacks.

    If a balanced service has run there before, its rolling update does that instead, so that not all servers change at
    once; here it is only determined whether there is something to update.
    """
    definition = run.definition
    wanted = [_install(run, name) for name in definition.services_of(run.tier)]
    rolled = {definition.services[name].id for name in definition.services if definition.update_of(name)}

    def left(_: ssh.Target, applied: fan_out.Applied) -> fan_out.Work:
        later = [
            each
            for each in wanted
            if each.service.id in rolled and rolling_update_work.ran_before(each.service, applied.marks)
        ]
        here = [each for each in wanted if each not in later]
        compares = service_work.compare_archives(definition, later, applied.marks)
        installs = service_work.install_services(definition, here, applied.marks)
        return fan_out.Work((*compares.files, *installs.files), (*compares.jobs, *installs.jobs))

    return left


def _install(run: step_run.StepRun, name: names.ServiceName) -> service_work.Install:
    service = run.definition.services[name]
    archive = run.download(service.archive, service.sha256, f"the archive of service {name!r}")
    return service_work.Install(service, archive, forced=name in run.asked(requests.LaunchRequest).redeploy)


def _update(run: step_run.StepRun) -> fan_out.Decide:
    """Apply everything that has changed since, on a server where a balanced service has run before."""
    known = run.facts(run.service)
    wanted = _install(run, run.service)
    return lambda target, applied: rolling_update_work.update(
        known, run.service, run.server(target.name), applied, wanted
    )


def _install_datasources(run: step_run.StepRun) -> fan_out.Decide:
    """Load the dumps that are not loaded yet, or on a server that replaces a lost one, the backups."""
    known = run.facts(run.service)
    dumps: Mapping[names.DatasourceName, downloads.Download] = {
        name: run.download(
            datasource.dump, datasource.sha256, f"datasource {name!r} of service {run.service!r}"
        )
        for name, datasource in run.definition.services[run.service].datasources.items()
    }
    renewals = {each.service: each for each in run.renewals}
    renewal = renewals.get(run.service)
    backups_: Mapping[names.DatasourceName, downloads.Download] = {}
    if renewal is not None:
        backups_ = {name: _stored(each) for name, each in renewal.backups.items()}

    reloaded = run.asked(requests.LaunchRequest).reload_dump
    reload = datasource_work.Reload(
        frozenset(name for name in dumps if f"{run.service}.{name}" in reloaded), run.digest
    )

    def left(target: ssh.Target, applied: fan_out.Applied) -> fan_out.Work:
        server = run.server(target.name)
        found = backups_ if renewal is not None and server.slot in renewal.slots else {}
        return datasource_work.install_datasources(
            known, run.service, server, dumps, applied.marks, found, reload
        )

    return left


def _configure(run: step_run.StepRun) -> fan_out.Decide:
    """Configure the services; the facts are created once, from the whole deployment."""
    known = run.facts(run.service)
    # Services that are updated in batches have already been redeployed.
    forced = (
        run.service in run.asked(requests.LaunchRequest).redeploy
        and run.definition.update_of(run.service) is None
    )
    return lambda target, applied: service_work.configure(
        known, run.service, run.server(target.name), applied, forced=forced
    )


def _restart(run: step_run.StepRun) -> fan_out.Decide:
    """Restart the services: the second half of the configuration if the datasource is loaded in between."""
    known = run.facts(run.service)
    return lambda target, applied: service_work.restart(known, run.service, run.server(target.name), applied)


def _configure_replicants(run: step_run.StepRun) -> fan_out.Decide:
    """As `_configure`, on the servers that it leaves out."""
    known = run.facts(run.service)
    forced = run.service in run.asked(requests.LaunchRequest).redeploy
    return lambda target, applied: service_work.configure_replicant(
        known, run.service, run.server(target.name), applied, forced=forced
    )


def _grant_access(run: step_run.StepRun) -> fan_out.Decide:
    """On the database's servers: grant access to exactly the dependent's addresses."""
    known = run.facts(run.service)
    dependent = run.step.peer
    if dependent is None:
        raise LookupError(f"{run.step.id} has no peer")
    return lambda target, applied: service_work.grant_access(
        known, run.service, run.server(target.name), dependent, applied.marks
    )


def _start_proxy(run: step_run.StepRun) -> fan_out.Decide:
    """On a balancer: join every node of its service."""
    known = run.facts()
    balancer = _balancer(run)
    return lambda target, applied: load_balancer_work.start_proxy(
        known, balancer, run.server(target.name), applied.marks
    )


def _stop_proxy(run: step_run.StepRun) -> fan_out.Decide:
    """Remove all nodes that the balancer knows."""
    balancer = _balancer(run)
    return lambda _, applied: load_balancer_work.stop_proxy(run.definition, balancer, applied.marks)


def _balancer(run: step_run.StepRun) -> names.BalancerName:
    if run.step.balancer is None:
        raise LookupError(f"{run.step.id} is about no load balancer")
    return run.step.balancer


def _release_nodes(run: step_run.StepRun) -> fan_out.Decide:
    """On a balancer: remove the leaving nodes, even if it does not report them."""
    # Only addresses: no secret is read for that.
    known = server_facts.Facts(run.definition, run.inventory, {})
    balancer = _balancer(run)
    return lambda _, __: load_balancer_work.release_nodes(known, balancer)


def _retire_servers(run: step_run.StepRun) -> fan_out.Decide:
    """Stop everything that is installed there."""
    return lambda _, applied: service_work.stop_services(run.definition, run.tier, applied.marks)


def _stop_service(run: step_run.StepRun) -> fan_out.Decide:
    """Stop the service if it is installed."""
    service = run.definition.services[run.service]
    return lambda _, applied: service_work.stop_service(run.definition, service, applied.marks)


def _back_up(run: step_run.StepRun) -> fan_out.Decide:
    """Write the backup file and upload it to the location of this run's backup."""
    known = run.facts(run.service)
    url = run.shelf(run.backup).url(run.backup_object)

    def left(target: ssh.Target, applied: fan_out.Applied) -> fan_out.Work:
        try:
            return backup_work.back_up(known, run.backed_up, run.server(target.name), url, applied.marks)
        except backup_work.NotInstalledError:
            if not run.is_termination:
                raise
            # A service that was never installed must not block a termination.
            return fan_out.Work()

    return left


def _restore(run: step_run.StepRun) -> fan_out.Decide:
    """Load or install the chosen backup."""
    if run.restored is None:
        raise LookupError(f"{run.step.id}: no backup is chosen")
    found, known, datasource = run.restored, run.facts(run.service), run.backed_up.datasource
    backup = _stored(found)
    if datasource is None:
        return lambda target, applied: backup_work.restore_service(
            known, run.service, run.server(target.name), backup, found.manifest.archive, applied
        )
    return lambda target, applied: backup_work.restore_datasource(
        known, run.service, datasource, run.server(target.name), backup, applied.marks
    )


def _stored(found: stored.Stored) -> downloads.Download:
    """Return a backup as a download for a server."""
    return downloads.Download(found.url, found.manifest.sha256, found.manifest.sha256)


def _check_backup(run: step_run.StepRun) -> fan_out.Decide:
    """Run the definition's check of a restored backup."""
    drill = run.backup_settings.drill
    if drill is None or run.backup not in drill.check:
        raise LookupError(f"{run.step.id}: nothing is to be checked")
    # Only names and addresses: no secret is read for that.
    known = server_facts.Facts(run.definition, run.inventory, {})
    script, seconds = drill.check[run.backup], drill.timeout.total_seconds()
    return lambda target, applied: backup_work.check_backup(
        known, run.service, run.server(target.name), script, seconds, applied.marks
    )


@dataclasses.dataclass(frozen=True)
class StepDecision:
    """The decision functions of a kind of step."""

    decide: Callable[[step_run.StepRun], fan_out.Decide]
    questions: Callable[[step_run.StepRun], fan_out.Questions] = _nothing


DECISIONS: dict[StepKind, StepDecision] = {
    StepKind.PREPARE_CONFIGURATION_MANAGEMENT: StepDecision(_prepare_management, _management_files),
    StepKind.EXECUTE_CONFIGURATION_MANAGEMENT: StepDecision(_execute_management, _management_files),
    StepKind.INSTALL_SERVICES: StepDecision(_install_services),
    StepKind.INSTALL_DATASOURCES: StepDecision(_install_datasources),
    StepKind.UPDATE: StepDecision(_update, _check),
    StepKind.CONFIGURE: StepDecision(_configure, _check),
    StepKind.RESTART: StepDecision(_restart, _check),
    StepKind.CONFIGURE_REPLICANTS: StepDecision(_configure_replicants, _check),
    StepKind.GRANT_ACCESS: StepDecision(_grant_access),
    StepKind.START_PROXY: StepDecision(_start_proxy),
    StepKind.RELEASE_NODES: StepDecision(_release_nodes),
    StepKind.RETIRE_SERVERS: StepDecision(_retire_servers),
    StepKind.STOP_PROXY: StepDecision(_stop_proxy),
    StepKind.STOP_SERVICE: StepDecision(_stop_service),
    StepKind.BACK_UP: StepDecision(_back_up),
    StepKind.RESTORE: StepDecision(_restore),
    StepKind.CHECK_BACKUP: StepDecision(_check_backup),
}
"""The decisions of all kinds of steps that decide per server."""
