"""Runs to look at: the recorded one, moment by moment, and ones made up for a question."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable

import pytest
from tests import recordings

from gantry import definition, plan, status

RECORDING = pathlib.Path(__file__).with_name("recorded_launch.json")
"""A real launch, as `tests/airflow/recording.py` wrote it down."""

COMPOSED = pathlib.Path(__file__).with_name("composed_launch.json")
"""A launch with round times that is long in every phase: made by hand for questions of time and order."""


@pytest.fixture(scope="session")
def launch(bookshop: definition.Definition) -> plan.Plan:
    return plan.launch_plan(bookshop)


@pytest.fixture(scope="session")
def termination(bookshop: definition.Definition) -> plan.Plan:
    return plan.termination_plan(bookshop)


@pytest.fixture(scope="session")
def composed() -> tuple[recordings.Moment, ...]:
    """A launch of the bookshop with round times."""
    return recordings.read(json.loads(COMPOSED.read_text()))


@pytest.fixture(scope="session")
def real() -> tuple[recordings.Moment, ...]:
    """A launch of the bookshop as it really happened."""
    return recordings.read(json.loads(RECORDING.read_text()))


@pytest.fixture(scope="session")
def running(composed: tuple[recordings.Moment, ...]) -> recordings.Moment:
    """The end of that launch: everything runs."""
    return composed[-1]


Failing = Callable[[str], tuple[status.TaskView, ...]]


@pytest.fixture(scope="session")
def failing_at(launch: plan.Plan, running: recordings.Moment) -> Failing:
    """The tasks of that launch, had one step failed and everything after it not been tried."""

    def build(step: str) -> tuple[status.TaskView, ...]:
        after = {step}
        for each in launch:
            if after.intersection(each.upstream):
                after.add(each.id)
        assert step in launch.by_id
        return tuple(
            dataclasses.replace(task, state=status.TaskState.FAILED)
            if task.task_id == step
            else status.TaskView(task.task_id, state=status.TaskState.UPSTREAM_FAILED)
            if task.task_id in after
            else task
            for task in running.tasks
        )

    return build
