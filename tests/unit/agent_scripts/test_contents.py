"""applyObject and compareObject: the content of what was fetched decides, and what it is stays noted."""

from __future__ import annotations

import hashlib
import threading

import pytest

from gantry.agent import downloads as fetching

from . import test_download_file as downloads
from .server import Result, Server

KEY = "a1000/archive"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def machine(server: Server) -> Server:
    """It has a script that is called with what was fetched, and was given `one` as the object `etag-1`."""
    server.custom("install", 'echo "$*" >>"$GANTRY_ROOT/calls"; exit "${INSTALL_EXIT:-0}"')
    server.write("fetched", "one")
    assert apply(server, "etag-1").code == 0
    server.write("enstratus/ws/state/a1000/applied", "x\n")
    return server


def apply(server: Server, version: str, how: str = "always", sum_: str = "SUM", **environment: str) -> Result:
    return server.call(
        "applyObject", KEY, version, sum_, how, f"{KEY},a1000/content.archive,a1000/applied",
        server.path("fetched"), "install", "a", "b c", **environment,
    )  # fmt: skip


def marks(server: Server) -> dict[str, str]:
    said = server.call("marks", "a1000")
    return dict(line.split(" ", 1) for line in said.out.splitlines())


def calls(server: Server) -> list[str]:
    return server.path("calls").read_text().splitlines()


GIVEN = {
    "a1000/applied": "x",
    "a1000/archive": digest("one"),
    "a1000/content.archive": digest("one"),
    "a1000/object.archive": f"etag-1 {digest('one')}",
}


def test_the_same_bytes_in_another_object_touch_nothing(machine: Server) -> None:
    assert marks(machine) == GIVEN
    result = apply(machine, "etag-2", "changed")
    assert result.code == 0
    assert "nothing to do" in result.err
    assert calls(machine) == ["a b c"]
    assert marks(machine) == GIVEN | {"a1000/object.archive": f"etag-2 {digest('one')}"}


def test_other_bytes_are_applied_and_noted(machine: Server) -> None:
    machine.write("fetched", "two")
    assert apply(machine, "etag-2", "changed").code == 0
    assert calls(machine) == ["a b c"] * 2
    assert marks(machine) == {
        "a1000/archive": digest("two"),
        "a1000/content.archive": digest("two"),
        "a1000/object.archive": f"etag-2 {digest('two')}",
    }


def test_what_fails_is_not_noted_and_what_was_there_is_forgotten_only_as_asked(machine: Server) -> None:
    machine.write("fetched", "two")
    assert apply(machine, "etag-2", INSTALL_EXIT="7").code == 7
    assert marks(machine) == {"a1000/object.archive": f"etag-1 {digest('one')}"}


def test_a_sum_that_is_handed_on_is_of_that_file_only(machine: Server) -> None:
    fetched, other = machine.path("fetched"), machine.path("other")
    for handed, noted in (
        (f"{'0' * 64} {fetched}", "0" * 64),
        (f"{'0' * 64} {other}", digest("one")),
        (f"{'0' * 63} {fetched}", digest("one")),
        (f"NULL {fetched}", digest("one")),
    ):
        assert apply(machine, "etag-2", GANTRY_FETCHED=handed).code == 0
        assert marks(machine)["a1000/content.archive"] == noted


def test_a_digest_that_is_settled_beforehand_is_what_is_noted(machine: Server) -> None:
    assert apply(machine, "etag-2", sum_="etag-2").code == 0
    assert marks(machine)["a1000/archive"] == "etag-2"
    assert marks(machine)["a1000/content.archive"] == digest("one")


@pytest.mark.parametrize(
    ("content", "words"), [("one", "the same content as before"), ("two", "not loaded: there is data")]
)
def test_a_comparison_notes_what_it_has_seen_and_nothing_else(
    machine: Server, content: str, words: str
) -> None:
    file = machine.write("fetched", content)
    result = machine.call("compareObject", KEY, "etag-2", file, "not loaded: there is data")
    assert result.code == 0
    assert words in result.err
    assert calls(machine) == ["a b c"]
    assert marks(machine) == GIVEN | {"a1000/object.archive": f"etag-2 {digest(content)}"}


@pytest.mark.parametrize(
    "key", ["", "archive", "a1000/", "/etc/passwd", "a1000/../x", "a1000/a/b", "a1000/.x"]
)
def test_a_key_is_two_plain_names(machine: Server, key: str) -> None:
    assert machine.call("compareObject", key, "etag-2", machine.path("fetched"), "x").code == 2
    assert marks(machine) == GIVEN


def test_what_a_step_asks_for_is_what_the_scripts_understand(machine: Server) -> None:
    key = "a1000/datasource.catalog"
    target = "/enstratus/ws/tmp/dump.sql"
    with downloads.Store(("127.0.0.1", 0), downloads.Handler) as store:
        store.answers = [(200, downloads.CONTENT)] * 2
        threading.Thread(target=store.serve_forever, daemon=True).start()
        link = downloads.url(store)
        dump = fetching.Download("s3://b/dump.sql", "etag-1", None)
        again = fetching.Download("s3://b/dump.sql", "etag-2", None)
        applied = fetching.applied(
            "load", dump, target, fetching.Applying(key), ("install", "of", target), 60
        )
        compared = fetching.compared("compare", again, key, "not loaded", 60)
        for job in (applied, compared):
            assert job.link is not None
            machine.write(job.link.path.lstrip("/"), f"{link}\n", 0o600)
            arguments = [
                f"{machine.root}{each}" if each.startswith("/enstratus/") else each for each in job.arguments
            ]
            result = machine.call(job.script, *arguments)
            assert result.code == 0, result.err
        store.shutdown()
    assert "the same content as before" in result.err
    assert calls(machine)[-1] == f"of {machine.root}{target}"
    noted = marks(machine)
    digest_ = downloads.SUM
    assert noted[key] == noted["a1000/content.datasource.catalog"] == digest_
    assert noted["a1000/object.datasource.catalog"] == f"etag-2 {digest_}"
    # The keys are those that the control plane expects.
    assert {each for each, _ in (*applied.notes, *compared.notes)} <= set(noted)
