"""What each step does on one server: from facts, and from what is applied there, to files and jobs.

Pure functions. A job's name holds a digest of what it applies, so within one run a changed archive or changed
facts are a new job, and the same ones are not applied twice.
"""

from __future__ import annotations

import dataclasses
import graphlib
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from gantry import inventory, names
from gantry.agent import config_file, facts, jobs, session, tls
from gantry.agent.drive import Applied, Work
from gantry.definition import models

Marks = Mapping[str, str]
_CHECK_SLACK = 30.0
"""Seconds that `awaitService` gets beyond its own timeout, to say what it last saw."""


@dataclasses.dataclass(frozen=True)
class Download:
    """An object that a server fetches by itself.

    `link` makes the presigned URL at the moment it is needed; it is a secret.
    """

    url: str
    version: str
    sha256: str | None
    link: Callable[[], str] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Install:
    """A service to be installed, whether even if it is there already, and by which of the agent's scripts."""

    service: models.Service
    archive: Download
    forced: bool = False
    script: str = "installService"


def install_services(definition: models.Definition, wanted: Iterable[Install], marks: Marks) -> Work:
    """Every server of a tier downloads and installs all services of its tier."""
    files: list[session.RemoteFile] = []
    calls: list[jobs.Job] = []
    for each in wanted:
        key = archive_mark(each.service)
        if marks.get(key) == each.archive.version and not each.forced:
            continue
        target = f"{session.TEMPORARY}/{each.service.id}{suffix_of(each.archive.url)}"
        file, job = fetched(
            f"install-{each.service.id}-{short(each.archive.version)}",
            each.archive,
            target,
            (
                each.script,
                each.service.id,
                definition.customer_of(each.service),
                definition.user_of(each.service),
                target,
            ),
            definition.timeouts.install_services.total_seconds(),
        )
        files.append(file)
        # Another archive wants to be configured again, even if no fact has changed.
        unmark = (key, _applied(each.service), _configured(each.service))
        calls.append(dataclasses.replace(job, mark=(key, each.archive.version), unmark=unmark))
    return Work(tuple(files), tuple(calls))


def install_datasources(
    known: facts.Facts,
    name: names.ServiceName,
    server: inventory.Server,
    dumps: Mapping[names.DatasourceName, Download],
    marks: Marks,
) -> Work:
    """Load the datasources that are not loaded yet, or that changed. Replicants get theirs from the master."""
    if known.is_replicant(name, server):
        return Work()
    service = known.definition.services[name]
    files: list[session.RemoteFile] = []
    calls: list[jobs.Job] = []
    for datasource, dump in dumps.items():
        key = f"{service.id}/datasource.{datasource}"
        if marks.get(key) == dump.version:
            continue
        job_name = f"datasource-{service.id}-{datasource}-{short(dump.version)}"
        config = f"{session.TEMPORARY}/{job_name}.cfg"
        target = f"{session.TEMPORARY}/{job_name}{suffix_of(dump.url)}"
        file, job = fetched(
            job_name,
            dump,
            target,
            ("installDataSource", service.id, config, target),
            known.definition.timeouts.install_datasources.total_seconds(),
        )
        content = known.datasource_file(name, datasource, server)
        files += [file, session.RemoteFile(config, content)]
        calls.append(
            dataclasses.replace(job, remove=(*job.remove, config), mark=(key, dump.version), unmark=(key,))
        )
    return Work(tuple(files), tuple(calls))


def configure(
    known: facts.Facts,
    name: names.ServiceName,
    server: inventory.Server,
    applied: Applied,
    *,
    forced: bool = False,
) -> Work:
    """Hand over `enstratus.cfg`, configure, restart, wait for the check; nothing if nothing changed.

    A service that is configured as it should be and does not say OK is only restarted. With the other order of
    steps (configure first) the restart is a step of its own. A master is then opened for its replicants, which have
    their turn after it.
    """
    if known.is_replicant(name, server):
        return Work()
    separate = separate_restart(known.definition.services[name])
    found = _set_up(known, name, server, applied, forced=forced, restarts=not separate)
    return found if separate else _then_open(known, name, server, applied.marks, found)


