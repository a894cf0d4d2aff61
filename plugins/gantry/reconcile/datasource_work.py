"""Loading of a service's dumps on its servers: once, and over existing data only on request. Pure functions."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping

from gantry import inventory, names
from gantry.agent import content_digests, downloads, server_facts, session
from gantry.agent.fan_out import Held, Work
from gantry.definition import models
from gantry.reconcile import service_work


@dataclasses.dataclass(frozen=True)
class Reload:
    """A request to load dumps over existing data, bound to the run that it was made to.

    Attributes:
        datasources: the service's datasources.
        run: the run's digest. If the run is cleared later, it does not load them once more.
    """

    datasources: frozenset[names.DatasourceName] = frozenset()
    run: str = ""


def install_datasources(
    known: server_facts.Facts,
    name: names.ServiceName,
    server: inventory.Server,
    dumps: Mapping[names.DatasourceName, downloads.Download],
    marks: service_work.Marks,
    backups: Mapping[names.DatasourceName, downloads.Download] = types.MappingProxyType({}),
    reload: Reload = Reload(),
) -> Work:
    """Load the datasources that are not loaded yet. Replicants get theirs from the master.

    Once loaded, a datasource holds live data. So a changed dump is only reported, and loaded only on request.
    """
    if known.is_replicant(name, server):
        return Work()
    place = _Place(known, name, server, marks)
    found = [
        _install(place, datasource, dump, backups.get(datasource), reload)
        for datasource, dump in dumps.items()
    ]
    return Work(
        tuple(file for each in found for file in each.files),
        tuple(job for each in found for job in each.jobs),
        tuple(held for each in found for held in each.held),
    )


@dataclasses.dataclass(frozen=True)
class _Place:
    """A service on one of its servers, and the server's marks."""

    known: server_facts.Facts
    name: names.ServiceName
    server: inventory.Server
    marks: service_work.Marks

    @property
    def service(self) -> models.Service:
        return self.known.definition.services[self.name]

    @property
    def timeout(self) -> float:
        return self.known.definition.timeouts.install_datasources.total_seconds()


def _install(
    place: _Place,
    datasource: names.DatasourceName,
    dump: downloads.Download,
    backup: downloads.Download | None,
    reload: Reload,
) -> Work:
    service, marks = place.service, place.marks
    key = f"{service.id}/datasource.{datasource}"
    standing = content_digests.standing(marks, key, dump.version, dump.sha256)
    reloaded = f"{service.id}/reloaded.{datasource}"
    is_reload = datasource in reload.datasources and marks.get(reloaded) != reload.run
    if standing is not content_digests.ContentState.ABSENT and not is_reload:
        return _held(place, datasource, key, dump, standing)
    # From then on, a backup counts as the dump: the next launch does not load the dump.
    source = dump if is_reload or backup is None else backup
    job_name = f"{'reload' if is_reload else 'datasource'}-{service.id}-{datasource}-{downloads.short(source.version)}"
    config = f"{session.TEMPORARY}/{job_name}.cfg"
    target = f"{session.TEMPORARY}/{job_name}{downloads.suffix_of(source.url)}"
    call = ("installDataSource", service.id, config, target)
    digest = content_digests.offered(marks, key, dump.version, dump.sha256)
    if source is dump:
        # The mark stays until the load has succeeded: if it fails, the existing data must not be taken for missing.
        applying = downloads.Applying(key, digest)
        job = downloads.applied(job_name, source, target, applying, call, place.timeout)
    else:
        noted = (key, digest or dump.version)
        job = downloads.fetched(job_name, source, target, call, place.timeout, noted)
    write = place.known.restore_file if is_reload else place.known.datasource_file
    if is_reload:
        job = dataclasses.replace(job, mark=(reloaded, reload.run))
    return Work(
        (session.RemoteFile(config, write(place.name, datasource, place.server)),),
        (dataclasses.replace(job, remove=(*job.remove, config)),),
    )


def _held(
    place: _Place,
    datasource: names.DatasourceName,
    key: str,
    dump: downloads.Download,
    standing: content_digests.ContentState,
) -> Work:
    """Return the work for a dump whose datasource already has data: nothing but a report."""
    why = (
        "not loaded: the datasource holds data. To load it in place of the data: "
        f"--reload-dump {place.name}.{datasource}, or reload_dump in the form"
    )
    match standing:
        case content_digests.ContentState.CHANGED:
            return Work(held=(Held(key, f"the dump of datasource {datasource} has changed; {why}"),))
        case content_digests.ContentState.UNKNOWN:
            job_name = f"compare-{place.service.id}-{datasource}-{downloads.short(dump.version)}"
            return Work((), (downloads.compared(job_name, dump, key, why, place.timeout),))
    return Work()
