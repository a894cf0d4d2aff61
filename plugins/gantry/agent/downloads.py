"""Objects that a server fetches by itself: the jobs that download them, and note what they are. Pure."""

from __future__ import annotations

import dataclasses
import hashlib

from gantry import errors
from gantry.agent import content_digests, jobs, session
from gantry.definition import fields

_DUMP_ENDINGS = (".sql.gz", ".sql")


@dataclasses.dataclass(frozen=True)
class Download:
    """An object that a server fetches by itself.

    `version` is the store's; whether the content has changed, `contents` tells. `obstacle` is why the store does not
    give it, though it is there.
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
    """A job that downloads a file, calls a script with it, and leaves neither link nor file behind.

    Raises the object's obstacle, if it has one: servers that need not fetch it are none the worse for it.
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
    """What a server notes of an object that it applies; see `contents`.

    Attributes:
        key: what the object is for.
        digest: what is noted under it; None: the digest that the server finds.
        may_be_same: whether nothing is to be done where the content is what was applied before.
        forgets: the keys of notes that stop being true where it is applied.
    """

    key: str
    digest: str | None = None
    may_be_same: bool = False
    forgets: tuple[str, ...] = ()


def applied(
    name: str, download: Download, target: str, applying: Applying, call: tuple[str, ...], timeout: float
) -> jobs.Job:
    """A job that downloads a file, calls a script with it unless it has been applied before, and notes what it is."""
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
    """A job that downloads a file and only finds out whether it is what was applied before.

    `words` say to a person what becomes of it if it is not. `check` is a script that looks at it then, with its first
    arguments; the file is the last one.
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
    """A version as a word of a name."""
    return hashlib.sha256(version.encode()).hexdigest()[:12]


def suffix_of(url: str) -> str:
    """The part of a name that says how it is packed, in small letters; empty where it is none that is known."""
    name = url.rpartition("/")[2].lower()
    return next((end for end in (*fields.ARCHIVE_ENDINGS, *_DUMP_ENDINGS) if name.endswith(end)), "")
