"""An Airflow of several machines launches the bookshop, and all of its workers have a part in it."""

from __future__ import annotations

import collections

from benchmarks import cluster_field

from gantry.local.cluster import stage
from gantry.local.demo import environment, verify


def test_a_launch_ends_well_and_each_worker_has_run_steps_of_it(field: cluster_field.Field) -> None:
    field.api.await_dag(environment.DAG)
    run = field.api.trigger(environment.DAG)

    assert field.api.await_run(environment.DAG, run, 900) == "success"

    places = list(stage.places(field.cluster, environment.DAG, run))
    counts = collections.Counter(each.worker for each in places if each.worker)
    print(dict(counts))
    assert set(counts) == {"worker-1", "worker-2"}
    # Not a single one by chance: both take what is queued.
    assert min(counts.values()) > 2
    assert verify.sells(field.shop)
