"""Backups in object storage: naming, completeness, retention.

A backup is an object and, beside it, its manifest. The manifest is written last and removed first: an object without a
manifest does not count as a backup.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Sequence

import pydantic

from gantry import errors, names
from gantry.cloud.objects import Objects
from gantry.definition import models

MANIFEST = ".json"
"""Suffix of a manifest's name after the name of its object."""

_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}(\.(?!json$)[a-z0-9]+)*")
"""The names that `object_name` generates; other objects in the folder are not ours."""


class Manifest(pydantic.BaseModel):
    """The metadata of a backup.

    Attributes:
        object: the object's name; it is in the same folder.
        datasource: the datasource's name; None for a backup of the service itself.
        size: size in bytes.
        sha256: the digest in hexadecimal.
        time: when the run that created it was due.
        archive: the version of the service archive that was installed.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    object: str
    deployment: names.DeploymentName
    backup: names.BackupName
    service: names.ServiceName
    datasource: names.DatasourceName | None
    size: int
    sha256: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$")
    time: datetime.datetime
    archive: str


class Stored(pydantic.BaseModel):
    """A complete backup: the location of its object, and its manifest."""

    model_config = pydantic.ConfigDict(frozen=True)

    url: str
    manifest: Manifest


class NoBackupError(errors.GantryError):
    """The requested backup does not exist."""

    def __init__(self, folder: str, wanted: str, known: Sequence[str]) -> None:
        self.folder = folder
        self.wanted = wanted
        self.known = tuple(known)
        told = f"the newest are {', '.join(known)}" if known else "there is none at all"
        super().__init__(
            f"no backup {wanted or 'at all'} in {folder}: {told}\n"
            f"An object without a manifest ({MANIFEST}) is not a complete backup."
        )


class StrangeBackupError(errors.GantryError):
    """The object is at a place from which the definition does not allow restores."""

    def __init__(self, url: str, allowed: Sequence[str]) -> None:
        self.url = url
        super().__init__(
            f"{url} may not be restored here: it is in none of {', '.join(allowed)}\n"
            f"Name its folder under restore_from in the definition's backups, if it may be."
        )


class ManifestError(errors.GantryError):
    """A manifest is invalid, or does not match its backup."""

    def __init__(self, url: str, problem: str) -> None:
        self.url = url
        super().__init__(
            f"{url}: the backup cannot be used: {problem}\nNothing was changed. Take another backup."
        )


class IncompleteBackupError(errors.GantryError):
    """The uploaded object is not what the server has sent."""

    def __init__(self, url: str, size: int, expected: int) -> None:
        self.url = url
        super().__init__(
            f"{url} has {size} bytes, and the server sent {expected}: the backup is not complete\n"
            f"It has no manifest, and no older backup was removed. Clear this task's back_up to make it again."
        )


def object_name(moment: datetime.datetime, run: str, suffix: str) -> str:
    """Return the name of a run's object: the same in each try; older objects sort first.

    Args:
        moment: when the run was due.
        run: the run's id, which distinguishes it from others of the same second.
        suffix: the suffix of its format, such as `.sql`.
    """
    mark = hashlib.sha256(run.encode()).hexdigest()[:6]
    return f"{moment.astimezone(datetime.UTC):%Y%m%dT%H%M%SZ}-{mark}{suffix}"


class Shelf:
    """The backups of one name."""

    def __init__(
        self,
        objects: Objects,
        settings: models.Backups,
        deployment: names.DeploymentName,
        backup: names.BackupName,
    ) -> None:
        self._objects = objects
        self._settings = settings
        self._wanted_by = f"backup {backup!r} of deployment {deployment}"
        self.folder = f"{settings.to}{deployment}/{backup}/"

    def url(self, name: str) -> str:
        """Return the URL of an object of that name."""
        return f"{self.folder}{name}"

    def keep(self, manifest: Manifest) -> tuple[str, ...]:
        """Record that a backup is complete, and remove the expired ones; return the names of those removed.

        Raises:
            IncompleteBackupError: it is not what the server has sent. Then nothing is recorded or removed.
            MissingObjectError: it does not exist.
        """
        url = self.url(manifest.object)
        size = self._objects.facts(url, self._wanted_by).size
        if size != manifest.size:
            raise IncompleteBackupError(url, size, manifest.size)
        self._objects.write(f"{url}{MANIFEST}", manifest.model_dump_json(indent=2).encode())
        return self._prune(manifest.object)

    def find(self, wanted: str) -> Stored:
        """Find a backup.

        Args:
            wanted: its object's name, or its URL (`s3://…`), which may be in another folder that the definition
                allows; empty: the newest.

        Raises:
            NoBackupError, StrangeBackupError, ManifestError: no usable backup exists.
        """
        wanted = wanted.strip().removesuffix(MANIFEST)
        if wanted.startswith("s3://"):
            return self._read(self._allowed(wanted))
        complete = self._complete()
        name = wanted or next(reversed(complete), "")
        if name not in complete:
            raise NoBackupError(self.folder, wanted, complete[:-6:-1])
        return self._read(self.url(name))

    def _allowed(self, url: str) -> str:
        allowed = (self.folder, *self._settings.restore_from)
        if not url.startswith(allowed):
            raise StrangeBackupError(url, allowed)
        return url

    def _read(self, url: str) -> Stored:
        text = self._objects.read(f"{url}{MANIFEST}", self._wanted_by)
        try:
            manifest = Manifest.model_validate_json(text)
        except pydantic.ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or "it"
            raise ManifestError(url, f"its manifest is not valid ({where}: {problem['msg']})") from error
        size = self._objects.facts(url, self._wanted_by).fetchable().size
        if size != manifest.size:
            raise ManifestError(url, f"it has {size} bytes, and its manifest says {manifest.size}")
        return Stored(url=url, manifest=manifest)

    def _complete(self) -> list[str]:
        """Return the names of the complete backups' objects, oldest first."""
        found = set(self._objects.names_in(self.folder))
        return sorted(each for each in found if _NAME.fullmatch(each) and f"{each}{MANIFEST}" in found)

    def _prune(self, newest: str) -> tuple[str, ...]:
        """Remove the oldest backups beyond those to be kept, and incomplete ones of earlier runs."""
        complete = self._complete()
        kept = set(complete[-self._settings.keep :]) | {newest}
        ours = {each.removesuffix(MANIFEST) for each in self._objects.names_in(self.folder)}
        going = sorted(each for each in ours if _NAME.fullmatch(each) and each not in kept and each < newest)
        for each in going:
            # First the manifest: without it, a half-removed backup no longer counts as one.
            self._objects.remove(self.url(f"{each}{MANIFEST}"))
            self._objects.remove(self.url(each))
        return tuple(going)
