"""Work of each service step on one server: turns facts, and what is applied there, into files and jobs.

Pure functions. A job's name contains a digest of what it applies, so within one run a changed archive or changed facts
make a new job, and unchanged ones are not applied twice.
"""

from __future__ import annotations

import dataclasses
import graphlib
import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal

from gantry import inventory, names
from gantry.agent import config_file, content_digests, downloads, jobs, layout, server_facts, session, tls
from gantry.agent.fan_out import Applied, Work
from gantry.definition import models

Marks = Mapping[str, str]
_CHECK_SLACK = 30.0
"""Extra seconds beyond the timeout of `awaitService`, in which it reports what it last saw."""


@dataclasses.dataclass(frozen=True)
class Install:
    """A service to install, and whether to install it even if it is already there."""

    service: models.Service
    archive: downloads.Download
    forced: bool = False


def install_services(
    definition: models.Definition, wanted: Iterable[Install], marks: Marks, *, settled: bool = False
) -> Work:
    """Download and install all services of the tier that the server lacks.

    Args:
        definition: the deployment's definition.
        wanted: the services.
        marks: the server's marks.
        settled: the mark of an archive is decided here, not by its content: for a step that has to know the mark
            beforehand.
    """
    found = [_install(definition, each, marks, settled=settled) for each in wanted]
    return Work((), tuple(job for each in found for job in each.jobs))


def _install(definition: models.Definition, wanted: Install, marks: Marks, *, settled: bool) -> Work:
    service, archive, key = wanted.service, wanted.archive, layout.archive_mark(wanted.service)
    standing = content_digests.standing(marks, key, archive.version, archive.sha256)
    if standing is content_digests.ContentState.SAME and not wanted.forced:
        return Work() if settled else _mend(definition, wanted, marks)
    target = f"{session.TEMPORARY}/{service.id}{downloads.suffix_of(archive.url)}"
    digest = content_digests.offered(marks, key, archive.version, archive.sha256)
    noted = archive.version if digest is None and settled else digest
    job = downloads.applied(
        f"install-{service.id}-{downloads.short(archive.version)}",
        archive,
        target,
        downloads.Applying(
            key,
            noted,
            may_be_same=standing is content_digests.ContentState.UNKNOWN
            and not wanted.forced
            and not settled,
            # A different archive has to be configured again, even if no fact has changed.
            forgets=installed_marks(service),
        ),
        _install_call(definition, service, target),
        definition.timeouts.install_services.total_seconds(),
    )
    return Work((), (dataclasses.replace(job, mark=(owned_mark(service), ROOT)),))


def _mend(definition: models.Definition, wanted: Install, marks: Marks) -> Work:
    """Reinstall the same archive if an older Gantry made the service's user its owner: root executes files in it.

    The service keeps running.
    """
    service = wanted.service
    if owned_mark(service) in marks:
        return Work()
    target = f"{session.TEMPORARY}/{service.id}{downloads.suffix_of(wanted.archive.url)}"
    job = downloads.fetched(
        f"own-{service.id}-{downloads.short(wanted.archive.version)}",
        wanted.archive,
        target,
        _install_call(definition, service, target),
        definition.timeouts.install_services.total_seconds(),
        (owned_mark(service), ROOT),
    )
    return Work((), (job,))


def _install_call(definition: models.Definition, service: models.Service, target: str) -> tuple[str, ...]:
    customer, user = definition.customer_of(service), definition.user_of(service)
    return ("installService", service.id, customer, user, target)


def compare_archives(definition: models.Definition, wanted: Iterable[Install], marks: Marks) -> Work:
    """Find out what has changed in archives whose objects in the store have changed; no other version is installed.

    For archives that an update installs later: before it removes a server from its load balancers, it has to know
    whether there is anything to install, and that it can be installed.
    """
    calls: list[jobs.Job] = []
    for each in wanted:
        key, archive = layout.archive_mark(each.service), each.archive
        standing = content_digests.standing(marks, key, archive.version, archive.sha256)
        if standing is content_digests.ContentState.SAME:
            calls += _mend(definition, each, marks).jobs
            continue
        timeout = definition.timeouts.install_services.total_seconds()
        check = (content_digests.CHECKS, each.service.id)
        name = f"{each.service.id}-{downloads.short(archive.version)}"
        if standing is content_digests.ContentState.UNKNOWN:
            words = "it will be updated"
            calls.append(downloads.compared(f"compare-{name}", archive, key, words, timeout, check))
        elif not content_digests.was_looked_at(marks, key, archive.version):
            target = f"{session.TEMPORARY}/check-{name}{downloads.suffix_of(archive.url)}"
            calls.append(downloads.fetched(f"check-{name}", archive, target, (*check, target), timeout))
    return Work((), tuple(calls))


