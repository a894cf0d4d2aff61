"""Dumps as people really have them: scripts are told what one is, and a backup is what its name says."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from .packing import SCRIPTS, packed, tar
from .server import SERVICE, Result, Server

SQL = b"CREATE TABLE book (id INT);\nINSERT INTO book VALUES (1);\n" * 40
TELLS = 'echo "$GANTRY_DUMP_PACKED:$GANTRY_DUMP_KIND" >"$GANTRY_ROOT/told"'
DUMPS: dict[str, tuple[bytes, str]] = {
    "SQL": (SQL, ":text"),
    "SQL with a byte order mark": (b"\xef\xbb\xbf" + SQL, ":text"),
    "SQL with Windows line ends": (SQL.replace(b"\n", b"\r\n"), ":text"),
    "nothing": (b"", ":empty"),
    "gzip": (gzip.compress(SQL), "gzip:text"),
    "gzip of nothing": (gzip.compress(b""), "gzip:empty"),
    "gzip of gzip": (gzip.compress(gzip.compress(SQL)), "gzip:gzip"),
    "UTF-16 of PowerShell": ("-- dump\n".encode("utf-16"), ":utf-16"),
    "UTF-16 without a mark": ("-- dump of a shop\n".encode("utf-16-le"), ":utf-16"),
    "UTF-16, big end first": ("-- dump of a shop\n".encode("utf-16-be"), ":utf-16"),
    "gzip of UTF-16": (gzip.compress("-- dump\n".encode("utf-16")), "gzip:utf-16"),
    "pg_dump": (b"PGDMP\x01\x0e\x00" + b"\x04" * 40, ":pg_dump"),
    "SQLite": (b"SQLite format 3\x00" + b"\x10" * 40, ":sqlite"),
    "a page": (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", ":html"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", ":git-lfs"),
}


def load(server: Server, content: bytes) -> Result:
    dump = server.path("dump.sql")
    dump.write_bytes(content)
    return server.call("installDataSource", SERVICE, server.write("a.cfg", "database=shop\n"), dump)


@pytest.mark.parametrize("kind", DUMPS)
def test_a_script_is_told_what_the_dump_is(server: Server, kind: str) -> None:
    server.service_script("enstratus-installDataSource", TELLS)
    content, told = DUMPS[kind]
    assert load(server, content).code == 0
    assert server.path("told").read_text() == f"{told}\n"


@pytest.mark.parametrize("packer", ["gzip", "bzip2", "xz", "zstd"])
def test_whatever_has_packed_it_is_named(server: Server, packer: str, need: dict[str, str]) -> None:
    assert need
    server.service_script("enstratus-installDataSource", TELLS)
    assert load(server, packed(SQL, packer)).code == 0
    assert server.path("told").read_text() == f"{packer}:text\n"


def test_an_archive_in_a_dumps_place_is_named(server: Server) -> None:
    server.service_script("enstratus-installDataSource", TELLS)
    assert load(server, tar(server.root / "a.tar.gz", SCRIPTS).read_bytes()).code == 0
    assert server.path("told").read_text() == "gzip:tar\n"


def back_up(server: Server, name: str) -> tuple[Result, Path]:
    file = server.path(name)
    config = server.write("a.cfg", "database=shop\n")
    return server.call("backupDataSource", SERVICE, "catalog", config, file), file


WRITES = """for n in 1 2 3; do echo "INSERT INTO book VALUES ($n);"; done >"$4"; echo wrote"""


def test_a_backup_of_a_packed_dump_is_packed(server: Server) -> None:
    server.service_script("enstratus-backupDataSource", WRITES)
    result, file = back_up(server, "b.sql.gz")
    assert result.code == 0, result.err
    rows = gzip.decompress(file.read_bytes()).decode()
    assert rows.splitlines()[-1] == "INSERT INTO book VALUES (3);"
    # The same data are the same bytes, and nothing lies beside them.
    assert back_up(server, "c.sql.gz")[1].read_bytes() == file.read_bytes()
    assert not list(server.root.glob("*.gz.*"))
    # Any other is what the script has written.
    assert back_up(server, "b.sql")[1].read_text() == rows


def test_a_backup_that_the_script_has_packed_itself_is_not_packed_twice(server: Server) -> None:
    server.service_script("enstratus-backupDataSource", 'echo row | gzip -c >"$4"')
    assert gzip.decompress(back_up(server, "b.sql.gz")[1].read_bytes()) == b"row\n"


def test_a_backup_that_fails_has_the_scripts_code_and_one_of_nothing_stays_nothing(server: Server) -> None:
    server.service_script("enstratus-backupDataSource", 'echo half >"$4"; exit 8')
    result, file = back_up(server, "b.sql.gz")
    assert (result.code, file.read_text()) == (8, "half\n")
    # So that its upload says that nothing was written.
    server.service_script("enstratus-backupDataSource", ': >"$4"')
    result, file = back_up(server, "c.sql.gz")
    assert (result.code, file.stat().st_size) == (0, 0)
