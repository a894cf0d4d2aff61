"""The scripts that call a service's own scripts: their arguments and exit codes are the contract."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from .server import CUSTOMER, SERVICE, Server, until

SHOW = 'echo "${0##*/}|$*"'


@pytest.fixture
def files(server: Server) -> tuple[Path, Path]:
    return server.write("tmp/access.cfg", "a=b\n"), server.write("tmp/dump.sql", "--\n")


@pytest.mark.parametrize(
    ("script", "own"), [("startService", "enstratus-start"), ("stopService", "enstratus-stop")]
)
def test_start_and_stop_end_with_the_services_own_code(server: Server, script: str, own: str) -> None:
    assert server.call(script, SERVICE).code == 10
    server.service_script(own, f"{SHOW}; exit 7")
    result = server.call(script, SERVICE)
    assert (result.code, result.out) == (7, f"{own}|{SERVICE}\n")
    server.service_script(own, "exit 0")
    assert server.call(script, SERVICE).code == 0


@pytest.mark.parametrize(
    "identity", ["", "1000", "a", "a1/../a2", "../a1", "a10b", "a1 2", "c500", "a1\n", "-a1"]
)
def test_no_service_id_leads_out_of_its_folder(server: Server, identity: str) -> None:
    for script in ("startService", "stopService", "checkService"):
        assert server.call(script, identity).code == 2
    assert server.call("configureService", "u", CUSTOMER, identity).code == 3
    assert server.call("installService", identity, CUSTOMER, "u", "/x.tar.gz").code == 1


@pytest.mark.parametrize("identity", ["", "500", "c", "c5/..", "root", "a5"])
def test_customer_ids_are_checked(server: Server, identity: str) -> None:
    assert server.call("configureService", "u", identity, SERVICE).code == 3
    assert server.call("installService", SERVICE, identity, "u", "/x.tar.gz").code == 1


@pytest.mark.parametrize("script", ["grantDatabaseAccess", "revokeDatabaseAccess"])
def test_database_access(server: Server, files: tuple[Path, Path], script: str) -> None:
    own = f"enstratus-{script}"
    old = own.replace("enstratus-grantDatabaseAccess", "enstratus-dbgrant").replace(
        "enstratus-revokeDatabaseAccess", "enstratus-dbrevoke"
    )
    assert server.call(script, SERVICE, files[0]).code == 0
    server.service_script(old, f"{SHOW}; exit 4")
    result = server.call(script, SERVICE, files[0])
    assert (result.code, result.out) == (4, f"{old}|{SERVICE} {files[0]}\n")
    server.service_script(own, SHOW)
    assert server.call(script, SERVICE, files[0]).out == f"{own}|{SERVICE} {files[0]}\n"
    assert server.call(script, SERVICE, "/nowhere").code == 20
    server.service_script(own, SHOW, mode=0o640)
    assert server.call(script, SERVICE, files[0]).code == 10
    assert server.call(script, SERVICE).code == 2


def test_loading_a_datasource(server: Server, files: tuple[Path, Path]) -> None:
    arguments = (SERVICE, *files)
    assert server.call("installDataSource", *arguments).code == 0
    server.service_script("enstratus-installds", f"{SHOW}; exit 9")
    assert server.call("installDataSource", *arguments).code == 9
    server.service_script("enstratus-installDataSource", SHOW)
    result = server.call("installDataSource", *arguments)
    assert result.out == f"enstratus-installDataSource|{SERVICE} {files[0]} {files[1]}\n"
    assert server.call("installDataSource", SERVICE, files[0], "/nowhere").code == 20
    server.service_script("enstratus-installDataSource", SHOW, mode=0o640)
    assert server.call("installDataSource", *arguments).code == 22
    assert server.call("installDataSource", SERVICE).code == 2


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 8])
def test_configure_takes_three_six_or_seven_arguments(server: Server, count: int) -> None:
    assert (
        server.call(
            "configureService", *["u1", CUSTOMER, SERVICE, "10.0.0.1", "/c", "/k", "/h", "x"][:count]
        ).code
        == 3
    )


def test_configure_hands_over_a_tidy_file_that_others_cannot_read(server: Server) -> None:
    server.service_script("enstratus-configure", f"{SHOW}; cat $2; exit 5")
    config = server.write(server.service("cfg/enstratus.cfg"), "[enStratus]\r\nname=a\r\n", 0o666)
    os.chown(config, 4321, 4321)
    result = server.call("configureService", "u1", CUSTOMER, SERVICE)
    assert (result.code, result.out) == (5, f"enstratus-configure|{SERVICE} {config}\n[enStratus]\nname=a\n")
    assert config.read_bytes() == b"[enStratus]\nname=a\n"
    assert (config.stat().st_mode & 0o7777, config.stat().st_uid) == (0o640, 0)
    cert, key, chain = (server.write(f"tmp/{name}.pem", name) for name in ("cert", "key", "chain"))
    result = server.call("configureService", "u1", CUSTOMER, SERVICE, "10.0.0.1", cert, key, chain)
    assert result.out.splitlines()[0].endswith(f"{config} 10.0.0.1 {cert} {key} {chain}")
    assert server.call("configureService", "u1", CUSTOMER, SERVICE, "10.0.0.1", cert, "/nowhere").code == 20


def test_configure_says_what_is_missing_and_follows_no_link(server: Server) -> None:
    assert server.call("configureService", "u1", CUSTOMER, SERVICE).code == 10
    server.service_script("enstratus-configure", SHOW)
    assert server.call("configureService", "u1", CUSTOMER, SERVICE).code == 20
    secret = server.write("etc/secret", "x\r\n", 0o600)
    config = server.service("cfg/enstratus.cfg")
    config.parent.mkdir()
    config.symlink_to(secret)
    assert server.call("configureService", "u1", CUSTOMER, SERVICE).code == 20
    config.unlink()
    config.parent.rmdir()
    config.parent.symlink_to(server.path("etc"))
    assert server.call("putConfig", SERVICE, server.write("tmp/new", "a=b\n")).code == 20
    assert (secret.read_bytes(), secret.stat().st_mode & 0o777) == (b"x\r\n", 0o600)
    assert not server.path("etc/enstratus.cfg").exists()


def test_the_control_plane_puts_a_configuration_in_place(server: Server) -> None:
    server.service("cfg").mkdir(parents=True)
    os.chown(server.service("cfg"), 4321, 4322)
    new = server.write("tmp/new", "a=b\r\n", 0o600)
    assert server.call("putConfig", SERVICE, new).code == 0
    config = server.service("cfg/enstratus.cfg")
    assert config.read_bytes() == b"a=b\n"
    assert (config.stat().st_uid, config.stat().st_gid, config.stat().st_mode & 0o777) == (0, 4322, 0o640)
    assert [path.name for path in server.path("mnt/services").iterdir()] == [SERVICE]


def test_only_ok_is_ok(server: Server) -> None:
    assert server.call("checkService", SERVICE).out == f"service {SERVICE} is not installed\n"
    server.service("bin").mkdir(parents=True)
    result = server.call("checkService", SERVICE)
    assert (result.code, result.out) == (0, "OK\n")
    for body, code, out in [
        ("echo OK; exit 3", 0, "OK\n"),
        ("echo 'no database'", 1, "no database\n"),
        ("echo NOT OK", 1, "NOT OK\n"),
        ("exit 4", 1, "enstratus-check said nothing (exit code 4)\n"),
    ]:
        server.service_script("enstratus-check", body)
        result = server.call("checkService", SERVICE)
        assert (result.code, result.out) == (code, out)


def test_awaiting_a_service_shows_each_answer_once(server: Server) -> None:
    server.service_script("enstratus-check", f'test -e {server.root}/up && echo OK || echo "starting up"')
    waiting = server.start("awaitService", SERVICE, "30")
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "starting up\n"
    time.sleep(1.2)  # several looks, of which no more than the first may show
    server.path("up").touch()
    assert (waiting.communicate(timeout=60)[0], waiting.returncode) == ("OK\n", 0)
    assert len(server.journal()) == 2


def test_a_service_that_never_gets_ok_is_given_up(server: Server) -> None:
    server.service_script("enstratus-check", "echo 'no disk'; exec sleep 60")
    since = time.monotonic()
    result = server.call("awaitService", SERVICE, "1")
    assert result.code == 24
    assert "not OK after 1 s" in result.err
    assert time.monotonic() - since < 30
    server.service_script("enstratus-check", "echo 'no disk'")
    assert "its last answer: no disk" in server.call("awaitService", SERVICE, "0").err
    assert server.call("awaitService", SERVICE, "soon").code == 2


def test_an_override_replaces_a_script_and_may_call_it(server: Server) -> None:
    server.service_script("enstratus-start", "echo started; exit 6")
    server.custom("startService", f'echo before; exec {server.bin("startService")} "$@"')
    result = server.call("startService", SERVICE)
    assert (result.code, result.out) == (6, "before\nstarted\n")
    server.custom("startService", f'echo mine; /bin/sh -c "{server.bin("startService")} $1"; exit 8')
    result = server.call("startService", SERVICE)
    assert (result.code, result.out) == (8, "mine\nstarted\n")
    server.custom("startService", "echo mine", mode=0o640)
    assert server.call("startService", SERVICE).code == 126


def test_hooks_stand_around_a_script(server: Server) -> None:
    server.service_script("enstratus-start", "echo started")
    server.custom("startService-pre", 'echo "pre $*"')
    server.custom("startService-post", 'echo "post $* $GANTRY_EXIT_CODE"')
    result = server.call("startService", SERVICE)
    assert (result.code, result.out) == (0, "started\n")
    assert result.err == f"pre {SERVICE}\npost {SERVICE} 0\n"
    server.custom("startService-post", "exit 12")
    assert server.call("startService", SERVICE).code == 12
    server.service_script("enstratus-start", "exit 3")
    assert server.call("startService", SERVICE).code == 3
    server.custom("startService-pre", "exit 11")
    result = server.call("startService", SERVICE)
    assert (result.code, result.out) == (11, "")
    assert "startService-pre failed with exit code 11" in result.err


def test_hooks_wrap_an_override_once_and_a_hook_may_call_the_script(server: Server) -> None:
    server.service_script("enstratus-start", "echo started")
    server.custom("startService-pre", f'echo pre; {server.bin("startService")} "$@"')
    server.custom("startService", f'{server.bin("startService")} "$@"')
    result = server.call("startService", SERVICE)
    assert (result.out, result.err.count("pre\n"), result.err.count("started")) == ("started\n", 1, 1)


def test_a_service_that_starts_another_gets_the_hooks_again(server: Server) -> None:
    server.service_script("enstratus-start", f"{server.bin('startService')} a2")
    server.script(server.service("bin/enstratus-start", "a2"), "echo second")
    server.custom("startService-pre", 'echo "pre $1"')
    assert server.call("startService", SERVICE).err == f"pre {SERVICE}\npre a2\n"


def test_what_a_daemon_inherited_does_not_switch_hooks_off(server: Server) -> None:
    server.service_script("enstratus-start", "echo started")
    server.custom("startService-pre", "echo pre")
    with subprocess.Popen(["sleep", "60"]) as stranger:
        # The id of the call that had started the daemon belongs to somebody else by now.
        result = server.call("startService", SERVICE, GANTRY_WRAPPED=f" startService:{stranger.pid}")
        stranger.kill()
    assert result.err == "pre\n"


def test_the_journal_tells_begin_and_end(server: Server) -> None:
    server.service_script("enstratus-start", "exit 3")
    server.call("startService", SERVICE)
    begin, end = server.journal()
    assert f" begin startService {SERVICE} pid=" in begin
    assert " end startService exit=3 seconds=" in end
    assert end.endswith("job=-")


def test_a_line_break_in_an_argument_forges_no_journal_line(server: Server) -> None:
    server.call("startService", "a1\n2026-01-01T00:00:00Z end startService exit=0")
    assert len(server.journal()) == 2


def test_many_writers_do_not_tear_the_journal(server: Server) -> None:
    long = "x" * 2000
    loop = f'i=0; while [ $i -lt 10 ]; do "{server.bin("startService")}" {long}; i=$((i+1)); done'
    writers = [
        subprocess.Popen(["/bin/sh", "-c", loop], env=server.environment, stderr=subprocess.DEVNULL)
        for _ in range(6)
    ]
    until(lambda: all(writer.poll() is not None for writer in writers), "all writers ended")
    lines = server.journal()
    assert len(lines) == 120
    assert all(line[:2] == "20" and line.endswith(" job=-") for line in lines)


def test_a_start_script_of_an_old_archive_writes_to_the_agents_log(server: Server) -> None:
    server.service_script("enstratus-start", '"$GANTRY_ROOT/enstratus/bin/log" "starting $1" now; echo up')
    result = server.call("startService", SERVICE)
    assert (result.code, result.out) == (0, "up\n")
    assert f"log: starting {SERVICE} now" in result.err
    begun, noted, ended = server.journal()
    assert (begun.split()[1], ended.split()[1]) == ("begin", "end")
    assert f" log starting {SERVICE} now pid=" in noted


def test_a_note_is_one_line_and_fails_no_script(server: Server) -> None:
    assert server.call("log", "two\nlines \x1b[0m").code == 0
    assert len(server.journal()) == 1
    server.path("enstratus/ws/log/agent.log").unlink()
    server.path("enstratus/ws/log/agent.log").mkdir()
    assert server.call("log", "x").code == 0


def test_the_old_temporary_folder_is_made_for_root_alone(server: Server) -> None:
    folder = server.path("mnt/tmp")
    assert server.call("makeTemp").code == 0
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert server.call("makeTemp").code == 0
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_link_in_the_old_temporary_folders_place_is_not_followed(server: Server) -> None:
    elsewhere = server.path("mnt/elsewhere")
    elsewhere.mkdir(parents=True, mode=0o755)
    server.path("mnt/tmp").symlink_to(elsewhere)
    result = server.call("makeTemp")
    assert (result.code, elsewhere.stat().st_mode & 0o777) == (20, 0o755)
    assert "is not a folder" in result.err
