"""downloadFile: the file comes whole and verified, and nobody gets to see the URL."""

from __future__ import annotations

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gantry.agent import session

from .server import Result, Server

CONTENT = b"archive " * 50_000
SUM = hashlib.sha256(CONTENT).hexdigest()
SECRET = "X-Amz-Signature=c0ffee%22%5C"
DENIED = b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
ENDED = {
    "Request has expired": (403, DENIED.replace(b"Access Denied", b"Request has expired")),
    "ExpiredToken": (
        400,
        b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>",
    ),
}


class Store(http.server.ThreadingHTTPServer):
    """An object store that answers as it is told."""

    answers: list[tuple[int, bytes]]
    slow: float = 0
    asked: int = 0


class Handler(http.server.BaseHTTPRequestHandler):
    server: Store

    def do_GET(self) -> None:
        self.server.asked += 1
        answers = self.server.answers
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        if SECRET not in self.path:
            status, body = 400, b"<Error><Code>Mangled</Code></Error>"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:1000])
        time.sleep(self.server.slow)
        self.wfile.write(body[1000:])

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def store() -> Iterator[Store]:
    with Store(("127.0.0.1", 0), Handler) as store:
        store.answers = [(200, CONTENT)]
        threading.Thread(target=store.serve_forever, daemon=True).start()
        yield store
        store.shutdown()


def url(store: Store) -> str:
    return f'http://127.0.0.1:{store.server_port}/b/app.tar.gz?a="b\\c&{SECRET}'.replace('"', "%22").replace(
        "\\", "%5C"
    )


def fetch(server: Server, store: Store, wanted: str = SUM, **environment: str) -> tuple[Result, Path]:
    link = server.write("enstratus/ws/tmp/link.url", url(store) + "\n", 0o600)
    target = server.path("enstratus/ws/tmp/app.tar.gz")
    result = server.call("downloadFile", link, target, wanted, **environment)
    assert not link.exists()
    assert "c0ffee" not in result.out + result.err + "\n".join(server.journal())
    leftovers = {path.name for path in target.parent.iterdir()} - {target.name}
    assert leftovers == set()
    return result, target


both_programs = pytest.mark.parametrize("program", ["curl", "wget"])


@both_programs
def test_a_file_is_fetched_and_verified(server: Server, store: Store, program: str) -> None:
    result, target = fetch(server, store, SUM.upper(), GANTRY_DOWNLOADER=program)
    assert result.code == 0, result.err
    assert target.read_bytes() == CONTENT
    assert target.stat().st_mode & 0o777 == 0o600
    assert fetch(server, store, "NULL", GANTRY_DOWNLOADER=program)[0].code == 0


@both_programs
def test_wrong_content_is_not_kept(server: Server, store: Store, program: str) -> None:
    server.write("enstratus/ws/tmp/app.tar.gz", "of an earlier launch")
    wanted = "0" * 64
    result, target = fetch(server, store, wanted, GANTRY_DOWNLOADER=program)
    assert result.code == 23
    assert wanted in result.err
    assert SUM in result.err
    assert not target.exists()


@both_programs
def test_the_stores_own_words_are_shown(server: Server, store: Store, program: str) -> None:
    store.answers = [(403, DENIED)]
    result, target = fetch(server, store, GANTRY_DOWNLOADER=program)
    assert result.code == 22
    assert "HTTP status 403 AccessDenied Access Denied" in result.err
    assert not target.exists()
    assert store.asked == 1


@both_programs
@pytest.mark.parametrize("said", ENDED)
def test_a_link_that_has_ended_is_told_from_one_that_is_refused(
    server: Server, store: Store, program: str, said: str
) -> None:
    store.answers = [ENDED[said]]
    result, target = fetch(server, store, GANTRY_DOWNLOADER=program)
    assert result.code == session.LINK_ENDED
    assert said in result.err
    # By this the driver tells it from a service's script that ends with the same code.
    assert session.is_link_ended(result.err.strip())
    assert not target.exists()


@both_programs
def test_a_store_that_is_busy_is_asked_again(server: Server, store: Store, program: str) -> None:
    store.answers = [(503, b"<Error><Code>SlowDown</Code></Error>"), (500, b""), (200, CONTENT)]
    result, target = fetch(server, store, GANTRY_DOWNLOADER=program)
    assert result.code == 0
    assert target.read_bytes() == CONTENT
    store.answers = [(503, b"<Error><Code>SlowDown</Code></Error>")]
    result, _ = fetch(server, store, GANTRY_DOWNLOADER=program)
    assert (result.code, "503 SlowDown" in result.err) == (22, True)


@both_programs
def test_a_store_that_is_not_there_is_a_network_failure(server: Server, store: Store, program: str) -> None:
    store.shutdown()
    store.server_close()
    result, _ = fetch(server, store, GANTRY_RETRY_SECONDS="0.01", GANTRY_DOWNLOADER=program)
    assert (result.code, "5 tries" in result.err) == (21, True)


@both_programs
def test_the_url_is_in_no_argument_list(server: Server, store: Store, program: str) -> None:
    store.slow = 0.5
    seen: list[str] = []
    busy = threading.Event()

    def look() -> None:
        while not busy.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.append(path.read_text(errors="replace"))
                except OSError:
                    continue
            time.sleep(0.02)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        assert fetch(server, store, GANTRY_DOWNLOADER=program)[0].code == 0
    finally:
        busy.set()
        watcher.join()
    assert any(line.startswith(program) for line in seen)
    assert not any("c0ffee" in line for line in seen)


def test_wrong_arguments_still_remove_the_url(server: Server) -> None:
    for rest in (("relative", "NULL"), ("/x", "abc"), ("/x", "z" * 64), ("/x",)):
        link = server.write("link.url", "http://x/y\n", 0o600)
        assert server.call("downloadFile", link, *rest).code == 2
        assert not link.exists()
    assert server.call("downloadFile", "/nowhere", "/x", "NULL").code == 20
    assert (
        server.call("downloadFile", server.write("link.url", "file:///etc/passwd\n"), "/x", "NULL").code == 20
    )


@pytest.mark.parametrize("own", ["", "downloadFile", "downloadFile-post", "show-pre"])
def test_the_sum_is_handed_on_unless_something_of_the_operators_comes_in_between(
    server: Server, store: Store, own: str
) -> None:
    store.answers = [(200, CONTENT)]
    if own:
        server.custom(own, "true")
    server.script("enstratus/bin/show", 'echo "${GANTRY_FETCHED:-none}"')
    link, target = server.write("url", f"{url(store)}\n", 0o600), server.path("target")
    result = server.call("withDownload", link, target, SUM, "show")
    assert (result.code, result.out) == (0, "none\n" if own else f"{SUM} {target}\n"), result.err


def test_a_script_gets_its_file_and_the_file_goes_in_the_end(server: Server, store: Store) -> None:
    server.custom("look", 'cat "$1" | sha256sum; exit "$2"')
    for code in ("0", "9"):
        link = server.write("link.url", url(store), 0o600)
        target = server.path("enstratus/ws/tmp/app.tar.gz")
        result = server.call("withDownload", link, target, SUM, "look", target, code)
        assert (result.code, result.out) == (int(code), f"{SUM}  -\n")
        assert not target.exists()
    link = server.write("link.url", url(store), 0o600)
    result = server.call("withDownload", link, target, "0" * 64, "look", target, "0")
    assert (result.code, result.out) == (23, "")
