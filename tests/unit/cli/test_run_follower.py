"""A run is looked at often enough to see it move, and not so often that the looks slow it down."""

from __future__ import annotations

import types
from typing import Any

import pytest

from gantry.cli.queries import run_follower

LOOKS = 5


class Clock:
    """A clock that a sleeper and a slow Airflow move on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.mark.parametrize(("answers_in", "pause"), [(0.05, 0.8), (1.0, 2.0), (60.0, 5.0)])
def test_a_busy_airflow_is_asked_less_often(
    answers_in: float, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(run_follower, "time", clock)
    shown: list[object] = []

    def look(_: object) -> Any:
        clock.now += answers_in
        ended = len(shown) == LOOKS - 1
        return types.SimpleNamespace(run=types.SimpleNamespace(state="running", is_over=ended))

    api: Any = types.SimpleNamespace(link=lambda dag, run: f"{dag}/{run}")
    follower = run_follower.RunFollower(api, "shop", None)
    monkeypatch.setattr(follower, "look", look)
    follower.follow(("shop", "run"), shown.append)
    assert clock.pauses == [pause] * (LOOKS - 1)
