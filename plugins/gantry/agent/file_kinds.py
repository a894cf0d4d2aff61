"""What a file really is, by its first bytes, and what its name says that it is. Pure."""

from __future__ import annotations

import enum

HEAD = 512
"""Bytes that are looked at: a tar archive names itself behind its first 257."""


class Kind(enum.Enum):
    """A format, as a person calls it."""

    EMPTY = "empty"
    ZEROS = "nothing but zeros, as of a download that was broken off"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTD = "zstd"
    ZIP = "zip"
    TAR = "tar, not compressed"
    SEVEN_ZIP = "7-Zip"
    RAR = "RAR"
    ENCRYPTED = "encrypted"
    GIT_LFS = "a pointer of Git LFS, not the file itself"
    UTF_16 = "text in UTF-16"
    HTML = "a page or an error document (HTML or XML)"
    TEXT = "text"
    BINARY = "of no kind that is known here"


_STARTS = (
    (b"\x1f\x8b", Kind.GZIP),
    (b"BZh", Kind.BZIP2),
    (b"\xfd7zXZ\x00", Kind.XZ),
    (b"\x28\xb5\x2f\xfd", Kind.ZSTD),
    # A frame that is skipped: parallel packers put one first.
    *((bytes((0x50 + number,)) + b"\x2a\x4d\x18", Kind.ZSTD) for number in range(16)),
    (b"PK\x03\x04", Kind.ZIP),
    # An archive of nothing, and one in several parts.
    (b"PK\x05\x06", Kind.ZIP),
    (b"PK\x07\x08", Kind.ZIP),
    (b"7z\xbc\xaf\x27\x1c", Kind.SEVEN_ZIP),
    (b"Rar!\x1a\x07", Kind.RAR),
    (b"Salted__", Kind.ENCRYPTED),
    (b"-----BEGIN PGP", Kind.ENCRYPTED),
    (b"version https://git-lfs", Kind.GIT_LFS),
    (b"\xff\xfe", Kind.UTF_16),
    (b"\xfe\xff", Kind.UTF_16),
)

_ENDINGS = (
    ((".tar.gz", ".tgz", ".gz"), Kind.GZIP),
    ((".tar.bz2", ".tbz2", ".tbz", ".bz2"), Kind.BZIP2),
    ((".tar.xz", ".txz", ".xz"), Kind.XZ),
    ((".tar.zst", ".tzst", ".zst"), Kind.ZSTD),
    ((".tar",), Kind.TAR),
    ((".zip",), Kind.ZIP),
    ((".sql",), Kind.TEXT),
)

ARCHIVES = frozenset({Kind.GZIP, Kind.BZIP2, Kind.XZ, Kind.ZSTD, Kind.TAR, Kind.ZIP})
"""What a service archive can be."""

_TAR_AT, _TAR = 257, b"ustar"
_MARKUP = (b"<!doctype html", b"<html", b"<?xml", b"<error>")
_BYTE_ORDER = b"\xef\xbb\xbf"


def of(head: bytes) -> Kind:
    """What a file is whose first `HEAD` bytes (or fewer, where it has no more) are these."""
    if not head:
        return Kind.EMPTY
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return Kind.TAR
    return _without_sign(head)


def _without_sign(head: bytes) -> Kind:
    """What a file is that does not say it."""
    if not any(head):
        return Kind.ZEROS
    if b"\0" in head:
        # Latin letters in UTF-16 have nothing in their upper half: every second byte tells.
        halves = head[::2], head[1::2]
        is_text = any(half and not any(half) for half in halves)
        return Kind.UTF_16 if is_text else Kind.BINARY
    if head.removeprefix(_BYTE_ORDER).lstrip().lower().startswith(_MARKUP):
        return Kind.HTML
    return Kind.TEXT


def promised(name: str) -> Kind | None:
    """What the ending of a name says, in whatever case; None where it says nothing."""
    small = name.lower()
    return next((kind for endings, kind in _ENDINGS if small.endswith(endings)), None)