def configure_replicant(
    known: facts.Facts,
    name: names.ServiceName,
    server: inventory.Server,
    applied: Applied,
    *,
    forced: bool = False,
) -> Work:
    """As `configure`, for the replicants of a service whose master runs. The master itself has had its turn."""
    if not known.is_replicant(name, server):
        return Work()
    return _set_up(known, name, server, applied, forced=forced, restarts=True)


def restart(known: facts.Facts, name: names.ServiceName, server: inventory.Server, applied: Applied) -> Work:
    """Stop, start, wait for the check: the second half of `configure` where the datasource comes between."""
    if known.is_replicant(name, server):
        return Work()
    service = known.definition.services[name]
    certificate = known.certificate(service.tls)
    digest = _applied_digest(known.service_file(name, server), applied.marks, service, certificate)
    is_done = applied.marks.get(_applied(service)) == digest and applied.healthy
    found = Work() if is_done else Work((), restart_jobs(known.definition, service, digest))
    return _then_open(known, name, server, applied.marks, found)


def set_up_anew(
    known: facts.Facts, name: names.ServiceName, server: inventory.Server, applied: Applied
) -> Work:
    """Configure and restart a service whatever is applied, the archive being the one that the marks say."""
    return _set_up(known, name, server, applied, forced=True, restarts=True)


def _set_up(
    known: facts.Facts,
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
    if applied.marks.get(_applied(service)) == digest and applied.healthy and not forced:
        return Work()
    after = restart_jobs(known.definition, service, digest) if restarts else ()
    if applied.marks.get(_configured(service)) == digest and not forced:
        return Work((), after)
    brief = short(digest)
    path = f"{session.TEMPORARY}/configure-{service.id}-{brief}.cfg"
    timeouts = known.definition.timeouts
    put = jobs.Job(
        f"put-{service.id}-{brief}",
        "putConfig",
        (service.id, path),
        timeouts.configure.total_seconds(),
        remove=(path,),
        unmark=(_applied(service), _configured(service)),
    )
    files = () if certificate is None else certificate.files(path.removesuffix(".cfg"))
    paths = tuple(file.path for file in files)
    # A replicant copies its master's data now, which takes what loading them took.
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
    known: facts.Facts, name: names.ServiceName, server: inventory.Server, marks: Marks, found: Work
) -> Work:
    """A master's work, and after it the opening of its account for exactly its replicants."""
    service = known.definition.services[name]
    if service.replication is None:
        return found
    content = known.replication_file(name, server)
    opening = _grant(known, service, "replication", content, marks)
    return Work((*found.files, *opening.files), (*found.jobs, *opening.jobs))


def grant_access(
    known: facts.Facts,
    name: names.ServiceName,
    server: inventory.Server,
    dependent: names.ServiceName,
    marks: Marks,
) -> Work:
    """Open the database for exactly the addresses of the dependent's servers."""
    service = known.definition.services[name]
    found = Work()
    for dependency in known.definition.services[dependent].depends_on:
        if dependency.service != name or dependency.datasource is None:
            continue
        content = known.grant_file(name, dependency.datasource, server, dependent)
        what = f"{dependent}.{dependency.datasource}"
        grant = _grant(known, service, what, content, marks)
        closing = known.revoke_file(name, dependency.datasource, server, dependent)
        # A grant is for exactly the addresses in its file, and yet an archive may only ever add to what there is:
        # after a new one, access is taken back again.
        before = {} if grant.jobs else marks
        revoke = Work() if closing is None else _access(known, service, "revoke", what, closing, before)
        found = Work((*found.files, *grant.files, *revoke.files), (*found.jobs, *grant.jobs, *revoke.jobs))
    return found


def _grant(known: facts.Facts, service: models.Service, what: str, content: bytes, marks: Marks) -> Work:
    """Open access, unless the very same was opened last. `what` names the grant."""
    return _access(known, service, "grant", what, content, marks)


def _access(
    known: facts.Facts,
    service: models.Service,
    verb: Literal["grant", "revoke"],
    what: str,
    content: bytes,
    marks: Marks,
) -> Work:
    """Hand a file to `grantDatabaseAccess` or `revokeDatabaseAccess`, unless this very file was handed to it last."""
    digest = config_file.digest(content)
    key = f"{service.id}/{verb}.{what}"
    if marks.get(key) == digest:
        return Work()
    name = f"{verb}-{service.id}-{what.replace('.', '-')}-{short(digest)}"
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
    """Stop a service where it is installed."""
    if archive_mark(service) not in marks:
        return Work()
    timeout = definition.timeouts.stop.total_seconds()
    job = jobs.Job(f"stop-{service.id}", "stopService", (service.id,), timeout, unmark=(_applied(service),))
    return Work((), (job,))


