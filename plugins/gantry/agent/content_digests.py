"""Content comparison: whether an object in the store (archive, dump) is what a server has already applied.

The store's version of an object (its ETag) changes with encryption, part sizes and copies of the same bytes, so the
content decides: its SHA-256 digest, as pinned by the definition, or as computed and recorded by a server. For what is
applied under the key `a1001/archive` a server has these marks:
- `a1001/archive`: the applied version. The digest of the content; after an installation by an older Gantry, the ETag.
- `a1001/content.archive`: the digest of the content.
- `a1001/object.archive`: the ETag of the object that was last fetched there, and the digest of its content.

Pure functions.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

Marks = Mapping[str, str]
_DIGEST = re.compile("[0-9a-f]{64}")

SCRIPT = "applyObject"
"""The agent's script that calls another one with the fetched file, and records its digest."""

COMPARES = "compareObject"
"""The agent's script that only determines the digest of the fetched file."""

CHECKS = "checkArchive"
"""The agent's script that only checks whether an archive could be installed."""

UNKNOWN_DIGEST = "SUM"
"""Argument of `applyObject` for an unknown digest: the server records the one that it computes."""


class ContentState(enum.Enum):
    """Result of comparing an object with what a server has applied."""

    ABSENT = enum.auto()
    """Nothing has been applied yet."""

    SAME = enum.auto()
    CHANGED = enum.auto()
    UNKNOWN = enum.auto()
    """The object differs according to the store; whether its content differs, only a download can show."""


def keys(key: str) -> tuple[str, str, str]:
    """Return the keys of a server's marks of an applied object: the key itself, its content, the last object."""
    service, _, what = key.partition("/")
    return key, f"{service}/content.{what}", f"{service}/object.{what}"


def offered(marks: Marks, key: str, version: str, sha256: str | None) -> str | None:
    """Return the digest of an object's content if it is known without fetching it; else None.

    Args:
        marks: the server's marks.
        key: the key that the object is applied under.
        version: the object's ETag.
        sha256: the digest that the definition pins.
    """
    if sha256 is not None:
        return sha256.lower()
    seen, _, digest = marks.get(keys(key)[2], "").rpartition(" ")
    return digest if seen == version else None


def was_looked_at(marks: Marks, key: str, version: str) -> bool:
    """Return whether the server has already fetched this version of the object and recorded its digest."""
    return marks.get(keys(key)[2], "").rpartition(" ")[0] == version


def standing(marks: Marks, key: str, version: str, sha256: str | None) -> ContentState:
    """Compare an object with what the server has applied. Arguments as for `offered`."""
    noted = marks.get(key)
    if noted is None:
        return ContentState.ABSENT
    is_now = offered(marks, key, version, sha256)
    # An older Gantry recorded only the ETag: the very same object has the same content.
    if noted in (version, is_now):
        return ContentState.SAME
    given = marks.get(keys(key)[1]) or (noted if _DIGEST.fullmatch(noted) else None)
    if given is None:
        return ContentState.CHANGED
    if is_now is None:
        return ContentState.UNKNOWN
    return ContentState.SAME if given == is_now else ContentState.CHANGED


def expected(key: str, version: str, digest: str | None) -> tuple[tuple[str, str], ...]:
    """Return the server's marks after the object is applied; its version is the placeholder for an unknown digest."""
    name, content, seen = keys(key)
    known = digest or version
    return (name, known), (content, known), (seen, f"{version} {known}")


def compared(key: str, version: str) -> tuple[tuple[str, str], ...]:
    """Return the server's marks after it has only fetched and compared the object."""
    return ((keys(key)[2], f"{version} {version}"),)
