"""Whatever archive comes: it is installed as it was written, or one message says why not and all stays as it was."""

from __future__ import annotations

import io
import posixpath
import shutil
import stat
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import hypothesis
import pytest
from hypothesis import strategies

from .packing import PACKERS, SCRIPTS, install, packed, tar
from .server import Server

PARTS = (
    "bin", "cfg", "data", "lib", "a b", "größe", "-x", "a\\b", "..", ".", "", "x\ny", "\x01", "._x", ".DS_Store",
    "__MACOSX", "enstratus-start", "n" * 120, "*", "'", "$(id)", "%s", "#", " -> ", " link to ",
)  # fmt: skip
NAMES = strategies.lists(strategies.sampled_from(PARTS), min_size=1, max_size=4).map("/".join)
KINDS = {
    "file": tarfile.REGTYPE,
    "folder": tarfile.DIRTYPE,
    "link": tarfile.SYMTYPE,
    "hard link": tarfile.LNKTYPE,
    "pipe": tarfile.FIFOTYPE,
    "old file": tarfile.AREGTYPE,
    "sparse": tarfile.GNUTYPE_SPARSE,
}
TEXTS = strategies.sampled_from(("", "x", "#!/bin/sh\n", "#!/bin/sh\r\n", "\ufeff#!/bin/sh\n", "\0" * 700))


class Member(NamedTuple):
    """An entry of an archive."""

    name: str
    kind: str
    target: str
    mode: int
    text: str


MEMBERS = strategies.builds(
    Member,
    NAMES,
    strategies.sampled_from(["file", "file", "file", *KINDS]),
    NAMES | strategies.sampled_from(("..", "../..", "/etc", "bin", "enstratus-start", "../cfg")),
    strategies.sampled_from((0, 0o600, 0o644, 0o755, 0o4777, 0o1777)),
    TEXTS,
)
TOPS = strategies.sampled_from(("", "", "", "page-1.2/", "./", "a/b/"))


def a_tar(members: list[Member], top: str, packer: str) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for member in members:
            info = tarfile.TarInfo(top + member.name)
            info.type, info.linkname, info.mode = KINDS[member.kind], member.target, member.mode
            content = member.text.encode() if member.kind in ("file", "old file") else b""
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed(plain.getvalue(), packer)


def a_zip(members: list[Member], top: str, system: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for member in members:
            name = top + member.name
            if system == 0:
                name = name.replace("/", "\\")
            info = zipfile.ZipInfo("x")
            # Not what Python would make of it.
            info.filename = name + ("/" if member.kind == "folder" else "")
            info.create_system = system
            kind = stat.S_IFLNK if member.kind == "link" else stat.S_IFREG
            info.external_attr = (kind | member.mode) << 16 if system == 3 else 0x20
            archive.writestr(info, member.target if member.kind == "link" else member.text)
    return file.getvalue()


@strategies.composite
def archives(draw: strategies.DrawFn) -> tuple[str, bytes, list[Member], str]:
    members = [Member(name, "file", "", 0o755, text) for name, text in SCRIPTS.items()]
    odd = draw(strategies.lists(MEMBERS, max_size=4))
    members = draw(strategies.permutations([*members, *odd]))
    top = draw(TOPS)
    ending = draw(strategies.sampled_from([*PACKERS, "zip", "zip"]))
    with pytest.MonkeyPatch.context() as patch:
        # What it says about names that stand there twice.
        patch.setattr("warnings.warn", lambda *_, **__: None)
        if ending == "zip":
            content = a_zip(members, top, draw(strategies.sampled_from((0, 3))))
        else:
            content = a_tar(members, top, PACKERS[ending])
    cut = draw(strategies.sampled_from((None, None, None, None, 0.3, 0.9)))
    return ending, content if cut is None else content[: int(len(content) * cut)], odd, top


def state(server: Server) -> dict[str, object]:
    """All that can be seen of services, and of what stands around them."""
    found: dict[str, object] = {}
    for path in sorted(server.path("mnt").rglob("*")):
        status = path.lstat()
        what = path.read_bytes() if stat.S_ISREG(status.st_mode) else stat.S_IFMT(status.st_mode)
        found[str(path)] = (status.st_mode, status.st_uid, what)
    return found


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    """A service that is installed; beside it stands what must not be touched."""
    root = Path(tempfile.mkdtemp(prefix="gantry-agent-"))
    # The service's user passes through, as on a server.
    root.chmod(0o755)
    server = Server.create(root)
    old = tar(server.root / "old.tgz", SCRIPTS | {"lib/app": "old", "data/rows": "1"})
    assert install(server, old).code == 0
    server.write("mnt/precious", "precious")
    keep(server.path("mnt"), server.path("kept"))
    yield server
    shutil.rmtree(root)


def keep(source: Path, target: Path) -> None:
    """A copy with owners."""
    subprocess.run(["cp", "-a", source, target], check=True)


def reset(server: Server) -> None:
    shutil.rmtree(server.path("mnt"))
    keep(server.path("kept"), server.path("mnt"))


@hypothesis.given(archives())
@hypothesis.settings(
    # Without shrinking: each example is an installation.
    phases=[hypothesis.Phase.generate],
    max_examples=25,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    database=None,
)
def test_an_archive_is_installed_as_it_was_written_or_refused_in_one_message(
    running: Server, archive: tuple[str, bytes, list[Member], str]
) -> None:
    ending, content, odd, top = archive
    reset(running)
    before = state(running)
    path = running.root / f"new.{ending}"
    path.write_bytes(content)
    result = install(running, path)
    hypothesis.note(f"{result}")
    assert running.path("mnt/precious").read_text() == "precious"
    messages = [line for line in result.err.splitlines() if line.startswith("installService: ")]
    if result.code != 0:
        assert result.code in (21, 22, 23, 25, 26)
        # The last one says why. Before it may stand what was left out, taken from a folder, or misread.
        said = ("left out of the archive", "the archive has all in one folder", "unzip may have misread")
        *before_that, why = [each.removeprefix("installService: ") for each in messages]
        assert all(each.startswith(said) for each in before_that)
        assert not why.startswith(said)
        assert state(running) == before
        return
    after = state(running)
    service = str(running.service())
    assert all(name.startswith(service) or before.get(name) == found for name, found in after.items())
    for name in SCRIPTS:
        script = running.service(name)
        assert script.is_file() or script.is_symlink()
    for name in after:
        if Path(name).is_symlink():
            goal = posixpath.normpath(posixpath.join(posixpath.dirname(name), Path(name).readlink()))
            assert goal == service or goal.startswith(f"{service}/"), (name, goal)
    assert {top, *odd}
