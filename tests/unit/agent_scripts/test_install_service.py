"""installService: an archive ends up in its folder, whole and safe, or nothing changes."""

from __future__ import annotations

import os
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from .packing import SCRIPTS, Odd, both, entry, everything, install, packed, tar
from .server import CUSTOMER, REQUIRED, SERVICE, Server


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_owner_group_and_modes(server: Server) -> None:
    odd = both(
        entry("bin/tool", mode=0o4777),
        entry("cfg/old.cfg", mode=0o600),
        entry("run/it", mode=0o2777),
        entry("lib/app.py"),
    )
    assert install(server, tar(server.root / "a.tgz", SCRIPTS, odd)).code == 0
    name, _, uid, gid, *_, shell = server.path("etc/passwd").read_text().strip().split(":")
    assert (name, shell) == (CUSTOMER, "/usr/sbin/nologin")
    assert server.path("etc/group").read_text().startswith(f"{CUSTOMER}:x:{gid}:")
    groups = {path.lstat().st_gid for path in [server.service(), *server.service().rglob("*")]}
    assert groups == {int(gid)}
    of_root = [
        server.service(),
        *server.service("bin").rglob("*"),
        *map(server.service, ("bin", "cfg", "lib")),
    ]
    assert {path.lstat().st_uid for path in of_root} == {0}
    assert {server.service(name).lstat().st_uid for name in ("cfg/old.cfg", "run", "run/it")} == {int(uid)}
    assert {mode_of(path) for path in server.service("bin").iterdir()} == {0o750}
    # Whoever may write there can remove only what is their own.
    assert (mode_of(server.service("cfg")), mode_of(server.service("cfg/old.cfg"))) == (0o1770, 0o770)
    assert mode_of(server.service("run/it")) == 0o755
    assert mode_of(server.service()) == 0o755
    # The user exists now: the next install finds it.
    assert install(server, server.root / "a.tgz").code == 0
    assert len(server.path("etc/passwd").read_text().splitlines()) == 1


UNSAFE: dict[str, tuple[Odd, str]] = {
    "absolute path": (entry("/tmp/gantry-evil"), "/tmp/gantry-evil"),
    "parent folder": (entry("../evil"), "../evil"),
    "parent folder within": (entry("lib/../../evil"), "lib/../../evil"),
    "parent folder after a line break": (entry("x\n/../../evil"), "evil"),
    "line break in a name": (entry("x\ny"), "control characters"),
    "absolute link": (entry("data", tarfile.SYMTYPE, "/etc"), "data"),
    "link out": (entry("lib/data", tarfile.SYMTYPE, "../../evil"), "lib/data"),
    "link out over a link": (
        both(entry("lib/one", tarfile.SYMTYPE, ".."), entry("two", tarfile.SYMTYPE, "lib/one/../x")),
        "'two'",
    ),
    "link back over a link": (
        both(entry("lib/one", tarfile.SYMTYPE, "../cfg"), entry("two", tarfile.SYMTYPE, "lib/one/../x")),
        "'two' points out of the folder, or back over another link",
    ),
    "line break in where a link points": (entry("two", tarfile.SYMTYPE, "x\n/etc"), "control characters"),
    "file through a link": (
        both(entry("data", tarfile.SYMTYPE, "../evil"), entry("data/file")),
        "",
    ),
    "absolute hard link": (entry("shadow", tarfile.LNKTYPE, "/etc/passwd"), "/etc/passwd"),
    "hard link out": (entry("shadow", tarfile.LNKTYPE, "lib/../../../etc/passwd"), "shadow"),
    "hard link to a link out": (
        both(entry("one", tarfile.SYMTYPE, "../../x"), entry("two", tarfile.LNKTYPE, "one")),
        "",
    ),
    "device": (entry("disk", tarfile.BLKTYPE), "disk"),
    "character device": (entry("null", tarfile.CHRTYPE), "null"),
    "named pipe": (entry("pipe", tarfile.FIFOTYPE), "pipe"),
}


@pytest.mark.parametrize("kind", UNSAFE)
def test_an_unsafe_archive_is_refused_whole_and_the_entry_named(server: Server, kind: str) -> None:
    odd, named = UNSAFE[kind]
    result = install(server, tar(server.root / "a.tar.gz", SCRIPTS, odd))
    assert result.code in ((21, 22) if not named else (21,)), result.err
    assert named in result.err
    assert everything(server) == []
    assert not Path("/tmp/gantry-evil").exists()