def configure(
    known: server_facts.Facts,
    name: names.ServiceName,
    server: inventory.Server,
    applied: Applied,
    *,
    forced: bool = False,
) -> Work:
    """Write `enstratus.cfg`, configure, restart, wait for the check; no work if nothing has changed.

    A service that is configured as intended but whose check fails is only restarted. With the other order of steps
    (configure first), the restart is a step of its own. On a master, access is then granted to its replicants, which
    are configured after it.
    """
    if known.is_replicant(name, server):
        return Work()
    separate = separate_restart(known.definition.services[name])
    found = _set_up(known, name, server, applied, forced=forced, restarts=not separate)
    return found if separate else _then_open(known, name, server, applied.marks, found)


def configure_replicant(
    known: server_facts.Facts,
    name: names.ServiceName,
    server: inventory.Server,
    applied: Applied,
    *,
    forced: bool = False,
) -> Work:
    """As `configure`, for the replicants of a service whose master runs. The master itself is already configured."""
    if not known.is_replicant(name, server):
        return Work()
    return _set_up(known, name, server, applied, forced=forced, restarts=True)


def restart(
    known: server_facts.Facts, name: names.ServiceName, server: inventory.Server, applied: Applied
) -> Work:
    """Stop, start, wait for the check: the second half of `configure` if the datasource is loaded in between."""
    if known.is_replicant(name, server):
        return Work()
    service = known.definition.services[name]
    certificate = known.certificate(service.tls)
    digest = _applied_digest(known.service_file(name, server), applied.marks, service, certificate)
    is_done = applied.marks.get(_applied(service)) == digest and applied.healthy
    found = Work() if is_done else Work((), restart_jobs(known.definition, service, digest))
    return _then_open(known, name, server, applied.marks, found)


def set_up_anew(
    known: server_facts.Facts, name: names.ServiceName, server: inventory.Server, applied: Applied
) -> Work:
    """Configure and restart a service regardless of what is applied, with the archive that the marks name."""
    return _set_up(known, name, server, applied, forced=True, restarts=True)


def _set_up(
    known: server_facts.Facts,
    name: names.ServiceName,
    server: inventory.Server,
    applied: Applied,
    *,
    forced: bool,
    restarts: bool,
) -> Work:
    service = known.definition.services[name]
    content = known.service_file(name, server)
    certificate = known.certificate(service.tls)
    digest = _applied_digest(content, applied.marks, service, certificate)
    after = restart_jobs(known.definition, service, digest) if restarts else ()
    brief = downloads.short(digest)
    path = f"{session.TEMPORARY}/configure-{service.id}-{brief}.cfg"
    timeouts = known.definition.timeouts
    put = jobs.Job(
        f"put-{service.id}-{brief}",
        "putConfig",
        (service.id, path),
        timeouts.configure.total_seconds(),
        remove=(path,),
        mark=(_handed(service), ROOT),
    )
    handed = Work((session.RemoteFile(path, content),), (put,))
    is_done = applied.marks.get(_applied(service)) == digest and applied.healthy
    if (is_done or applied.marks.get(_configured(service)) == digest) and not forced:
        # An older Gantry made the service's user the owner of the file, who may have changed it since.
        before = Work() if applied.marks.get(_handed(service)) == ROOT else handed
        return Work(before.files, (*before.jobs, *(() if is_done else after)))
    put = dataclasses.replace(put, unmark=(_applied(service), _configured(service)))
    files = () if certificate is None else certificate.files(path.removesuffix(".cfg"))
    paths = tuple(file.path for file in files)
    # A replicant now copies its master's data, which takes as long as loading it did.
    copies = known.is_replicant(name, server)
    apply = jobs.Job(
        f"configure-{service.id}-{brief}",
        "configureService",
        (
            known.definition.user_of(service),
            known.definition.customer_of(service),
            service.id,
            *((service.tls.address, *paths) if service.tls else ()),
        ),
        (timeouts.install_datasources if copies else timeouts.configure).total_seconds(),
        remove=paths,
        mark=(_configured(service), digest),
    )
    return Work((session.RemoteFile(path, content), *files), (put, apply, *after))


def _then_open(
    known: server_facts.Facts, name: names.ServiceName, server: inventory.Server, marks: Marks, found: Work
) -> Work:
    """Return a master's work, followed by granting access to its account to exactly its replicants."""
    service = known.definition.services[name]
    if service.replication is None:
        return found
    content = known.replication_file(name, server)
    opening = _grant(known, service, "replication", content, marks)
    return Work((*found.files, *opening.files), (*found.jobs, *opening.jobs))


def grant_access(
    known: server_facts.Facts,
    name: names.ServiceName,
    server: inventory.Server,
    dependent: names.ServiceName,
    marks: Marks,
) -> Work:
    """Grant access to the database to exactly the addresses of the dependent's servers."""
    service = known.definition.services[name]
    found = Work()
    for dependency in known.definition.services[dependent].depends_on:
        if dependency.service != name or dependency.datasource is None:
            continue
        content = known.grant_file(name, dependency.datasource, server, dependent)
        what = f"{dependent}.{dependency.datasource}"
        grant = _grant(known, service, what, content, marks)
        closing = known.revoke_file(name, dependency.datasource, server, dependent)
        # A grant is for exactly the addresses in its file, yet an archive may only ever add access: after a change,
        # the old access is revoked.
        before = {} if grant.jobs else marks
        revoke = Work() if closing is None else _access(known, service, "revoke", what, closing, before)
        found = Work((*found.files, *grant.files, *revoke.files), (*found.jobs, *grant.jobs, *revoke.jobs))
    return found


