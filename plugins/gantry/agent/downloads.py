"""Jobs with which servers download objects themselves and record their digests. Pure functions."""

from __future__ import annotations

import dataclasses
import hashlib

from gantry import errors
from gantry.agent import content_digests, jobs, session
from gantry.definition import fields

_DUMP_ENDINGS = (".sql.gz", ".sql")


@dataclasses.dataclass(frozen=True)
class Download:
    """An object that a server downloads itself.

    `version` is the store's; see `contents` for whether the content has changed. `obstacle` is the reason why the
    store does not provide it although it exists.
    """

    url: str
    version: str
    sha256: str | None
    obstacle: errors.GantryError | None = dataclasses.field(default=None, compare=False)


def fetched(
    name: str,
    download: Download,
    target: str,
    call: tuple[str, ...],
    timeout: float,
    mark: tuple[str, str] | None = None,
) -> jobs.Job:
    """Return a job that downloads a file, calls a script with it, and removes both link and file.

    Raises the object's obstacle, if any: servers that need not download it are not affected.
    """
    if download.obstacle is not None:
        raise download.obstacle
    link = f"{session.TEMPORARY}/{name}.url"
    return jobs.Job(
        name,
        "withDownload",
        (link, target, download.sha256 or "NULL", *call),
        timeout,
        remove=(link, target),
        mark=mark,
        unmark=() if mark is None else (mark[0],),
        link=jobs.PresignedLink(link, download.url),
    )


@dataclasses.dataclass(frozen=True)
class Applying:
    """Marks that a server writes for an applied object; see `contents`.

    Attributes:
        key: the key that the object is applied under.
        digest: the value to record under it; None: the digest that the server computes.
        may_be_same: whether to do nothing if the same content was applied before.
        forgets: the keys of marks that become invalid when it is applied.
    """

    key: str
    digest: str | None = None
    may_be_same: bool = False
    forgets: tuple[str, ...] = ()


def applied(
    name: str, download: Download, target: str, applying: Applying, call: tuple[str, ...], timeout: float
) -> jobs.Job:
    """Return a job that downloads a file, calls a script with it unless already applied, and records its digest."""
    wrapped = (
        content_digests.SCRIPT,
        applying.key,
        download.version,
        applying.digest or content_digests.UNKNOWN_DIGEST,
        "changed" if applying.may_be_same else "always",
        ",".join(applying.forgets) or "NONE",
        target,
        *call,
    )
    job = fetched(name, download, target, wrapped, timeout)
    notes = content_digests.expected(applying.key, download.version, applying.digest)
    return dataclasses.replace(job, notes=notes, forgets=applying.forgets)


def compared(
    name: str,
    download: Download,
    key: str,
    words: str,
    timeout: float,
    check: tuple[str, ...] = (),
) -> jobs.Job:
    """Return a job that downloads a file and only determines whether it was applied before.

    `words` explain to people what happens if it was not. `check` is a script that then examines the file, with its
    first arguments; the file is the last one.
    """
    target = f"{session.TEMPORARY}/{name}{suffix_of(download.url)}"
    call = (
        content_digests.COMPARES,
        key,
        download.version,
        target,
        words,
        *((*check, target) if check else ()),
    )
    job = fetched(name, download, target, call, timeout)
    return dataclasses.replace(job, notes=content_digests.compared(key, download.version))


def short(version: str) -> str:
    """Shorten a version for use in a name."""
    return hashlib.sha256(version.encode()).hexdigest()[:12]


def suffix_of(url: str) -> str:
    """Return the lower-case suffix that names the compression; empty if it is not a known one."""
    name = url.rpartition("/")[2].lower()
    return next((end for end in (*fields.ARCHIVE_ENDINGS, *_DUMP_ENDINGS) if name.endswith(end)), "")
