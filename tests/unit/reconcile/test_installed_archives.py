"""Which archive is on a server, by what the jobs of a step have come to."""

from __future__ import annotations

import pytest

from gantry import names
from gantry.agent import content_digests, jobs, ssh
from gantry.reconcile import installed_archives

TARGET = ssh.Target(names.ServerName("shop-web-1"), "i-1", "10.0.0.1", "ssh-ed25519 AAAA")
KEEP = jobs.Job("keep", "keepService", ("a1",), 60, mark=("a1/kept", "v1 x"), unmark=("a1/kept",))
INSTALL = jobs.Job("install", "withDownload", (), 60, mark=("a1/archive", "v2"), unmark=("a1/archive",))
START = jobs.Job("start", "startService", ("a1",), 60)


@pytest.mark.parametrize(
    ("index", "asked", "found"),
    [
        (0, False, {}),
        (1, False, {}),
        (1, True, {"a1": None}),
        (2, False, {"a1": "v2"}),
        (2, True, {"a1": "v2"}),
        (3, False, {"a1": "v2"}),
    ],
)
def test_what_jobs_have_changed_so_far(index: int, asked: bool, found: dict[str, str | None]) -> None:  # noqa: FBT001 - a case
    progress = jobs.ServerProgress(TARGET, (KEEP, INSTALL, START), index=index, asked=asked)
    assert installed_archives.changed(progress) == found


def test_what_a_server_says() -> None:
    assert installed_archives.in_marks({"a1/archive": "v1", "a1/applied": "x", "a2/archive": "v7"}) == {
        "a1": "v1",
        "a2": "v7",
    }


def test_what_a_script_notes_itself_is_what_the_server_says() -> None:
    notes = content_digests.expected("a1/archive", "etag-2", None)
    job = jobs.Job("install", "withDownload", (), 60, notes=notes, forgets=("a1/archive",))
    progress = jobs.ServerProgress(TARGET, (job,), asked=True)
    assert installed_archives.changed(progress) == {"a1": None}
    progress = jobs.ServerProgress(TARGET, (job,), index=1, found={"a1/archive": "5" * 64, "a1/applied": "x"})
    assert installed_archives.changed(progress) == {"a1": "5" * 64}