def stop_services(definition: models.Definition, tier: names.TierName, marks: Marks) -> Work:
    """Stop all services of a tier, those that others depend on last."""
    services = definition.services_of(tier)
    needs = {name: [each.service for each in service.depends_on] for name, service in services.items()}
    ordered = [name for name in graphlib.TopologicalSorter(needs).static_order() if name in services]
    calls = [
        job for name in reversed(ordered) for job in stop_service(definition, services[name], marks).jobs
    ]
    return Work((), tuple(calls))


def service_config(service: names.ServiceId) -> str:
    """Where a server keeps a service's `enstratus.cfg`."""
    return f"/mnt/services/{service}/cfg/enstratus.cfg"


def separate_restart(service: models.Service) -> bool:
    """Whether the service is restarted by a step of its own."""
    return bool(service.datasources) and service.order == "configure-first"


def restart_jobs(
    definition: models.Definition, service: models.Service, digest: str, *, prefix: str = ""
) -> tuple[jobs.Job, jobs.Job, jobs.Job]:
    """Stop, start, wait for the check, which notes that the digest is applied. `prefix` begins the jobs' names."""
    timeout = definition.timeouts.configure.total_seconds()
    suffix = f"{service.id}-{short(digest)}"
    return (
        jobs.Job(
            f"{prefix}stop-{suffix}", "stopService", (service.id,), timeout, unmark=(_applied(service),)
        ),
        jobs.Job(f"{prefix}start-{suffix}", "startService", (service.id,), timeout),
        dataclasses.replace(
            awaited(definition, service, f"{prefix}{suffix}"),
            mark=(_applied(service), digest),
            # Started, and yet not healthy: once the cause is mended it wants a start, not more waiting.
            conclusive=True,
        ),
    )


def awaited(definition: models.Definition, service: models.Service, suffix: str) -> jobs.Job:
    """A job that waits for a service's check to say OK; `suffix` makes its name another one in its step."""
    patience = definition.timeouts.check.total_seconds()
    return jobs.Job(
        f"await-{suffix}", "awaitService", (service.id, str(int(patience))), patience + _CHECK_SLACK
    )


def fetched(
    name: str,
    download: Download,
    target: str,
    call: tuple[str, ...],
    timeout: float,
    mark: tuple[str, str] | None = None,
) -> tuple[session.RemoteFile, jobs.Job]:
    """A job that downloads a file, calls a script with it, and leaves neither link nor file behind."""
    link = f"{session.TEMPORARY}/{name}.url"
    job = jobs.Job(
        name,
        "withDownload",
        (link, target, download.sha256 or "NULL", *call),
        timeout,
        remove=(link, target),
        mark=mark,
        unmark=() if mark is None else (mark[0],),
    )
    return session.RemoteFile(link, f"{download.link()}\n".encode()), job


def archive_mark(service: models.Service) -> str:
    """The mark that says which archive is installed."""
    return f"{service.id}/archive"


def _applied(service: models.Service) -> str:
    return f"{service.id}/applied"


def _configured(service: models.Service) -> str:
    return f"{service.id}/configured"


def _applied_digest(
    content: bytes, marks: Marks, service: models.Service, certificate: tls.Certificate | None
) -> str:
    parts = [config_file.digest(content), marks.get(archive_mark(service), "")]
    if service.tls is not None and certificate is not None:
        parts += [service.tls.address, certificate.digest]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def short(version: str) -> str:
    """A version as a word of a name."""
    return hashlib.sha256(version.encode()).hexdigest()[:12]


def suffix_of(url: str) -> str:
    """The part of a name that says how it is packed."""
    name = url.rpartition("/")[2]
    return next(
        (end for end in (".tar.gz", ".tgz", ".tar.bz2", ".zip", ".sql.gz", ".sql") if name.endswith(end)), ""
    )
