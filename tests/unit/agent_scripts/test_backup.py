"""Backups on the server: written by the service's script, uploaded, and nothing of it stays there."""

from __future__ import annotations

import hashlib
import http.server
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .server import CUSTOMER, SERVICE, Server

SECRET = "X-Amz-Signature=c0ffee%22%5C"
WRITES = 'printf "%s|%s" "$1" "$2" >"$4"; echo wrote'
both_programs = pytest.mark.parametrize("program", ["curl", "wget"])


class Store(http.server.ThreadingHTTPServer):
    """An object store that takes what is put."""

    answers: list[int]
    got: list[tuple[str, bytes]]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Store

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.headers["Content-Type"], body))
        answers = self.server.answers
        status = answers.pop(0) if len(answers) > 1 else answers[0]
        code = b"ExpiredToken" if status == 400 else b"SlowDown"
        said = b"" if status == 200 else b"<Error><Code>%s</Code><Message>wait</Message></Error>" % code
        self.send_response(400 if SECRET not in self.path else status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def store() -> Iterator[Store]:
    with Store(("127.0.0.1", 0), Handler) as store:
        store.answers, store.got = [200], []
        threading.Thread(target=store.serve_forever, daemon=True).start()
        yield store
        store.shutdown()


def back_up(server: Server, store: Store, left: tuple[str, ...] = (), **environment: str) -> tuple[int, str]:
    """Run a backup; its code and what it said. Nothing of it stays but `left`."""
    link = server.write(
        "enstratus/ws/tmp/b.url", f"http://127.0.0.1:{store.server_port}/b/x.sql?{SECRET}\n", 0o600
    )
    config = server.write("enstratus/ws/tmp/b.cfg", "database=shop\n", 0o600)
    file = server.path("enstratus/ws/tmp/b.file")
    result = server.call("backupDataSource", SERVICE, "catalog", config, file)
    said = result.out + result.err
    if result.code == 0:
        result = server.call("uploadBackup", link, file, **environment)
        said += result.out + result.err
    else:
        # Jobs that do not run have their files removed.
        link.unlink()
        file.unlink(missing_ok=True)
    assert "c0ffee" not in said + "\n".join(server.journal())
    # The configuration file is the job's to remove.
    assert sorted(each.name for each in file.parent.iterdir()) == ["b.cfg", *left]
    return result.code, said


@both_programs
def test_what_the_services_script_writes_is_uploaded(server: Server, store: Store, program: str) -> None:
    server.service_script("enstratus-backupDataSource", WRITES)
    code, said = back_up(server, store, GANTRY_DOWNLOADER=program)
    content = f"{SERVICE}|catalog".encode()
    assert code == 0, said
    assert store.got == [("application/octet-stream", content)]
    assert said.endswith(
        f"uploadBackup: {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}\n"
    )


@both_programs
def test_a_store_that_is_busy_is_asked_again(server: Server, store: Store, program: str) -> None:
    server.service_script("enstratus-backupDataSource", WRITES)
    store.answers = [503, 500, 200]
    assert back_up(server, store, GANTRY_DOWNLOADER=program)[0] == 0
    assert len(store.got) == 3
    store.answers = [403]
    code, said = back_up(server, store, GANTRY_DOWNLOADER=program)
    assert (code, "HTTP status 403 SlowDown wait" in said) == (22, True)


@both_programs
def test_a_link_that_has_ended_costs_no_second_dump(server: Server, store: Store, program: str) -> None:
    server.service_script("enstratus-backupDataSource", WRITES)
    store.answers = [400]
    code, said = back_up(server, store, ("b.file",), GANTRY_DOWNLOADER=program)
    # The last line is what the driver knows it by.
    assert (code, said.splitlines()[-1]) == (
        28,
        f"uploadFile: cannot upload {server.path('enstratus/ws/tmp/b.file')}: "
        "HTTP status 400 ExpiredToken wait",
    )
    store.answers = [200]
    link = server.write("enstratus/ws/tmp/b.url", f"http://127.0.0.1:{store.server_port}/b?{SECRET}\n")
    file = server.path("enstratus/ws/tmp/b.file")
    assert server.call("uploadBackup", link, file).code == 0
    assert (store.got[-1][1], file.exists()) == (f"{SERVICE}|catalog".encode(), False)


@pytest.mark.parametrize(
    ("body", "expected"),
    [('echo half >"$4"; exit 9', 9), ("exit 0", 26), (': >"$4"', 26), ('truncate -s 5368709121 "$4"', 27)],
)
def test_what_is_no_backup_is_not_uploaded(server: Server, store: Store, body: str, expected: int) -> None:
    server.service_script("enstratus-backupDataSource", body)
    code, said = back_up(server, store)
    assert (code, store.got) == (expected, []), said


def test_a_service_without_the_script_has_no_backup(server: Server, store: Store) -> None:
    assert back_up(server, store)[0] == 10
    server.service_script("enstratus-backupDataSource", "exit 0", 0o640)
    assert back_up(server, store)[0] == 10
    file = server.write("tmp/x.cfg", "")
    assert server.call("backupDataSource", SERVICE, "../x", file, "/x").code == 2
    assert server.call("backupDataSource", SERVICE, "x", "/nowhere", "/x").code == 10
    assert server.call("uploadBackup", file, "relative").code == 2


def test_a_services_folder_is_packed_so_that_it_can_be_installed_again(server: Server) -> None:
    for name in ("configure", "start", "stop"):
        server.service_script(f"enstratus-{name}", "exit 0")
    server.write(server.service("uploads/cover.txt"), "a picture")
    server.write(server.service("cfg/enstratus.cfg"), "password=secret")
    target = server.path("tmp/service.tar.gz")
    target.parent.mkdir()
    result = server.call("backupService", SERVICE, target)
    assert result.code == 0, result.err
    with tarfile.open(target) as packed:
        assert "./uploads/cover.txt" in packed.getnames()
        assert "./cfg/enstratus.cfg" not in packed.getnames()
    server.write(server.service("uploads/cover.txt"), "lost")
    server.service_script("enstratus-stop", "echo stopped; exit 5")
    assert server.call("restoreService", SERVICE, CUSTOMER, "u", target).code == 5
    assert server.service("uploads/cover.txt").read_text() == "lost"
    server.service_script("enstratus-stop", "echo stopped")
    result = server.call("restoreService", SERVICE, CUSTOMER, "u", target)
    assert (result.code, result.out) == (0, "stopped\n"), result.err
    assert server.call("restoreService", SERVICE, CUSTOMER, "u", "/nowhere").code == 20
    assert server.service("uploads/cover.txt").read_text() == "a picture"


def test_a_check_runs_in_the_services_folder_and_its_code_is_the_answer(server: Server) -> None:
    server.service_script("count", 'echo "$1 books"')
    check = server.write("enstratus/ws/tmp/c.sh", "bin/count 7\npwd\n", 0o600)
    result = server.call("checkBackup", SERVICE, check)
    assert (result.code, result.out) == (0, f"7 books\n{server.service()}\n"), result.err
    server.write("enstratus/ws/tmp/c.sh", "false\necho 'all is well'\n")
    assert server.call("checkBackup", SERVICE, check).code == 1
    server.write("enstratus/ws/tmp/c.sh", "exit 3\n")
    assert server.call("checkBackup", SERVICE, check).code == 3
    assert server.call("checkBackup", "a999", check).code == 20
    assert server.call("checkBackup", SERVICE, "/nowhere").code == 20
    assert server.call("checkBackup", SERVICE).code == 2


def test_a_services_own_script_comes_first_and_what_could_not_be_installed_is_not_packed(
    server: Server, tmp_path: Path
) -> None:
    server.service_script("enstratus-start", "exit 0")
    server.service("away").symlink_to("/etc")
    target = tmp_path / "service.tar.gz"
    result = server.call("backupService", SERVICE, target)
    assert (result.code, "away" in result.err, target.exists()) == (21, True, False)
    server.service_script("enstratus-backupService", 'echo "$*"; exit 3')
    result = server.call("backupService", SERVICE, target)
    assert (result.code, result.out) == (3, f"{SERVICE} {target}\n")
    assert server.call("backupService", "a999", target).code == 20
