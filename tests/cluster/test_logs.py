"""With remote logging, what a task has logged outlives the machines that logged it."""

from __future__ import annotations

import pytest
from benchmarks import cluster_field
from benchmarks.cluster_field import BY_TRIGGERER

MACHINES = ("worker-1", "worker-2", "triggerer-1", "triggerer-2")


def test_both_parts_of_a_log_are_there_when_its_machines_are_gone(
    field: cluster_field.Field, request: pytest.FixtureRequest
) -> None:
    trial = cluster_field.begin(field, request.node.name)
    assert {each.state for each in cluster_field.outcomes(trial)} == {"success"}
    run, step = trial.steps[BY_TRIGGERER].run, trial.place(BY_TRIGGERER)

    field.cluster.supervisor.do("stop", *MACHINES)
    try:
        log = field.api.log(BY_TRIGGERER, run, step.task, step.map_index, step.tries)
    finally:
        field.cluster.supervisor.do("start", *MACHINES)

    # A worker has begun to follow the script, and a triggerer has followed it to its end.
    assert "the probe begins" in log
    assert "the probe has ended" in log
