"""What is kept of what servers received, and of what is installed there: enough, and never too much."""

from __future__ import annotations

import json

from gantry import names
from gantry.state import config_history, installed_versions
from gantry.state.config_history import ConfigDelivery

DB, ONE = names.ServiceName("db"), names.ServerName("shop-data-1")


def handout(number: int, *diff: str, instance: str = "i-1") -> ConfigDelivery:
    return ConfigDelivery(
        "launch", f"run-{number}", f"2026-11-20T05:00:{number:02}+00:00", instance, "abc", diff
    )


def test_the_last_files_are_kept_and_read_again() -> None:
    kept: config_history.Handouts = ()
    for number in range(config_history.MOST + 2):
        kept = config_history.added(kept, handout(number, "+a=1"))
    assert [each.run for each in kept] == [f"run-{number}" for number in range(2, config_history.MOST + 2)]
    assert config_history.load(json.loads(json.dumps(config_history.dump(kept)))) == kept
    assert config_history.load([{"something": "else"}]) == ()


def test_a_file_that_a_second_try_hands_over_is_noted_once() -> None:
    kept = config_history.added((), handout(1, "+a=1"))
    assert config_history.added(kept, handout(1)) == kept
    # Another machine had no such file.
    assert len(config_history.added(kept, handout(2, instance="i-2"))) == 2


def test_a_long_difference_is_cut_and_says_so() -> None:
    (kept,) = config_history.added((), handout(1, f"+a={'x' * 5000}", *(["+b=1234567"] * 1000)))
    assert kept.lines[-1] == f"… {kept.left_out} more lines were not kept"
    assert kept.diff[0].endswith("x…")
    assert len(kept.diff) + kept.left_out == 1001
    assert len(json.dumps(config_history.dump((kept,) * config_history.MOST))) < 65_535


def test_keys_name_a_service_and_a_server() -> None:
    assert config_history.PLACES.parts(config_history.PLACES.key(DB, ONE)) == ("db", "shop-data-1")
    assert installed_versions.PLACES.parts(installed_versions.PLACES.key(DB, ONE)) == ("db", "shop-data-1")
    assert config_history.PLACES.parts(installed_versions.PLACES.key(DB, ONE)) is None
    assert installed_versions.PLACES.parts("history:launch") is None


def test_an_installation_that_has_not_ended_is_called_so() -> None:
    found = installed_versions.Installed(None, "i-1", "launch", "run", "2026-11-20T05:00:00+00:00")
    assert installed_versions.load(json.loads(json.dumps(installed_versions.dump(found)))) == found
    assert found.short == "unfinished"
    assert installed_versions.load({"something": "else"}) is None