def _grant(
    known: server_facts.Facts, service: models.Service, what: str, content: bytes, marks: Marks
) -> Work:
    """Grant access, unless the very same access was granted last. `what` names the grant."""
    return _access(known, service, "grant", what, content, marks)


def _access(
    known: server_facts.Facts,
    service: models.Service,
    verb: Literal["grant", "revoke"],
    what: str,
    content: bytes,
    marks: Marks,
) -> Work:
    """Pass a file to `grantDatabaseAccess` or `revokeDatabaseAccess`, unless the same file was passed last."""
    digest = config_file.digest(content)
    key = f"{service.id}/{verb}.{what}"
    if marks.get(key) == digest:
        return Work()
    name = f"{verb}-{service.id}-{what.replace('.', '-')}-{downloads.short(digest)}"
    path = f"{session.TEMPORARY}/{name}.cfg"
    job = jobs.Job(
        name,
        f"{verb}DatabaseAccess",
        (service.id, path),
        known.definition.timeouts.grant_access.total_seconds(),
        remove=(path,),
        mark=(key, digest),
        unmark=(key,),
    )
    return Work((session.RemoteFile(path, content),), (job,))


def stop_service(definition: models.Definition, service: models.Service, marks: Marks) -> Work:
    """Stop a service if it is installed."""
    if layout.archive_mark(service) not in marks:
        return Work()
    timeout = definition.timeouts.stop.total_seconds()
    job = jobs.Job(f"stop-{service.id}", "stopService", (service.id,), timeout, unmark=(_applied(service),))
    return Work((), (job,))


def stop_services(definition: models.Definition, tier: names.TierName, marks: Marks) -> Work:
    """Stop all services of a tier; dependencies are stopped last."""
    services = definition.services_of(tier)
    needs = {name: [each.service for each in service.depends_on] for name, service in services.items()}
    ordered = [name for name in graphlib.TopologicalSorter(needs).static_order() if name in services]
    calls = [
        job for name in reversed(ordered) for job in stop_service(definition, services[name], marks).jobs
    ]
    return Work((), tuple(calls))


def separate_restart(service: models.Service) -> bool:
    """Return whether the service is restarted by a separate step."""
    return bool(service.datasources) and service.order == "configure-first"


def restart_jobs(
    definition: models.Definition, service: models.Service, digest: str, *, prefix: str = ""
) -> tuple[jobs.Job, jobs.Job, jobs.Job]:
    """Stop, start, wait for the check, which marks the digest as applied. `prefix` begins the jobs' names."""
    timeout = definition.timeouts.configure.total_seconds()
    suffix = f"{service.id}-{downloads.short(digest)}"
    return (
        jobs.Job(
            f"{prefix}stop-{suffix}", "stopService", (service.id,), timeout, unmark=(_applied(service),)
        ),
        jobs.Job(f"{prefix}start-{suffix}", "startService", (service.id,), timeout),
        dataclasses.replace(
            awaited(definition, service, f"{prefix}{suffix}"),
            mark=(_applied(service), digest),
            # Started, yet not healthy: once the cause is fixed it needs a restart, not more waiting.
            conclusive=True,
        ),
    )


def awaited(definition: models.Definition, service: models.Service, suffix: str) -> jobs.Job:
    """Return a job that waits until a service's check succeeds; `suffix` makes its name unique within the step."""
    patience = definition.timeouts.check.total_seconds()
    return jobs.Job(
        f"await-{suffix}", "awaitService", (service.id, str(int(patience))), patience + _CHECK_SLACK
    )


ROOT = "root"
"""The value of the mark of something owned by root, written by a Gantry that requires it."""


def owned_mark(service: models.Service) -> str:
    """Return the key of the mark that names the owner of the service's folder."""
    return f"{service.id}/owned"


def _handed(service: models.Service) -> str:
    """Return the key of the mark that names the owner of the service's `enstratus.cfg`."""
    return f"{service.id}/handed"


def installed_marks(service: models.Service) -> tuple[str, ...]:
    """Return the keys of all marks that become invalid when something else is installed."""
    # The mark of the object in the store remains valid.
    return (*content_digests.keys(layout.archive_mark(service))[:2], _applied(service), _configured(service))


def _applied(service: models.Service) -> str:
    return f"{service.id}/applied"


def _configured(service: models.Service) -> str:
    return f"{service.id}/configured"


def _applied_digest(
    content: bytes, marks: Marks, service: models.Service, certificate: tls.Certificate | None
) -> str:
    parts = [config_file.digest(content), marks.get(layout.archive_mark(service), "")]
    if service.tls is not None and certificate is not None:
        parts += [service.tls.address, certificate.digest]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
