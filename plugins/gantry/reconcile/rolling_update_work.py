"""What the update of a balanced service does: on one of its servers, and on the balancers before and after.

Pure functions, as in `work`, of which the update is made: what it has done, the usual steps find done.
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
"""Scripts after which the version that ran before is not there any more."""

_BEFORE = frozenset({"keepService", "withDownload"})
"""Scripts that may have failed before they put anything in the place of the version that ran."""


@dataclasses.dataclass(frozen=True)
class Version:
    """What runs on a server: the archive's version, and the digest of all that was applied with it."""

    archive: str
    applied: str

    def __str__(self) -> str:
        return f"{self.archive} {self.applied}"


def ran_before(service: models.Service, marks: service_work.Marks) -> bool:
    """Whether a service has run on a server once: only then is there something to be careful with."""
    return _running(service, marks) is not None or _kept(service) in marks


def update(
    known: server_facts.Facts,
    name: names.ServiceName,
    server: inventory.Server,
    applied: Applied,
    wanted: service_work.Install,
) -> Work:
    """Keep what runs, install, configure, restart, wait for the check; nothing where nothing has changed."""
    if not ran_before(wanted.service, applied.marks):
        return Work()
    # What is configured below depends on what is noted of the archive, so that is settled beforehand.
    install = service_work.install_services(known.definition, (wanted,), applied.marks, settled=True)
    later = dataclasses.replace(applied, marks=jobs.after(applied.marks, install.jobs))
    configure = service_work.configure(known, name, server, later, forced=wanted.forced)
    if [job.script for job in configure.jobs] == ["putConfig"]:
        # The file is only made root's. That is no reason to leave the load balancers: the usual step does it.
        configure = Work()
    changes = (*install.jobs, *configure.jobs)
    running = _running(wanted.service, applied.marks)
    if running is not None and replaces(changes):
        changes = (_keep(known.definition, wanted.service, running), *changes)
    return Work((*install.files, *configure.files), changes)


def replaces(done: Sequence[jobs.Job]) -> bool:
    """Whether jobs put something in the place of the version that ran: only then there is one to go back to."""
    return any(job.script in _REPLACING for job in done)


def has_changed_nothing(
    service: models.Service, failed: jobs.ServerProgress, before: service_work.Marks, now: Applied
) -> bool:
    """Whether an update has failed on a server before the version that runs there made way, and it runs well."""
    if (failed.failure is not None and failed.failure.transient) or failed.index >= len(failed.jobs):
        # A connection that was lost: what it was about may go on.
        return False
    if failed.jobs[failed.index].script not in _BEFORE or replaces(failed.jobs[: failed.index]):
        return False
    running = _running(service, before)
    return running is not None and running == _running(service, now.marks) and now.healthy


def roll_back(known: server_facts.Facts, name: names.ServiceName, marks: service_work.Marks) -> Work:
    """Put the version back that was kept, and restart it; nothing where none was kept."""
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
    """On a balancer: let go of nodes, and wait until nothing is under way to them.

    The jobs are named after the try: a node that has joined again since has to leave again.
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
    """On a balancer: take nodes back, also for other services that run on them. `nodes` are their marks."""
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
    """Whether a balancer sends traffic to a node, for everything that runs on it."""
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
    """Whether a node should have a balancer's traffic: other services only where they have been set up."""
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
