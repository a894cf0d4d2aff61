"""What becomes of a service's dumps on its servers: loaded once, and over live data only if a person says so. Pure."""

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
    """What a person wants loaded in place of the data that is there, and the run that they have said it to.

    Attributes:
        datasources: those of the service.
        run: its digest. A run that is cleared later does not load it once more.
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

    What is loaded holds data by now. So a changed dump is only told of, and loaded only if a person says so.
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
    """A service on one of its servers, and what that has noted."""

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
    # A backup counts as the dump from then on: the next launch leaves it be.
    source = dump if is_reload or backup is None else backup
    job_name = f"{'reload' if is_reload else 'datasource'}-{service.id}-{datasource}-{downloads.short(source.version)}"
    config = f"{session.TEMPORARY}/{job_name}.cfg"
    target = f"{session.TEMPORARY}/{job_name}{downloads.suffix_of(source.url)}"
    call = ("installDataSource", service.id, config, target)
    digest = content_digests.offered(marks, key, dump.version, dump.sha256)
    if source is dump:
        # What is noted stays until the load has succeeded: if it fails, the data that is there is not taken for none.
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
    """What becomes of a dump where there is data already: nothing, but it is told."""
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
