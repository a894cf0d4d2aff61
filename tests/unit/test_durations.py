"""Durations as people read them."""

from __future__ import annotations

import datetime

import pytest

from gantry import durations


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"), (0.84, "0.8 s"), (9.96, "10.0 s"), (42.4, "42 s"), (59.7, "1 min"), (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"), (7500, "2 h 5 min"), (86400 * 4 + 3600 * 3, "4 d 3 h"), (-3, "0.0 s"),
    ],
)  # fmt: skip
def test_a_length_of_time_in_at_most_two_units(seconds: float, said: str) -> None:
    assert durations.text(datetime.timedelta(seconds=seconds)) == said


def test_what_still_runs_has_no_parts_of_seconds() -> None:
    assert durations.text(datetime.timedelta(seconds=3.7), exact=False) == "4 s"
    assert durations.text(None) == ""


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59.6, "1 min"), (3661, "1 h 1 min"), (90000, "1 d 1 h"), (-5, "0 s")]
)
def test_ages_are_in_whole_seconds(seconds: float, said: str) -> None:
    assert durations.text(datetime.timedelta(seconds=seconds), exact=False) == said
