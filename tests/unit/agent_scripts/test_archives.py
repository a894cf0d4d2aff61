"""installService with archives as people really have them: each works as it was meant, or one message says why not."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from .packing import (
    PACKERS,
    SCRIPTS,
    Odd,
    both,
    entry,
    everything,
    install,
    installed,
    packed,
    tar,
    within,
    zipped,
)
from .server import REQUIRED, SERVICE, Server

FILES = SCRIPTS | {"cfg/master.cnf": "port\n", "lib/deep/app.py": "pass\n", "lib/größe.txt": "ü\n"}
MACOS = "LIBARCHIVE.xattr.com.apple.quarantine"


def lacks(server: Server, program: str) -> None:
    """The server does not have a program."""
    library = server.path("enstratus/lib/agent.sh")
    known = f'command() {{ [ "$2" != {program} ] && type "$2"; }}\n'
    server.write("enstratus/lib/agent.sh", library.read_text() + known)


@pytest.mark.parametrize("ending", [*PACKERS, "zip", "TAR.GZ", "Zip"])
def test_a_service_is_installed_from_each_kind_of_archive(
    server: Server, ending: str, need: dict[str, str]
) -> None:
    assert need
    path = server.root / f"Page.{ending}"
    (zipped if ending.lower() == "zip" else tar)(path, FILES)
    result = install(server, path)
    assert result.code == 0, result.err
    assert installed(server, FILES) == FILES
    assert [path.name for path in server.path("mnt/services").iterdir()] == [SERVICE]


@pytest.mark.parametrize("packer", ["gzip", "bzip2", "xz", "zstd", ""])
def test_what_an_archive_is_its_content_tells_and_not_its_name(server: Server, packer: str) -> None:
    # As browsers save what they have unpacked on the way.
    plain = tar(server.root / "a.tar", FILES).read_bytes()
    path = server.root / "a.zip"
    path.write_bytes(packed(plain, packer))
    assert install(server, path).code == 0
    assert installed(server, FILES) == FILES


NO_ARCHIVES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "an empty file"),
    "text": (b"hello, world\n", "text"),
    "a page": (b"<!DOCTYPE html>\n<title>404</title>", "a page of HTML or XML"),
    "the store's answer": (b"<?xml version='1.0'?><Error/>", "a page of HTML or XML"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04" + b"\x00" * 40, "it is 7z"),
    "rar": (b"Rar!\x1a\x07\x01\x00" + b"\x00" * 40, "it is rar"),
    "encrypted": (b"Salted__" + b"\x01" * 40, "an encrypted file"),
    "UTF-16": ("archive".encode("utf-16"), "UTF-16"),
    "gzip of text": (gzip.compress(b"hello, world\n" * 100), "tar cannot read"),
    "gzip of a few words": (gzip.compress(b"hello, world\n"), "there is nothing in"),
    "gzip of gzip": (gzip.compress(gzip.compress(b"x")), "it is gzip, packed by gzip"),
    "gzip of a dump": (gzip.compress(b"PGDMP" + b"\x01" * 40), "(-Fc), packed by gzip"),
    "a tar of nothing": (gzip.compress(b"\x00" * 10240), "there is nothing in"),
    "zeros": (b"\x00" * 10240, "only zeros"),
    "a tar that is cut": (b"", "tar cannot read"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NO_ARCHIVES)
def test_what_is_no_archive_is_named(server: Server, kind: str) -> None:
    content, named = NO_ARCHIVES[kind]
    path = server.root / "a.tar.gz"
    if kind == "a tar that is cut":
        content = tar(path, FILES | {"lib/big": os.urandom(20_000).hex()}).read_bytes()[:-9000]
    path.write_bytes(content)
    result = install(server, path)
    assert (result.code, named in result.err) == (22, True), result.err
    assert everything(server) == []


@pytest.mark.parametrize(("ending", "program"), [("tar.zst", "zstd"), ("tar.xz", "xz"), ("zip", "unzip")])
def test_a_program_that_the_server_lacks_is_named(server: Server, ending: str, program: str) -> None:
    assert install(server, tar(server.root / "old.tgz", SCRIPTS | {"lib/app": "old"})).code == 0
    path = server.root / f"a.{ending}"
    (zipped if ending == "zip" else tar)(path, SCRIPTS | {"lib/app": "new"})
    lacks(server, program)
    result = install(server, path)
    assert (result.code, f"{program} is missing on this server" in result.err) == (22, True), result.err
    assert server.service("lib/app").read_text() == "old"


def test_an_archive_of_one_folder_is_what_is_in_it(server: Server) -> None:
    # As GitHub packs it.
    path = tar(server.root / "a.tgz", within("page-1.2", FILES | {"README": "x"}))
    result = install(server, path)
    assert result.code == 0, result.err
    assert installed(server, FILES) == FILES
    assert "the archive has all in one folder, page-1.2" in result.err
    # A link that stays in the folder stays in the service; one that does not is refused as ever.
    inside = entry("page/lib/current", tarfile.SYMTYPE, "../cfg")
    assert (
        install(server, tar(server.root / "b.tgz", within("page", SCRIPTS | {"cfg/x": ""}), inside)).code == 0
    )
    outside = entry("page/lib/current", tarfile.SYMTYPE, "../../page/cfg")
    result = install(server, tar(server.root / "c.tgz", within("page", SCRIPTS), outside))
    assert (result.code, "points out of the folder" in result.err) == (21, True), result.err


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (within("a/b", SCRIPTS), "but a/b/bin/enstratus-configure: pack what is in the folder"),
        (within("a", SCRIPTS) | {"README": "x"}, "but a/bin/enstratus-configure: pack what is in the folder"),
        (
            {name.replace("bin/", "Bin/"): text for name, text in SCRIPTS.items()},
            "but Bin/enstratus-configure",
        ),
        ({"src/app.py": "", "setup.py": ""}, "on top it has: setup.py src"),
    ],
    ids=["two folders deep", "beside a file", "capital letters", "something else"],
)
def test_where_the_scripts_are_instead_is_said(server: Server, files: dict[str, str], said: str) -> None:
    result = install(server, tar(server.root / "a.tgz", files))
    assert (result.code, said in result.err) == (23, True), result.err
    assert everything(server) == []


@pytest.mark.parametrize(
    ("odd", "folder"),
    [
        (entry("cfg", tarfile.SYMTYPE, "bin"), "cfg"),
        (entry("cfg"), "cfg"),
        (entry("bin", tarfile.SYMTYPE, "lib"), "bin"),
    ],
    ids=["cfg is bin", "cfg is a file", "bin is lib"],
)
def test_folders_whose_modes_are_set_by_name_are_folders(server: Server, odd: Odd, folder: str) -> None:
    files = (
        SCRIPTS if folder == "cfg" else {name.replace("bin/", "lib/"): text for name, text in SCRIPTS.items()}
    )
    result = install(server, tar(server.root / "a.tgz", files, odd))
    assert (result.code, f"where the folder {folder} has to be" in result.err) == (23, True), result.err


def backslashed(files: dict[str, str]) -> dict[str, str]:
    return {name.replace("/", "\\"): text for name, text in files.items()}


@pytest.mark.parametrize("system", [0, 3], ids=["Windows", "Unix"])
def test_a_zip_of_windows_has_folders_and_its_scripts_can_be_run(server: Server, system: int) -> None:
    files = backslashed(FILES | {"lib/deep/other.py": ""}) | {"data\\": "", "cfg/mixed\\x": "mixed"}
    result = install(server, zipped(server.root / "a.zip", files, system))
    assert result.code == 0, result.err
    names = [name for name in FILES if name.isascii()]
    assert installed(server, names) == {name: FILES[name] for name in names}
    # What unzip makes of other names where the zip says that it comes from Windows cannot be helped, and is said.
    assert server.service("lib/größe.txt").exists() is (system == 3)
    assert ("unzip may have misread names" in result.err) is (system == 0)
    assert server.service("cfg/mixed/x").read_text() == "mixed"
    assert server.service("data").is_dir()
    assert not [name for name in everything(server) if "\\" in name]
    assert {stat.S_IMODE(path.stat().st_mode) for path in server.service("bin").iterdir()} == {0o750}
    assert stat.S_IMODE(server.service("lib/deep/app.py").stat().st_mode) == 0o644


def test_a_backslash_is_no_way_through_a_link(server: Server) -> None:
    path = zipped(server.root / "a.zip", backslashed(SCRIPTS) | {"lib\\x": "", "link": "/etc"})
    with path.open("r+b") as file:
        content = file.read()
        # The mode of a link, in the entry of the directory at the archive's end.
        at = content.rindex(b"PK\x01\x02")
        file.seek(at + 40)
        file.write((0o120777).to_bytes(2, "little"))
    result = install(server, path)
    assert (result.code, "'link'" in result.err) == (21, True), result.err
    assert everything(server) == []


def test_a_tar_keeps_names_with_a_backslash(server: Server) -> None:
    # systemd's own way to write a dash.
    assert install(server, tar(server.root / "a.tgz", SCRIPTS | {"cfg/dev-disk\\x2dby.mount": "x"})).code == 0
    assert server.service("cfg/dev-disk\\x2dby.mount").exists()


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("#!/bin/sh\r\nexit 0\r\n", True),
        ("#!/usr/bin/env python3\r\n", True),
        ("\ufeff#!/bin/sh\nexit 0\n", True),
        ("#!/bin/sh\nprintf 'a\r\n'\n", False),
        ("@echo off\r\n", False),
        ("echo one\n#!/bin/sh\r\n", False),
    ],
    ids=[
        "CRLF",
        "CRLF of another interpreter",
        "byte order mark",
        "CR in the script",
        "no script",
        "not the first line",
    ],
)
def test_a_script_whose_interpreter_would_not_be_found_is_named(
    server: Server, text: str, *, refused: bool
) -> None:
    assert install(server, tar(server.root / "old.tgz", SCRIPTS | {"lib/app": "old"})).code == 0
    files = SCRIPTS | {"bin/enstratus-check": text, "lib/app": "new"}
    result = install(server, zipped(server.root / "a.zip", files))
    assert (result.code, "bin/enstratus-check" in result.err) == ((26, True) if refused else (0, False)), (
        result.err
    )
    assert server.service("lib/app").read_text() == ("old" if refused else "new")


def test_what_macos_adds_is_left_out_and_said_in_one_line(server: Server) -> None:
    files = FILES | {f"lib/site/{number}.py": "" for number in range(300)}
    beside = {str(Path(name).with_name(f"._{Path(name).name}")): "\0\5\x16\7" for name in files}
    plain = server.root / "a.tar"
    with tarfile.open(plain, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, text in (files | beside | {".DS_Store": "x", "__MACOSX/._x": "x"}).items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            info.pax_headers = {MACOS: "0081;00000000;Safari;"}
            source = server.write("member", text)
            with source.open("rb") as content:
                archive.addfile(info, content)
    result = install(server, plain)
    assert result.code == 0, result.err
    assert installed(server, FILES) == FILES
    assert not [
        name for name in everything(server) if "/._" in name or "MACOSX" in name or "DS_Store" in name
    ]
    assert f"since macOS has added them (._*, .DS_Store, __MACOSX): {len(files) + 2} files" in result.err
    assert len(result.err.splitlines()) < 8, result.err


@pytest.fixture
def running(server: Server) -> Server:
    """A service runs there, and the agent has noted what was installed and applied."""
    path = tar(server.root / "old.tgz", SCRIPTS | {"lib/app": "old"})
    assert apply(server, path) == 0
    server.write("enstratus/ws/state/a1000/applied", "x\n")
    server.service_script("enstratus-stop", 'echo stopped >"$GANTRY_ROOT/stopped"')
    return server


def apply(server: Server, archive: Path, version: str = "one") -> int:
    """As a launch has an archive installed; the exit code."""
    forgets = "a1000/archive,a1000/content.archive,a1000/applied"
    result = server.call(
        "applyObject", "a1000/archive", version, "SUM", "always", forgets, archive,
        "installService", SERVICE, "c500", "u1", archive,
    )  # fmt: skip
    return result.code


def notes(server: Server) -> dict[str, str]:
    folder = server.path("enstratus/ws/state")
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def contents(server: Server) -> dict[str, bytes]:
    """Every file and folder of the service, and who owns it with which mode."""
    return {
        f"{path} {path.stat().st_uid} {path.stat().st_mode:o}": path.read_bytes() if path.is_file() else b""
        for path in server.service().rglob("*")
    }


def damaged(path: Path) -> Path:
    tar(path, FILES | {"lib/big": os.urandom(50_000).hex()})
    path.write_bytes(path.read_bytes()[:-20_000])
    return path


FAILURES: dict[str, tuple[int, Callable[[Path], Path]]] = {
    "unsafe": (21, lambda path: tar(path, SCRIPTS, entry("../evil"))),
    "damaged": (22, damaged),
    "no archive": (22, lambda path: Path(shutil.copy("/etc/passwd", path))),
    "not complete": (23, lambda path: tar(path, {"lib/app": "new"})),
    "in the way": (
        25,
        lambda path: tar(path, SCRIPTS, both(entry("lib", tarfile.DIRTYPE, mode=0o700), entry("lib/app/x"))),
    ),
    "line ends": (26, lambda path: tar(path, SCRIPTS | {"bin/enstratus-start": "#!/bin/sh\r\n"})),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_an_installation_that_fails_leaves_the_running_service_as_it_was_and_known(
    running: Server, failure: str
) -> None:
    before = contents(running), notes(running), everything(running)
    code, make = FAILURES[failure]
    assert apply(running, make(running.root / "new.tar.gz"), "two") == code
    assert (contents(running), notes(running), everything(running)) == before
    # And the next one that is good is installed as ever.
    assert apply(running, tar(running.root / "good.tgz", SCRIPTS | {"lib/app": "new"}), "three") == 0
    assert running.service("lib/app").read_text() == "new"
    assert "a1000/applied" not in notes(running)


def test_a_disk_without_room_is_known_before_it_is_full(running: Server) -> None:
    before = contents(running), notes(running)
    services = running.path("mnt/services")
    kept = running.path("kept")
    services.rename(kept)
    services.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "gantry", services], check=True)
    try:
        shutil.copytree(kept, services, dirs_exist_ok=True)
        for name in ("big.tgz", "big.zip"):
            path = running.root / name
            (zipped if name.endswith("zip") else tar)(path, SCRIPTS | {"lib/big": "x" * 3_000_000})
            result = install(running, path)
            assert result.code == 22
            assert "the archive needs 3 MiB, and where services are installed 1 MiB are free" in result.err
        assert ({name.split()[0] for name in contents(running)}, notes(running)) == (
            {name.split()[0] for name in before[0]},
            before[1],
        )
    finally:
        subprocess.run(["umount", services], check=True)


def test_a_hook_that_refuses_leaves_the_running_service_known(running: Server) -> None:
    before = contents(running), notes(running)
    running.custom("installService-pre", "exit 7")
    assert apply(running, tar(running.root / "new.tgz", SCRIPTS), "two") == 7
    assert (contents(running), notes(running)) == before
    # What an operator's own script does in its place, nobody knows: what was there may be gone.
    running.path("enstratus/custom/bin/installService-pre").unlink()
    running.custom("installService", "exit 9")
    assert apply(running, tar(running.root / "new.tgz", SCRIPTS), "two") == 9
    assert list(notes(running)) == ["a1000/object.archive"]


def check(server: Server, archive: Path) -> tuple[int, str]:
    result = server.call("checkArchive", SERVICE, archive)
    return result.code, result.err


@pytest.mark.parametrize("failure", [name for name in FAILURES if name != "in the way"])
def test_an_archive_that_could_not_be_installed_is_known_before(running: Server, failure: str) -> None:
    before = contents(running), notes(running), everything(running)
    code, make = FAILURES[failure]
    assert check(running, make(running.root / "new.tar.gz"))[0] == code
    assert check(running, tar(running.root / "good.tgz", SCRIPTS))[0] == 0
    assert (contents(running), notes(running), everything(running)) == before


def test_an_archive_that_only_the_operators_own_script_knows_is_not_judged(running: Server) -> None:
    running.custom("installService", "exit 0")
    code, said = check(running, running.write("page.deb", "!<arch>"))
    assert (code, "not checked" in said) == (0, True)


def restore(server: Server, archive: Path) -> int:
    return server.call("restoreService", SERVICE, "c500", "u1", archive, "a1000/archive,a1000/applied").code


def test_a_backup_that_cannot_be_restored_stops_nothing(running: Server) -> None:
    before = contents(running), notes(running)
    assert restore(running, damaged(running.root / "backup.tar.gz")) == 22
    assert (contents(running), notes(running), running.path("stopped").exists()) == (*before, False)
    # One that can: what runs is stopped before its files go.
    assert restore(running, tar(running.root / "good.tgz", SCRIPTS | {"lib/app": "older"})) == 0
    assert (running.service("lib/app").read_text(), running.path("stopped").exists()) == ("older", True)
    assert not {"a1000/archive", "a1000/applied"} & {*notes(running)}


def test_a_backup_comes_back_as_it_was(running: Server) -> None:
    """What no installation would take any more, or leave out, is the service's own by now."""
    files = SCRIPTS | {"data/._catalogue": "x", "bin/old-tool": "#!/bin/sh\r\n"}
    assert restore(running, tar(running.root / "good.tgz", files)) == 0
    assert installed(running, files).keys() == files.keys()


def test_every_script_that_has_to_be_there_is_looked_for() -> None:
    assert {f"bin/{name}" for name in REQUIRED} == {*SCRIPTS}
