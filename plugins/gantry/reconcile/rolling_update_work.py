"""Rolling update of a balanced service: work on one of its servers, and on the balancers before and after.

Pure functions, as in `work`, from which they are composed: the usual steps find nothing left to do afterwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from gantry import inventory, names
from gantry.agent import addresses, downloads, jobs, server_facts, session
from gantry.agent.fan_out import Applied, Work
from gantry.definition import models
from gantry.reconcile import load_balancer_work, service_work

_REPLACING = frozenset({"withDownload", "putConfig", "configureService"})
"""Scripts after which the previous version is gone."""

_BEFORE = frozenset({"keepService", "withDownload"})
"""Scripts that may have failed before they replaced any part of the running version."""


@dataclasses.dataclass(frozen=True)
class Version:
    """The version that runs on a server: the archive's version, and the digest of everything applied with it."""

    archive: str
    applied: str

    def __str__(self) -> str:
        return f"{self.archive} {self.applied}"


def ran_before(service: models.Service, marks: service_work.Marks) -> bool:
    """Return whether a service has run on a server before: only then does the update need care."""
    return _running(service, marks) is not None or _kept(service) in marks


def update(
    known: server_facts.Facts,
    name: names.ServiceName,
    server: inventory.Server,
    applied: Applied,
    wanted: service_work.Install,
) -> Work:
    """Save the running version, install, configure, restart, wait for the check; no work if nothing has changed."""
    if not ran_before(wanted.service, applied.marks):
        return Work()
    # The configuration below depends on the recorded archive, so that is determined first.
    install = service_work.install_services(known.definition, (wanted,), applied.marks, settled=True)
    later = dataclasses.replace(applied, marks=jobs.after(applied.marks, install.jobs))
    configure = service_work.configure(known, name, server, later, forced=wanted.forced)
    if [job.script for job in configure.jobs] == ["putConfig"]:
        # Only the file's owner changes to root. That alone does not justify leaving the load balancers: the usual step
        # does it.
        configure = Work()
    changes = (*install.jobs, *configure.jobs)
    running = _running(wanted.service, applied.marks)
    if running is not None and replaces(changes):
        changes = (_keep(known.definition, wanted.service, running), *changes)
    return Work((*install.files, *configure.files), changes)


def replaces(done: Sequence[jobs.Job]) -> bool:
    """Return whether jobs replace a part of the running version: only then is there one to roll back to."""
    return any(job.script in _REPLACING for job in done)


def has_changed_nothing(
    service: models.Service, failed: jobs.ServerProgress, before: service_work.Marks, now: Applied
) -> bool:
    """Return whether an update failed on a server before it replaced the running version, which is healthy."""
    if (failed.failure is not None and failed.failure.transient) or failed.index >= len(failed.jobs):
        # After a lost connection, the job may still be running.
        return False
    if failed.jobs[failed.index].script not in _BEFORE or replaces(failed.jobs[: failed.index]):
        return False
    running = _running(service, before)
    return running is not None and running == _running(service, now.marks) and now.healthy


def roll_back(known: server_facts.Facts, name: names.ServiceName, marks: service_work.Marks) -> Work:
    """Restore the saved version and restart it; no work if none was saved."""
    service = known.definition.services[name]
    archive, _, applied = marks.get(_kept(service), "").partition(" ")
    if not archive:
        return Work()
    timeouts = known.definition.timeouts
    certificate = known.certificate(service.tls)
    brief = downloads.short(f"{archive} {applied}")
    files = certificate.files(f"{session.TEMPORARY}/back-{service.id}") if certificate else ()
    paths = tuple(file.path for file in files)
    stop, start, check = service_work.restart_jobs(known.definition, service, applied, prefix="back-")
    restore = jobs.Job(
        f"restore-{service.id}-{brief}",
        "revertService",
        (service.id,),
        timeouts.install_services.total_seconds(),
        mark=(f"{service.id}/archive", archive),
        unmark=service_work.installed_marks(service),
    )
    configure = jobs.Job(
        f"back-configure-{service.id}-{brief}",
        "configureService",
        (
            known.definition.user_of(service),
            known.definition.customer_of(service),
            service.id,
            *((service.tls.address, *paths) if service.tls else ()),
        ),
        timeouts.configure.total_seconds(),
        remove=paths,
        mark=(f"{service.id}/configured", applied),
    )
    return Work(files, (stop, restore, configure, start, check))