@pytest.mark.parametrize("name", ["../evil", "/evil", "lib/../../evil", "..\\evil", "lib\\..\\..\\evil"])
def test_an_unsafe_zip_is_refused(server: Server, name: str) -> None:
    path = server.root / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for script, text in SCRIPTS.items():
            archive.writestr(script, text)
        archive.writestr(name, "evil")
    result = install(server, path)
    assert (result.code, name in result.err) == (21, True), result.err
    assert everything(server) == []


def test_a_link_that_leaves_a_zip_is_refused(server: Server) -> None:
    path = server.root / "a.zip"
    link = zipfile.ZipInfo("data")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        for script, text in SCRIPTS.items():
            archive.writestr(script, text)
        archive.writestr(link, "/etc")
    result = install(server, path)
    assert (result.code, "'data'" in result.err) == (21, True)
    assert everything(server) == []


def test_links_within_the_service_are_fine(server: Server) -> None:
    odd = both(
        entry("lib/current", tarfile.SYMTYPE, "../cfg"),
        entry("lib/over", tarfile.SYMTYPE, "./current/x"),
        entry("back", tarfile.SYMTYPE, "lib/../lib//deep/.."),
        entry("to-nothing", tarfile.SYMTYPE, "gone"),
        entry("one", tarfile.SYMTYPE, "two"),
        entry("two", tarfile.SYMTYPE, "one"),
        entry("all", tarfile.SYMTYPE, "."),
        entry("copy", tarfile.LNKTYPE, "bin/enstratus-start"),
        entry("with .. dots...txt"),
    )
    assert install(server, tar(server.root / "a.tgz", SCRIPTS, odd)).code == 0
    assert server.service("lib/current").readlink() == Path("../cfg")
    assert server.service("copy").read_text() == "#!/bin/sh\n"


@pytest.mark.parametrize("missing", REQUIRED)
def test_a_missing_script_is_named(server: Server, missing: str) -> None:
    files = {name: text for name, text in SCRIPTS.items() if name != f"bin/{missing}"}
    result = install(server, tar(server.root / "a.tgz", files))
    assert (result.code, f"bin/{missing}" in result.err) == (23, True)
    assert everything(server) == []


def test_wrong_arguments_and_files_that_are_no_archive(server: Server) -> None:
    assert server.call("installService", SERVICE, CUSTOMER, "u1").code == 1
    assert server.call("installService", SERVICE, CUSTOMER, "../u", "/x").code == 1
    assert install(server, server.root / "nowhere.tar.gz").code == 20
    assert install(server, server.path("etc")).code == 20
    good = tar(server.root / "a.tar.gz", SCRIPTS | {"lib/big": "x" * 100_000})
    (server.root / "cut.tar.gz").write_bytes(good.read_bytes()[:-60])
    for name, content in [("b.tar.gz", "no archive"), ("b.zip", "no archive"), ("b.rar", "?")]:
        server.write(name, content)
        assert install(server, server.root / name).code == 22
    assert install(server, server.root / "cut.tar.gz").code == 22
    assert everything(server) == []


def test_a_full_disk_is_a_failure_and_nothing_is_seen(server: Server) -> None:
    archive = tar(server.root / "a.tar.gz", SCRIPTS | {"lib/big": "x" * 3_000_000})
    services = server.path("mnt/services")
    services.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "gantry", services], check=True)
    try:
        assert install(server, archive).code == 22
        assert everything(server) == []
    finally:
        subprocess.run(["umount", services], check=True)


def test_what_tar_says_of_an_archive_is_not_held_in_memory(server: Server) -> None:
    broken = tarfile.TarInfo("broken")
    broken.type, broken.size = b"x", 20
    content = broken.tobuf() + b"x" * 20 + bytes(492) + tarfile.TarInfo("a").tobuf()
    archive = server.root / "a.tgz"
    archive.write_bytes(packed(content * 40000 + bytes(1024), "gzip"))
    done = subprocess.run(
        ["prlimit", "--data=3000000", server.bin("installService"), SERVICE, CUSTOMER, "u1", str(archive)],
        env=server.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        22,
        f"installService: tar cannot read {archive} (above)",
    )


