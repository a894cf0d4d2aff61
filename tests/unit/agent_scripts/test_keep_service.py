"""keepService and revertService: an update that went wrong leaves no trace in what is put back."""

from __future__ import annotations

from pathlib import Path

import pytest

from .server import REQUIRED, SERVICE, Server


@pytest.fixture
def installed(server: Server) -> Server:
    for name in REQUIRED:
        server.service_script(name, "echo one")
    server.write(server.service("cfg/enstratus.cfg"), "a=1\n")
    server.write(server.service("lib/app.py"), "one\n")
    server.write(server.service("log/app.log"), "a line\n")
    assert server.call("keepService", SERVICE).code == 0
    return server


def replace(path: Path, text: str) -> None:
    """As installService does it: never written through."""
    new = path.with_name(".new")
    new.write_text(text)
    new.rename(path)


def contents(server: Server) -> dict[str, str]:
    folder = server.service()
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_what_was_kept_is_put_back_to_the_letter(installed: Server) -> None:
    before = contents(installed)
    modes = {name: installed.service(name).stat().st_mode for name in before}
    replace(installed.service("lib/app.py"), "two\n")
    replace(installed.service("lib/new.py"), "two\n")
    replace(installed.service("bin/enstratus-start"), "#!/bin/sh\necho two\n")
    # What a configure script writes in place must not reach what is kept.
    installed.service("cfg/enstratus.cfg").write_text("a=2\n")
    result = installed.call("revertService", SERVICE)
    assert result.code == 0, result.err
    assert contents(installed) == before
    assert {name: installed.service(name).stat().st_mode for name in before} == modes


def test_it_can_be_put_back_more_than_once(installed: Server) -> None:
    before = contents(installed)
    for _ in range(2):
        installed.service("cfg/enstratus.cfg").write_text("a=2\n")
        replace(installed.service("lib/app.py"), "two\n")
        assert installed.call("revertService", SERVICE).code == 0
        assert contents(installed) == before
    there = {path.name for path in installed.path("mnt/services").iterdir()}
    assert there == {f".kept-{SERVICE}", SERVICE}


def test_what_the_service_wrote_meanwhile_stays_and_takes_no_space(installed: Server) -> None:
    log = installed.service("log/app.log")
    assert log.stat().st_nlink == 2
    with log.open("a") as file:
        file.write("another line\n")
    assert installed.call("revertService", SERVICE).code == 0
    assert log.read_text() == "a line\nanother line\n"


def test_one_version_is_kept_the_last(installed: Server) -> None:
    replace(installed.service("lib/app.py"), "two\n")
    assert installed.call("keepService", SERVICE).code == 0
    replace(installed.service("lib/app.py"), "three\n")
    assert installed.call("revertService", SERVICE).code == 0
    assert installed.service("lib/app.py").read_text() == "two\n"


def test_half_a_copy_of_somebody_who_was_killed_is_no_kept_version(installed: Server) -> None:
    for left in (".keeping-", ".restoring-", ".replaced-"):
        installed.write(f"mnt/services/{left}{SERVICE}/bin/rubbish", "")
    before = contents(installed)
    assert installed.call("keepService", SERVICE).code == 0
    installed.service().rename(installed.path(f"mnt/services/.replaced-{SERVICE}2"))
    # Killed between the two renames: nothing stands in the service's place.
    assert installed.call("revertService", SERVICE).code == 0
    assert contents(installed) == before


def test_nothing_to_keep_and_nothing_to_put_back_are_said(server: Server) -> None:
    result = server.call("keepService", SERVICE)
    assert (result.code, "is not installed" in result.err) == (20, True)
    result = server.call("revertService", SERVICE)
    assert (result.code, "no earlier version" in result.err) == (20, True)
    assert server.call("keepService").code == server.call("revertService", "x1").code == 2


def test_a_folder_that_is_a_link_is_not_kept_and_never_replaced(server: Server) -> None:
    elsewhere = server.path("data")
    elsewhere.mkdir()
    server.path("mnt/services").mkdir(parents=True)
    server.service().symlink_to(elsewhere)
    result = server.call("keepService", SERVICE)
    assert (result.code, "no version of it is kept" in result.err) == (0, True)
    assert server.call("revertService", SERVICE).code == 20
    assert server.service().is_symlink()