def leave(
    definition: models.Definition,
    name: names.ServiceName,
    on: inventory.Server,
    nodes: Sequence[inventory.Server],
    attempt: str,
) -> Work:
    """On a balancer: remove nodes, and wait until no requests to them are open.

    The jobs' names include the try: a node that has rejoined since has to leave again.
    """
    seconds = definition.drain_of(name).total_seconds()
    fronts = _fronts(definition, name, on)
    gone = tuple(
        jobs.Job(
            f"leave-{addresses.word(addresses.of(node))}-{attempt}",
            "stopProxy",
            (addresses.of(node),),
            definition.timeouts.stop.total_seconds(),
            unmark=tuple(
                load_balancer_work.joined(definition, front, addresses.of(node)) for front in fronts.values()
            ),
        )
        for node in nodes
    )
    drained = tuple(
        load_balancer_work.await_drained(
            balanced,
            addresses.of(node),
            seconds,
            f"drained-{balanced}-{addresses.word(addresses.of(node))}-{attempt}",
        )
        for node in nodes
        for balanced in (
            server_facts.balanced_as(definition, each) for each in fronts.values() if each.service == name
        )
    )
    return Work((), (*gone, *drained))


def join(
    known: server_facts.Facts,
    name: names.ServiceName,
    on: inventory.Server,
    nodes: Mapping[names.ServerName, service_work.Marks],
    attempt: str,
) -> Work:
    """On a balancer: take nodes back, also for other services that run on them. `nodes` has their marks."""
    found = Work()
    for key, front in _fronts(known.definition, name, on).items():
        back = [
            addresses.of(server)
            for server in known.servers
            if server.name in nodes and _runs(known.definition, name, front, nodes[server.name])
        ]
        if back:
            joining = load_balancer_work.join(known, key, on, back, f"-{attempt}")
            found = Work((*found.files, *joining.files), (*found.jobs, *joining.jobs))
    return found


def is_joined(
    definition: models.Definition,
    name: names.ServiceName,
    on: inventory.Server,
    marks: service_work.Marks,
    node: inventory.Server,
    node_marks: service_work.Marks,
) -> bool:
    """Return whether a balancer sends traffic to a node, for every service that runs on it."""
    return all(
        load_balancer_work.joined(definition, front, addresses.of(node)) in marks
        for front in _fronts(definition, name, on).values()
        if _runs(definition, name, front, node_marks)
    )


def _fronts(
    definition: models.Definition, name: names.ServiceName, on: inventory.Server
) -> dict[names.BalancerName, models.LoadBalancer]:
    return {key: each for key, each in definition.balancers_before(name).items() if each.tier == on.tier}


def _runs(
    definition: models.Definition,
    name: names.ServiceName,
    front: models.LoadBalancer,
    marks: service_work.Marks,
) -> bool:
    """Return whether a node should get a balancer's traffic: other services count only where they are set up."""
    other = definition.services[front.service]
    return front.service == name or ran_before(other, marks)


def _running(service: models.Service, marks: service_work.Marks) -> Version | None:
    archive, applied = marks.get(f"{service.id}/archive"), marks.get(f"{service.id}/applied")
    return Version(archive, applied) if archive and applied else None


def _keep(definition: models.Definition, service: models.Service, running: Version) -> jobs.Job:
    return jobs.Job(
        f"keep-{service.id}-{downloads.short(str(running))}",
        "keepService",
        (service.id,),
        definition.timeouts.install_services.total_seconds(),
        mark=(_kept(service), str(running)),
        unmark=(_kept(service),),
    )


def _kept(service: models.Service) -> str:
    return f"{service.id}/kept"