def test_many_files_of_unusual_modes_before_an_odd_one_are_looked_at_quickly(server: Server) -> None:
    """By the function alone: all of them as real files would take longer than what is looked for."""
    many = server.script("programs/find", "head -c 300000 /dev/zero | tr '\\0' u; printf '!'", 0o755)
    program = '. "$0"; look_at_tree; echo "$odd:$noise:$unusual"'
    library = server.path("enstratus/lib/archive.sh")
    done = subprocess.run(
        ["sh", "-euc", program, str(library)],
        env={"PATH": f"{many.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    assert done.stdout == "yes::yes\n"


def test_a_hook_that_comes_after_it_has_neither_its_lock_nor_its_mask(server: Server) -> None:
    lock = server.path(f"enstratus/ws/lock/install-{SERVICE}")
    server.custom(
        "installService-post", f"umask; pwd; flock -n {lock} echo free; echo code=$GANTRY_EXIT_CODE"
    )
    result = install(server, tar(server.root / "a.tgz", SCRIPTS))
    assert result.code == 0, result.err
    assert result.err.splitlines()[-4:] == ["0027", str(Path.cwd()), "free", "code=0"]
    assert "end installService exit=0" in server.journal()[-1]


@pytest.mark.parametrize("after", ["", "exit 0"], ids=["alone", "with a hook after it"])
def test_what_fails_ends_with_its_code_in_the_journal_and_leaves_nothing(server: Server, after: str) -> None:
    if after:
        server.custom("installService-post", after)
    result = install(server, tar(server.root / "a.tgz", {"bin/enstratus-start": "#!/bin/sh\n"}))
    assert result.code == 23, result.err
    assert "end installService exit=23" in server.journal()[-1]
    assert everything(server) == []


def test_installing_again_keeps_what_the_service_generated(server: Server) -> None:
    install(server, tar(server.root / "a.tgz", SCRIPTS | {"data/README": "old\n", "lib/app": "old\n"}))
    server.write(server.service("cfg/my.cnf"), "generated\n")
    table = server.write(server.service("data/table.ibd"), "rows\n", 0o600)
    data = server.service("data")
    data.chmod(0o700)
    os.chown(data, 4321, 4321)
    inode = data.stat().st_ino
    files = SCRIPTS | {
        "bin/enstratus-start": "new\n",
        "data/README": "new\n",
        "lib/app": "new\n",
        "lib/sub/x": "x",
    }
    assert install(server, tar(server.root / "b.tgz", files)).code == 0
    assert {name: server.service(name).read_text() for name in files} == files
    assert (table.read_text(), server.service("cfg/my.cnf").read_text()) == ("rows\n", "generated\n")
    # A database that runs in there keeps its folder.
    assert (data.stat().st_ino, mode_of(data), data.stat().st_uid) == (inode, 0o700, 4321)
    assert mode_of(server.service("bin/enstratus-start")) == 0o750


def test_nothing_is_written_through_a_link_in_the_old_install(server: Server) -> None:
    install(server, tar(server.root / "a.tgz", SCRIPTS))
    outside = server.write("etc/outside/passwd", "precious\n")
    server.service("data").symlink_to(outside.parent)
    result = install(server, tar(server.root / "b.tgz", SCRIPTS | {"data/passwd": "evil\n", "lib/new": ""}))
    assert (result.code, str(server.service("data")) in result.err) == (25, True)
    assert not server.service("lib").exists()
    server.service("data").unlink()
    # A link in a file's place is itself replaced.
    server.service("data").mkdir()
    server.service("data/passwd").symlink_to(outside)
    assert install(server, server.root / "b.tgz").code == 0
    assert server.service("data/passwd").read_text() == "evil\n"
    assert not server.service("data/passwd").is_symlink()
    assert outside.read_text() == "precious\n"


def test_a_service_folder_that_is_a_link_is_refused(server: Server) -> None:
    server.path("mnt/services").mkdir(parents=True)
    server.service().symlink_to(server.path("etc"))
    before = sorted(server.path("etc").iterdir())
    assert install(server, tar(server.root / "a.tgz", SCRIPTS)).code == 25
    assert [path for path in sorted(server.path("etc").iterdir()) if not path.name.endswith("-")] == before


def test_a_folder_is_not_replaced_by_a_file(server: Server) -> None:
    install(server, tar(server.root / "a.tgz", SCRIPTS | {"data/rows": "1\n"}))
    result = install(server, tar(server.root / "b.tgz", SCRIPTS | {"data": "file", "lib/new": ""}))
    assert (result.code, "is a folder where the archive has a file" in result.err) == (25, True)
    assert server.service("data/rows").read_text() == "1\n"


def test_a_service_folder_on_a_disk_of_its_own(server: Server) -> None:
    server.service().mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "gantry", server.service()], check=True)
    try:
        assert install(server, tar(server.root / "a.tgz", SCRIPTS)).code == 0
        assert sorted(path.name for path in server.service().iterdir()) == ["bin", "cfg"]
    finally:
        subprocess.run(["umount", server.service()], check=True)
