"""Checks of objects that servers download: existence, permission, size, and actual format.

One request per object, for its first bytes; and one link per bucket, created as for servers: region, host and
signature are the same for all of its objects.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

from gantry import errors
from gantry.agent import file_kinds
from gantry.cloud import archived
from gantry.cloud.objects import Objects, parts
from gantry.definition import models, source
from gantry.preflight.findings import CheckOutcome, PreflightCheck, PreflightFinding
from gantry.preflight.requirements import Needs

Judge = Callable[[str, bytes], tuple[CheckOutcome, str] | None]
_SCRIPT = b"#!"


def looks(
    definition: models.Definition, needs: Needs, objects: Objects
) -> Iterator[Callable[[], list[PreflightFinding]]]:
    """Yield the checks of the storage."""
    buckets: set[str] = set()
    for url, (path, judge) in fetched(definition, needs).items():
        bucket, _ = parts(url)
        tries_link = bucket not in buckets
        buckets.add(bucket)
        yield functools.partial(
            _look, objects, url, path, judge, definition.deployment, tries_link=tries_link
        )
    if needs.backups and definition.backups is not None:
        folder = definition.backups.to
        look = PreflightCheck(f"backups in {folder}", ("backups", "to"))
        yield lambda: [look.of(functools.partial(_listed, objects, folder))]


def fetched(definition: models.Definition, needs: Needs) -> dict[str, tuple[source.Path, Judge]]:
    """Return all objects that servers may download, with their places in the definition and checks of first bytes."""
    found: dict[str, tuple[source.Path, Judge]] = {}
    for name in needs.archives:
        found.setdefault(definition.services[name].archive, (("services", name, "archive"), of_archive))
    for name in needs.dumps:
        for datasource, each in definition.services[name].datasources.items():
            found.setdefault(each.dump, (("services", name, "datasources", datasource, "dump"), of_dump))
    for tier in needs.managed:
        name_ = definition.tiers[tier].launch_configuration
        script = definition.launch_configurations[name_].script
        if script is not None:
            path = ("launch_configurations", name_, "script", "program")
            found.setdefault(script.program, (path, of_program))
    return found


def _look(
    objects: Objects,
    url: str,
    path: source.Path,
    judge: Judge,
    deployment: str,
    *,
    tries_link: bool,
) -> list[PreflightFinding]:
    look = PreflightCheck(url, path)
    try:
        facts, head = objects.head(url, f"deployment {deployment}", file_kinds.HEAD)
    except archived.ArchivedObjectError as error:
        # Only needed for a new download: servers keep what they have.
        return [look.unknown(str(error))]
    except errors.GantryError as error:
        return [look.failed(error)]
    judged = judge(url, head)
    if judged is None:
        found = [look.well(f"{facts.size} bytes")]
    else:
        standing, said = judged
        found = [PreflightFinding(url, f"{facts.size} bytes, {said}", standing, path)]
    if tries_link:
        bucket, _ = parts(url)
        found.append(
            PreflightCheck(f"a link to bucket {bucket}", path).of(functools.partial(_tried, objects, url))
        )
    return found


def of_archive(url: str, head: bytes) -> tuple[CheckOutcome, str] | None:
    """Return why servers could not unpack it, whatever its name. Whether they can unpack the rest, only they know."""
    kind = file_kinds.of(head)
    # A very old tar has no signature.
    is_old_tar = file_kinds.promised(url) is file_kinds.FileKind.TAR and kind in (
        file_kinds.FileKind.TEXT,
        file_kinds.FileKind.BINARY,
    )
    if kind in file_kinds.ARCHIVES or is_old_tar:
        return None
    return CheckOutcome.WRONG, f"and no archive: its first bytes are {kind.value}\nUpload the archive itself."


def of_dump(url: str, head: bytes) -> tuple[CheckOutcome, str] | None:
    """Accept unknown formats: the service's own script loads a dump, and may support more than the name suggests."""
    kind, promised = file_kinds.of(head), file_kinds.promised(url)
    if promised is None or promised is kind:
        return None
    return (
        CheckOutcome.UNKNOWN,
        f"and its first bytes are {kind.value}, where its name says {promised.value}; whether it can be loaded, "
        f"only the service's script enstratus-installDataSource knows",
    )


def of_program(_: str, head: bytes) -> tuple[CheckOutcome, str] | None:
    """Check the first line, which Linux starts it by."""
    first = head.partition(b"\n")[0]
    if not head:
        return (
            CheckOutcome.WRONG,
            "and a program that is run on each server cannot be empty\nUpload it again.",
        )
    if first.startswith(_SCRIPT) and first.endswith(b"\r"):
        return (
            CheckOutcome.WRONG,
            "and its first line has a Windows line end: Linux finds no interpreter of that name\n"
            "Save it with Unix line ends, and upload it again.",
        )
    return None


def _tried(objects: Objects, url: str) -> str:
    objects.try_link(url)
    return f"is taken in {objects.region(url)}"


def _listed(objects: Objects, folder: str) -> str:
    objects.names_in(folder)
    return f"can be listed, in {objects.region(folder)}; whether they can be written, only a backup shows"
