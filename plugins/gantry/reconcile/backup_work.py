"""What backups and restores do on one server: from facts and marks to files and jobs. Pure functions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from gantry import errors as root
from gantry import inventory, names
from gantry.agent import downloads, errors, jobs, layout, server_facts, session
from gantry.agent.fan_out import Applied, Work
from gantry.definition import models
from gantry.reconcile import service_work

_LONGEST_WORDS = 200
"""Characters of what a check says that stand in a report."""

_ASKED = 60.0
"""Seconds for a question that the server answers at once."""

_UPLOADED = re.compile(r"uploadBackup: (?P<size>\d+) bytes, SHA-256 (?P<sha256>[0-9a-f]{64})")
_ARCHIVE = re.compile(r"a\d+/archive (?P<version>\S+)")


class NotInstalledError(errors.ServerError):
    """A service that is not on its server (any more, or yet)."""

    def __init__(self, server: names.ServerName, service: names.ServiceName) -> None:
        self.service = service
        super().__init__(
            server,
            f"service {service} is not installed here, so there is nothing to back up or restore\n"
            f"Launch the deployment first.",
        )


@dataclasses.dataclass(frozen=True)
class UploadedBackup:
    """What a server says of a backup that it has uploaded: bytes, checksum, which archive is installed."""

    size: int
    sha256: str
    archive: str

    def as_json(self) -> dict[str, str | int]:
        """For a step's result."""
        return dataclasses.asdict(self)


class BackupReader:
    """Finds in what the scripts print what the manifest says."""

    def keeps(self, line: str, kept: Sequence[str]) -> bool:  # noqa: ARG002 - as a Reader has it
        """Whether a line says something about the backup."""
        return bool(_UPLOADED.fullmatch(line) or _ARCHIVE.fullmatch(line))

    def failure(self, error: errors.ScriptFailedError, kept: Sequence[str]) -> root.GantryError:  # noqa: ARG002 - as a Reader has it
        """The failure as it is: the scripts say themselves what is wrong."""
        return error

    def summary(self, kept: Sequence[str]) -> UploadedBackup | None:
        """What the last lines of each kind say; None before the upload."""
        uploads = [found for each in kept if (found := _UPLOADED.fullmatch(each))]
        archives = [found["version"] for each in kept if (found := _ARCHIVE.fullmatch(each))]
        if not uploads:
            return None
        return UploadedBackup(
            int(uploads[-1]["size"]), uploads[-1]["sha256"], archives[-1] if archives else ""
        )


@dataclasses.dataclass(frozen=True)
class Said:
    """The last words of a check."""

    said: str

    def as_json(self) -> dict[str, str]:
        """For a step's result."""
        return dataclasses.asdict(self)


class CheckReader:
    """Keeps what a check has said last."""

    def keeps(self, line: str, kept: Sequence[str]) -> bool:  # noqa: ARG002 - as a Reader has it
        """Whether a line says something at all."""
        return bool(line.strip())

    def failure(self, error: errors.ScriptFailedError, kept: Sequence[str]) -> root.GantryError:  # noqa: ARG002 - as a Reader has it
        """The failure as it is: it ends with what the check has printed."""
        return error

    def summary(self, kept: Sequence[str]) -> Said | None:
        """The last line; None of a check that is silent."""
        return Said(kept[-1].strip()[:_LONGEST_WORDS]) if kept else None


def back_up(
    known: server_facts.Facts,
    part: models.Dependency,
    server: inventory.Server,
    url: str,
    marks: service_work.Marks,
) -> Work:
    """Write a datasource, or a service, to a file and upload it to `url`; nothing stays on the server.

    Two jobs, so that the link for the upload is made when the file is there, however long that has taken.

    Raises:
        NotInstalledError: the service is not there.
    """
    service = _installed(known, part.service, server, marks)
    name = f"backup-{service.id}-{downloads.short(url)}"
    # By its end the agent knows whether it has to be packed.
    ending = downloads.suffix_of(url) or ".file"
    link, file, config = (f"{session.TEMPORARY}/{name}{end}" for end in (".url", ending, ".cfg"))
    seconds = known.definition.timeouts.back_up.total_seconds()
    asks = jobs.Job(f"archive-{service.id}", "marks", (layout.archive_mark(service),), _ASKED)
    files: tuple[session.RemoteFile, ...] = ()
    makes = jobs.Job(name, "backupService", (service.id, file), seconds)
    if part.datasource is not None:
        files = (session.RemoteFile(config, known.datasource_file(part.service, part.datasource, server)),)
        arguments = (service.id, part.datasource, config, file)
        makes = jobs.Job(name, "backupDataSource", arguments, seconds, remove=(config,))
    puts = jobs.Job(
        f"upload-{service.id}-{downloads.short(url)}",
        "uploadBackup",
        (link, file),
        seconds,
        remove=(link,),
        # Without the file there is nothing to upload again: it has to be written again.
        conclusive=True,
        link=jobs.PresignedLink(link, url, upload=True),
        kept=(file,),
    )
    return Work(files, (asks, makes, puts))


