"""File formats, detected by the first bytes, or promised by the name. Pure functions."""

from __future__ import annotations

import enum

HEAD = 512
"""Number of bytes that are examined: the signature of a tar archive comes after its first 257."""


class FileKind(enum.Enum):
    """A format, by its common name."""

    EMPTY = "empty"
    ZEROS = "only zeros, as after an interrupted download"
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
    BINARY = "of an unknown kind"


_STARTS = (
    (b"\x1f\x8b", FileKind.GZIP),
    (b"BZh", FileKind.BZIP2),
    (b"\xfd7zXZ\x00", FileKind.XZ),
    (b"\x28\xb5\x2f\xfd", FileKind.ZSTD),
    # A skippable frame: parallel compressors write one first.
    *((bytes((0x50 + number,)) + b"\x2a\x4d\x18", FileKind.ZSTD) for number in range(16)),
    (b"PK\x03\x04", FileKind.ZIP),
    # An empty archive, and a multi-part one.
    (b"PK\x05\x06", FileKind.ZIP),
    (b"PK\x07\x08", FileKind.ZIP),
    (b"7z\xbc\xaf\x27\x1c", FileKind.SEVEN_ZIP),
    (b"Rar!\x1a\x07", FileKind.RAR),
    (b"Salted__", FileKind.ENCRYPTED),
    (b"-----BEGIN PGP", FileKind.ENCRYPTED),
    (b"version https://git-lfs", FileKind.GIT_LFS),
    (b"\xff\xfe", FileKind.UTF_16),
    (b"\xfe\xff", FileKind.UTF_16),
)

_ENDINGS = (
    ((".tar.gz", ".tgz", ".gz"), FileKind.GZIP),
    ((".tar.bz2", ".tbz2", ".tbz", ".bz2"), FileKind.BZIP2),
    ((".tar.xz", ".txz", ".xz"), FileKind.XZ),
    ((".tar.zst", ".tzst", ".zst"), FileKind.ZSTD),
    ((".tar",), FileKind.TAR),
    ((".zip",), FileKind.ZIP),
    ((".sql",), FileKind.TEXT),
)

ARCHIVES = frozenset({FileKind.GZIP, FileKind.BZIP2, FileKind.XZ, FileKind.ZSTD, FileKind.TAR, FileKind.ZIP})
"""The possible formats of a service archive."""

_TAR_AT, _TAR = 257, b"ustar"
_MARKUP = (b"<!doctype html", b"<html", b"<?xml", b"<error>")
_BYTE_ORDER = b"\xef\xbb\xbf"


def of(head: bytes) -> FileKind:
    """Return the format of a file with these first `HEAD` bytes (fewer if the file is shorter)."""
    if not head:
        return FileKind.EMPTY
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return FileKind.TAR
    return _without_sign(head)


def _without_sign(head: bytes) -> FileKind:
    """Return the format of a file without a signature."""
    if not any(head):
        return FileKind.ZEROS
    if b"\0" in head:
        # In UTF-16, the upper byte of Latin letters is zero: every second byte shows this.
        halves = head[::2], head[1::2]
        is_text = any(half and not any(half) for half in halves)
        return FileKind.UTF_16 if is_text else FileKind.BINARY
    if head.removeprefix(_BYTE_ORDER).lstrip().lower().startswith(_MARKUP):
        return FileKind.HTML
    return FileKind.TEXT


def promised(name: str) -> FileKind | None:
    """Return the format that the name's suffix promises, in any case; None if it promises none."""
    small = name.lower()
    return next((kind for endings, kind in _ENDINGS if small.endswith(endings)), None)
