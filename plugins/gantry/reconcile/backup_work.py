"""Backup and restore on one server: turns facts and marks into files and jobs. Pure functions."""

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
"""Maximum characters of a check's output in a report."""

_ASKED = 60.0
"""Timeout in seconds for a query that the server answers at once."""

_UPLOADED = re.compile(r"uploadBackup: (?P<size>\d+) bytes, SHA-256 (?P<sha256>[0-9a-f]{64})")
_ARCHIVE = re.compile(r"a\d+/archive (?P<version>\S+)")


class NotInstalledError(errors.ServerError):
    """A service is not installed on its server (any more, or yet)."""

    def __init__(self, server: names.ServerName, service: names.ServiceName) -> None:
        self.service = service
        super().__init__(
            server,
            f"service {service} is not installed here, so there is nothing to back up or restore\n"
            f"Launch the deployment first.",
        )


@dataclasses.dataclass(frozen=True)
class UploadedBackup:
    """A server's report of an uploaded backup: bytes, checksum, version of the installed archive."""

    size: int
    sha256: str
    archive: str

    def as_json(self) -> dict[str, str | int]:
        """Convert for a step's result."""
        return dataclasses.asdict(self)


class BackupReader:
    """Extracts the manifest's data from the scripts' output."""

    def keeps(self, line: str, kept: Sequence[str]) -> bool:  # noqa: ARG002 - as a Reader has it
        """Return whether a line is about the backup."""
        return bool(_UPLOADED.fullmatch(line) or _ARCHIVE.fullmatch(line))

    def failure(self, error: errors.ScriptFailedError, kept: Sequence[str]) -> root.GantryError:  # noqa: ARG002 - as a Reader has it
        """Return the error unchanged: the scripts' messages explain it."""
        return error

    def summary(self, kept: Sequence[str]) -> UploadedBackup | None:
        """Return the data from the last line of each kind; None before the upload."""
        uploads = [found for each in kept if (found := _UPLOADED.fullmatch(each))]
        archives = [found["version"] for each in kept if (found := _ARCHIVE.fullmatch(each))]
        if not uploads:
            return None
        return UploadedBackup(
            int(uploads[-1]["size"]), uploads[-1]["sha256"], archives[-1] if archives else ""
        )


@dataclasses.dataclass(frozen=True)
class Said:
    """The last line that a check printed."""

    said: str

    def as_json(self) -> dict[str, str]:
        """Convert for a step's result."""
        return dataclasses.asdict(self)


class CheckReader:
    """Keeps the last line that a check printed."""

    def keeps(self, line: str, kept: Sequence[str]) -> bool:  # noqa: ARG002 - as a Reader has it
        """Return whether a line is not blank."""
        return bool(line.strip())

    def failure(self, error: errors.ScriptFailedError, kept: Sequence[str]) -> root.GantryError:  # noqa: ARG002 - as a Reader has it
        """Return the error unchanged: it ends with the check's output."""
        return error

    def summary(self, kept: Sequence[str]) -> Said | None:
        """Return the last line; None if the check printed nothing."""
        return Said(kept[-1].strip()[:_LONGEST_WORDS]) if kept else None


def back_up(
    known: server_facts.Facts,
    part: models.Dependency,
    server: inventory.Server,
    url: str,
    marks: service_work.Marks,
) -> Work:
    """Write a datasource or a service to a file and upload it to `url`; nothing stays on the server.

    These are two jobs, so that the upload link is created when the file exists, however long writing it took.

    Raises:
        NotInstalledError: the service is not installed there.
    """
    service = _installed(known, part.service, server, marks)
    name = f"backup-{service.id}-{downloads.short(url)}"
    # When it ends, the agent knows whether the file has to be packed.
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
        # If the file is gone, the upload cannot be repeated: the file has to be written again.
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
    """Load a backup in the same way as a dump, and wait for the check. Replicants get the data from their master.

    The mark of the loaded dump is unchanged: the next launch loads a dump only if the definition has a different one.

    Raises:
        NotInstalledError: the service is not installed there.
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
    """Restore a service's folder: fetch and check the backup, then stop, install, configure and start the service.

    Args:
        known: the deployment's facts.
        name: the service.
        server: the server to restore on.
        backup: the backup's object.
        archive: the version of the service archive that was installed when the backup was made. From now on it counts
            as installed, so a launch with a newer archive installs that one.
        applied: the server's report of what is applied there.
    """
    service = known.definition.services[name]
    key, forgets = layout.archive_mark(service), service_work.installed_marks(service)
    target = f"{session.TEMPORARY}/{service.id}{downloads.suffix_of(backup.url)}"
    # A single job, since a retry after a failure needs the object again.
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
    # Not before the backup is unpacked and checked: until then the service keeps running.
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
    """Run the definition's check of the restored data, in the folder of its service.

    Raises:
        NotInstalledError: the service is not installed there.
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
