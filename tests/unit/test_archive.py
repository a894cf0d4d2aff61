"""A service's folder becomes the archive that the control plane uploads and the server extracts."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from gantry import archive
from gantry.errors import GantryError


@pytest.fixture
def service(tmp_path: Path) -> Path:
    folder = tmp_path / "service"
    for name in (*archive.REQUIRED_SCRIPTS, "bin/enstratus-check"):
        write(folder / name, "#!/bin/sh\n")
    write(folder / "cfg/master.cnf", "port = @PORT@\n")
    write(folder / "lib/tool", "#!/bin/sh\n").chmod(0o700)
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, newline="")
    return path


def test_the_same_folder_gives_the_same_bytes(service: Path, tmp_path: Path) -> None:
    first = archive.build_archive(service, tmp_path / "first.tar.gz")
    elsewhere = tmp_path / "elsewhere" / "copy"
    shutil.copytree(service, elsewhere)
    for path in elsewhere.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    (elsewhere / "cfg/master.cnf").chmod(0o600)
    write(elsewhere / "lib/__pycache__/tool.cpython-311.pyc", "left behind")
    second = archive.build_archive(elsewhere, tmp_path / "another name.tar.gz")

    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()
    assert first.size == first.path.stat().st_size


def test_a_changed_file_gives_another_checksum(service: Path, tmp_path: Path) -> None:
    before = archive.build_archive(service, tmp_path / "a.tar.gz")
    write(service / "cfg/master.cnf", "port = 3306\n")
    assert archive.build_archive(service, tmp_path / "a.tar.gz").sha256 != before.sha256


def test_the_server_finds_scripts_to_run_and_nothing_of_the_builder(
    service: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (service / "bin/enstratus-dbgrant").symlink_to("enstratus-check")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    built = archive.build_archive(service, tmp_path / "out" / "service.tgz")
    with tarfile.open(built.path) as tar:
        members = {member.name: member for member in tar}
    assert list(members) == sorted(members)
    assert built.files == tuple(name for name, member in members.items() if not member.isdir())
    assert {(m.uid, m.gid, m.mtime, m.uname) for m in members.values()} == {(0, 0, 1_700_000_000, "root")}
    assert members["bin/enstratus-start"].mode == 0o750
    assert members["cfg/master.cnf"].mode == 0o644
    assert members["lib/tool"].mode == 0o755
    assert members["bin/enstratus-dbgrant"].linkname == "enstratus-check"


def test_a_service_without_its_scripts_is_refused(service: Path, tmp_path: Path) -> None:
    (service / "bin/enstratus-stop").unlink()
    with pytest.raises(
        archive.ScriptMissingError, match=r"bin/enstratus-stop missing\. A service needs"
    ) as caught:
        archive.build_archive(service, tmp_path / "a.tar.gz")
    assert caught.value.scripts == ("bin/enstratus-stop",)
    assert not (tmp_path / "a.tar.gz").exists()


@pytest.mark.parametrize(
    ("text", "reason"), [("#!/bin/sh\r\n", "Windows line ends"), ("echo hello\n", "no first line such as")]
)
def test_a_script_that_would_not_start_is_refused(
    service: Path, tmp_path: Path, text: str, reason: str
) -> None:
    write(service / "bin/enstratus-start", text)
    with pytest.raises(archive.ScriptUnusableError, match=reason):
        archive.build_archive(service, tmp_path / "a.tar.gz")


@pytest.mark.parametrize("goal", ["/etc/passwd", "../../secret", "../../service/cfg/master.cnf", "nowhere"])
def test_a_link_out_of_the_folder_is_refused(service: Path, tmp_path: Path, goal: str) -> None:
    write(tmp_path / "secret", "not for servers")
    (service / "cfg/link").symlink_to(goal)
    with pytest.raises(archive.UnsafeLinkError, match="Replace it by the file itself") as caught:
        archive.build_archive(service, tmp_path / "a.tar.gz")
    assert (caught.value.link, caught.value.goal) == ("cfg/link", goal)


def test_a_link_to_a_folder_outside_is_not_walked(service: Path, tmp_path: Path) -> None:
    write(tmp_path / "private/secret", "not for servers")
    (service / "cfg/more").symlink_to("../../private")
    with pytest.raises(archive.UnsafeLinkError):
        archive.build_archive(service, tmp_path / "a.tar.gz")


def test_what_is_neither_file_nor_folder_is_refused(service: Path, tmp_path: Path) -> None:
    os.mkfifo(service / "cfg/pipe")
    with pytest.raises(archive.UnknownFileKindError, match="cfg/pipe"):
        archive.build_archive(service, tmp_path / "a.tar.gz")


def test_an_archive_is_not_packed_into_itself(service: Path) -> None:
    with pytest.raises(archive.TargetInsideSourceError):
        archive.build_archive(service, service / "a.tar.gz")


def test_a_date_that_is_none_is_refused(
    service: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(archive.SourceDateError, match="SOURCE_DATE_EPOCH is 'yesterday'"):
        archive.build_archive(service, tmp_path / "a.tar.gz")


def test_a_failure_leaves_the_earlier_archive(
    service: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.tar.gz"
    before = archive.build_archive(service, target).sha256

    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(OSError, match="No space"):
        archive.build_archive(service, target)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "service"]


def test_the_command_says_what_it_built(
    service: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "a.tar.gz"
    assert archive.main([str(service), str(target)]) == 0
    assert hashlib.sha256(target.read_bytes()).hexdigest() in capsys.readouterr().out
    assert archive.main([str(tmp_path / "absent"), str(target)]) == 1
    assert "there is no such folder" in capsys.readouterr().err
    assert issubclass(archive.ArchiveError, GantryError)
