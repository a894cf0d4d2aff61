"""What a file is: the look before a launch and the server's scripts say the same of the same first bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from gantry.agent import file_kinds
from gantry.agent.file_kinds import FileKind

LIBRARY = Path(file_kinds.__file__).parent / "scripts" / "lib" / "kinds.sh"
OF_SCRIPTS = {
    "empty": FileKind.EMPTY,
    "zeros": FileKind.ZEROS,
    "gzip": FileKind.GZIP,
    "bzip2": FileKind.BZIP2,
    "xz": FileKind.XZ,
    "zstd": FileKind.ZSTD,
    "zip": FileKind.ZIP,
    "tar": FileKind.TAR,
    "7z": FileKind.SEVEN_ZIP,
    "rar": FileKind.RAR,
    "encrypted": FileKind.ENCRYPTED,
    "git-lfs": FileKind.GIT_LFS,
    "utf-16": FileKind.UTF_16,
    "html": FileKind.HTML,
    "text": FileKind.TEXT,
}
SQL = b"-- a dump\nCREATE TABLE book (id INT PRIMARY KEY);\n" * 20


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        packed.addfile(tarfile.TarInfo("bin/enstratus-start"))
    return buffer.getvalue()


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name in names:
            packed.writestr(name, "content")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(bytes(4096), id="zeros"),
        pytest.param(SQL, id="a dump"),
        pytest.param(gzip.compress(SQL, mtime=0), id="gzip"),
        pytest.param(bz2.compress(SQL), id="bzip2"),
        pytest.param(lzma.compress(SQL), id="xz"),
        pytest.param(b"\x28\xb5\x2f\xfd" + bytes(range(40)), id="zstd"),
        pytest.param(b"\x50\x2a\x4d\x18" + bytes(range(40)), id="zstd with a frame that is skipped"),
        pytest.param(tar(), id="tar"),
        pytest.param(zipped("bin/enstratus-start"), id="zip"),
        pytest.param(zipped(), id="zip of nothing"),
        pytest.param(b"PK\x07\x08" + zipped("a"), id="zip in parts"),
        pytest.param(b"7z\xbc\xaf\x27\x1c\x00\x04", id="7z"),
        pytest.param(b"Rar!\x1a\x07\x01\x00", id="rar"),
        pytest.param(b"Salted__12345678", id="openssl"),
        pytest.param(b"-----BEGIN PGP MESSAGE-----\n", id="pgp"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", id="git lfs"),
        pytest.param(SQL.decode().encode("utf-16"), id="utf-16 with a mark"),
        pytest.param(SQL.decode().encode("utf-16-le"), id="utf-16 little endian"),
        pytest.param(SQL.decode().encode("utf-16-be"), id="utf-16 big endian"),
        pytest.param(b"<!DOCTYPE html><title>Not here</title>", id="page"),
        pytest.param(b"<html><title>Not here</title></html>", id="old page"),
        pytest.param(b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', id="error of S3"),
    ],
)
def test_look_and_scripts_agree(content: bytes) -> None:
    said = subprocess.run(
        ["sh", "-c", f'. {LIBRARY}; kind_of "$(first_bytes)"; printf %s "$KIND"'],
        input=content,
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert OF_SCRIPTS[said] is file_kinds.of(content[: file_kinds.HEAD])