def restore_datasource(
    known: server_facts.Facts,
    name: names.ServiceName,
    datasource: names.DatasourceName,
    server: inventory.Server,
    backup: downloads.Download,
    marks: service_work.Marks,
) -> Work:
    """Load a backup as a dump is loaded, and wait for the check. Replicants get it from their master.

    The mark of the loaded dump stays as it is: the next launch loads a dump only if the definition's is another one.

    Raises:
        NotInstalledError: the service is not there.
    """
    service = _installed(known, name, server, marks)
    job_name = f"restore-{service.id}-{datasource}-{downloads.short(backup.url)}"
    config = f"{session.TEMPORARY}/{job_name}.cfg"
    target = f"{session.TEMPORARY}/{job_name}{downloads.suffix_of(backup.url)}"
    job = downloads.fetched(
        job_name,
        backup,
        target,
        ("installDataSource", service.id, config, target),
        known.definition.timeouts.install_datasources.total_seconds(),
    )
    return Work(
        (session.RemoteFile(config, known.restore_file(name, datasource, server)),),
        (
            dataclasses.replace(job, remove=(*job.remove, config)),
            service_work.awaited(known.definition, service, f"{service.id}-{downloads.short(backup.url)}"),
        ),
    )


def restore_service(
    known: server_facts.Facts,
    name: names.ServiceName,
    server: inventory.Server,
    backup: downloads.Download,
    archive: str,
    applied: Applied,
) -> Work:
    """Install a service's folder as it was: fetched and checked first, then stopped, installed, configured, started.

    Args:
        known: the deployment.
        name: the service.
        server: where.
        backup: the object.
        archive: the version of the service archive that was installed when it was made. From now on this one counts
            as installed, so a launch with a newer archive installs that.
        applied: what the server says of itself.
    """
    service = known.definition.services[name]
    key, forgets = layout.archive_mark(service), service_work.installed_marks(service)
    target = f"{session.TEMPORARY}/{service.id}{downloads.suffix_of(backup.url)}"
    # One job: whoever tries again after a failure needs the object again.
    job = downloads.fetched(
        f"install-{service.id}-{downloads.short(backup.version)}",
        backup,
        target,
        (
            "restoreService",
            service.id,
            known.definition.customer_of(service),
            known.definition.user_of(service),
            target,
            ",".join(forgets),
        ),
        known.definition.timeouts.install_services.total_seconds(),
        (key, archive),
    )
    # Not before the backup is unpacked and checked: until then the service runs as it did.
    job = dataclasses.replace(job, unmark=(), forgets=forgets)
    installed = dataclasses.replace(applied, marks={**applied.marks, key: archive})
    after = service_work.set_up_anew(known, name, server, installed)
    return Work(after.files, (job, *after.jobs))


def check_backup(
    known: server_facts.Facts,
    name: names.ServiceName,
    server: inventory.Server,
    script: str,
    timeout: float,
    marks: service_work.Marks,
) -> Work:
    """Run a definition's own check of what was restored, in the folder of its service.

    Raises:
        NotInstalledError: the service is not there.
    """
    service = _installed(known, name, server, marks)
    job_name = f"check-backup-{service.id}-{downloads.short(script)}"
    path = f"{session.TEMPORARY}/{job_name}.sh"
    job = jobs.Job(job_name, "checkBackup", (service.id, path), timeout, remove=(path,))
    return Work((session.RemoteFile(path, f"{script}\n".encode()),), (job,))


def _installed(
    known: server_facts.Facts, name: names.ServiceName, server: inventory.Server, marks: service_work.Marks
) -> models.Service:
    service = known.definition.services[name]
    if layout.archive_mark(service) not in marks:
        raise NotInstalledError(server.name, name)
    return service
