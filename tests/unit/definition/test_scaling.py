"""What the clock says at a moment."""

from __future__ import annotations

import datetime

import pytest

from gantry import definition

CLOCK = """
timezone: Europe/Berlin
scaling:
  - {schedule: "0 8 * * 1-5", servers: {application: 4}}
  - {schedule: "0 20 * * *", servers: {application: 2, worker: 1}}
  - {schedule: "30 2 * * *", servers: {worker: 2}}
  - {schedule: "0 20 * * 5", servers: {application: 3}}
"""
WORKER = "  worker: {launch_configuration: debian, servers: {min: 1, max: 2}}\nservices:\n"


@pytest.fixture
def known(bookshop_text: str) -> definition.Definition:
    text = bookshop_text.replace("timezone: Europe/Berlin\n", "")
    return definition.loads(text.replace("services:\n", WORKER) + CLOCK)


@pytest.mark.parametrize(
    ("moment", "servers"),
    [
        ("2026-01-07T07:00:00+00:00", {"application": 4}),  # a Wednesday in winter
        ("2026-07-08T06:00:00+00:00", {"application": 4}),  # and one in summer
        ("2026-07-08T18:00:00+00:00", {"application": 2, "worker": 1}),
        ("2026-07-08T18:00:59.999+00:00", {"application": 2, "worker": 1}),
        # Two at once: the later one of the file wins where they name the same tier.
        ("2026-07-10T18:00:00+00:00", {"application": 3, "worker": 1}),
        # Not to the minute, because summer time has skipped 02:30.
        ("2026-03-29T01:30:00+00:00", {"worker": 2}),
    ],
)
def test_the_entries_whose_time_it_is_say_how_many(
    known: definition.Definition, moment: str, servers: dict[str, int]
) -> None:
    assert known.scaled_at(datetime.datetime.fromisoformat(moment)) == servers


def test_every_preset_is_a_time(bookshop_text: str) -> None:
    for word in ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly"):
        text = f'{bookshop_text}scaling: [{{schedule: "{word}", servers: {{application: 3}}}}]\n'
        moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        assert definition.loads(text).scaled_at(moment) == {"application": 3}


def test_without_a_clock_nothing_is_said(bookshop: definition.Definition) -> None:
    assert bookshop.scaled_at(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)) == {}
