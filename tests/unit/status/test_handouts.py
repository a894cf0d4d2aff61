"""What is kept of what servers were told, and of what is installed there: enough, and never too much."""

from __future__ import annotations

import json

from gantry import names
from gantry.status import handouts, versions
from gantry.status.handouts import Handout

DB, ONE = names.ServiceName("db"), names.ServerName("shop-data-1")


def handout(number: int, *diff: str, instance: str = "i-1") -> Handout:
    return Handout("launch", f"run-{number}", f"2026-11-20T05:00:{number:02}+00:00", instance, "abc", diff)


def test_the_last_files_are_kept_and_read_again() -> None:
    kept: handouts.Handouts = ()
    for number in range(handouts.MOST + 2):
        kept = handouts.added(kept, handout(number, "+a=1"))
    assert [each.run for each in kept] == [f"run-{number}" for number in range(2, handouts.MOST + 2)]
    assert handouts.load(json.loads(json.dumps(handouts.dump(kept)))) == kept
    assert handouts.load([{"something": "else"}]) == ()


def test_a_file_that_a_second_try_hands_over_is_noted_once() -> None:
    kept = handouts.added((), handout(1, "+a=1"))
    assert handouts.added(kept, handout(1)) == kept
    # Another machine had no such file.
    assert len(handouts.added(kept, handout(2, instance="i-2"))) == 2


def test_a_long_difference_is_cut_and_says_so() -> None:
    (kept,) = handouts.added((), handout(1, f"+a={'x' * 5000}", *(["+b=1234567"] * 1000)))
    assert kept.lines[-1] == f"… {kept.left_out} more lines were not kept"
    assert kept.diff[0].endswith("x…")
    assert len(kept.diff) + kept.left_out == 1001
    assert len(json.dumps(handouts.dump((kept,) * handouts.MOST))) < 65_535


def test_keys_name_a_service_and_a_server() -> None:
    assert handouts.PLACES.parts(handouts.PLACES.key(DB, ONE)) == ("db", "shop-data-1")
    assert versions.PLACES.parts(versions.PLACES.key(DB, ONE)) == ("db", "shop-data-1")
    assert handouts.PLACES.parts(versions.PLACES.key(DB, ONE)) is None
    assert versions.PLACES.parts("history:launch") is None


def test_an_installation_that_has_not_ended_is_called_so() -> None:
    found = versions.Installed(None, "i-1", "launch", "run", "2026-11-20T05:00:00+00:00")
    assert versions.load(json.loads(json.dumps(versions.dump(found)))) == found
    assert found.short == "unfinished"
    assert versions.load({"something": "else"}) is None
