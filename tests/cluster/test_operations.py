"""A rolling update under load and a backup go on where parts of Airflow die in the middle of their scripts."""

from __future__ import annotations

import pytest
from benchmarks import cluster_field

from tests.cluster import operations


@pytest.fixture(scope="module")
def both(field: cluster_field.Field) -> operations.Operations:
    """The site and the vault, launched."""
    return operations.furnish(field)


def test_redis_schedulers_database_triggerer_and_worker_die_one_after_another(
    both: operations.Operations,
) -> None:
    faults = (
        cluster_field.redis,
        cluster_field.schedulers,
        cluster_field.triggerer,
        cluster_field.postgres,
        cluster_field.cable,
        cluster_field.worker_killed,
    )
    with both.begun("two") as trial:
        for fault in faults:
            print(f"{fault.__name__}: {fault(trial)}")

        trial.ends_well("two")


def test_the_api_server_is_away_for_five_minutes(both: operations.Operations) -> None:
    with both.begun("three") as trial:
        print(cluster_field.api_server(trial))

        trial.ends_well("three")
