"""Whether an object in the store (an archive, a dump) is what a server has been given already.

The store's own version of an object (its ETag) changes with encryption, part sizes and copies of the same bytes, so the
content decides: its SHA-256 sum, as the definition pins it, or as a server has found it out and noted it. For what is
applied under the key `a1001/archive` a server notes:

- `a1001/archive`: what it goes by. The digest of the content; of an installation by an older Gantry, the ETag.
- `a1001/content.archive`: the digest of the content.
- `a1001/object.archive`: the ETag of the object that was last looked at there, and the digest of its content.

Pure.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

Marks = Mapping[str, str]
_DIGEST = re.compile("[0-9a-f]{64}")

SCRIPT = "applyObject"
"""The agent's script that calls another one with what was fetched, and notes what that was."""

COMPARES = "compareObject"
"""The agent's script that only finds out what was fetched."""

CHECKS = "checkArchive"
"""The agent's script that only finds out whether an archive could be installed."""

UNKNOWN_DIGEST = "SUM"
"""What `applyObject` is told where nobody knows the digest yet: the server notes what it finds."""


class ContentState(enum.Enum):
    """What an object is, compared with what a server has been given."""

    ABSENT = enum.auto()
    """It has been given nothing yet."""

    SAME = enum.auto()
    CHANGED = enum.auto()
    UNKNOWN = enum.auto()
    """The store says that it is another object; whether its content is another one, only a download can tell."""


def keys(key: str) -> tuple[str, str, str]:
    """The keys under which a server notes what was applied: the key itself, its content, the last object."""
    service, _, what = key.partition("/")
    return key, f"{service}/content.{what}", f"{service}/object.{what}"


def offered(marks: Marks, key: str, version: str, sha256: str | None) -> str | None:
    """The digest of an object's content, as far as it is known without fetching it.

    Args:
        marks: what the server has noted.
        key: what the object is for.
        version: the object's ETag.
        sha256: what the definition pins.
    """
    if sha256 is not None:
        return sha256.lower()
    seen, _, digest = marks.get(keys(key)[2], "").rpartition(" ")
    return digest if seen == version else None


def was_looked_at(marks: Marks, key: str, version: str) -> bool:
    """Whether the server has fetched that version of the object already, and noted what it is."""
    return marks.get(keys(key)[2], "").rpartition(" ")[0] == version


def standing(marks: Marks, key: str, version: str, sha256: str | None) -> ContentState:
    """Compare an object with what the server has been given. Arguments as of `offered`."""
    noted = marks.get(key)
    if noted is None:
        return ContentState.ABSENT
    is_now = offered(marks, key, version, sha256)
    # An older Gantry has noted the ETag alone: the very same object is the same content.
    if noted in (version, is_now):
        return ContentState.SAME
    given = marks.get(keys(key)[1]) or (noted if _DIGEST.fullmatch(noted) else None)
    if given is None:
        return ContentState.CHANGED
    if is_now is None:
        return ContentState.UNKNOWN
    return ContentState.SAME if given == is_now else ContentState.CHANGED


def expected(key: str, version: str, digest: str | None) -> tuple[tuple[str, str], ...]:
    """What a server will have noted when the object is applied; its version stands for a digest that is not known."""
    name, content, seen = keys(key)
    known = digest or version
    return (name, known), (content, known), (seen, f"{version} {known}")


def compared(key: str, version: str) -> tuple[tuple[str, str], ...]:
    """What a server will have noted when it has only looked at the object."""
    return ((keys(key)[2], f"{version} {version}"),)
