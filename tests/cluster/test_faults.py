"""Parts of an Airflow of several machines die or pause in the middle of a script: the launch ends well, each ran once.

What the server's own journal has is believed, and not what Airflow says.
"""

from __future__ import annotations

import pytest
from benchmarks import cluster_field
from benchmarks.cluster_field import BY_TRIGGERER, BY_WORKER

SCRIPTS = {"installService", "configureService", "stopService", "startService"}


def ended_well(trial: cluster_field.Launches) -> dict[str, cluster_field.Outcome]:
    """Both launches succeeded, and each of their scripts began once and ended once."""
    found = {each.deployment: each for each in cluster_field.outcomes(trial)}
    for each in found.values():
        print(each)
    assert {name: each.state for name, each in found.items()} == {
        BY_WORKER: "success",
        BY_TRIGGERER: "success",
    }
    for each in found.values():
        assert {script for _, script in each.calls} >= SCRIPTS
        assert each.repeated == {}
    return found


def begun(field: cluster_field.Field, request: pytest.FixtureRequest) -> cluster_field.Launches:
    """Both launches, in the middle of their scripts."""
    return cluster_field.begin(field, request.node.name)


def test_a_worker_that_is_asked_to_end_while_its_script_runs(
    field: cluster_field.Field, request: pytest.FixtureRequest
) -> None:
    trial = begun(field, request)

    print(cluster_field.worker_warm(trial))

    # It has waited for its task.
    assert ended_well(trial)[BY_WORKER].tries == 1


def test_a_triggerer_that_freezes_and_wakes_up(
    field: cluster_field.Field, request: pytest.FixtureRequest
) -> None:
    trial = begun(field, request)

    print(cluster_field.triggerer(trial))

    # Two triggerers have followed it by now, and it is still one try.
    assert trial.place(BY_TRIGGERER).state == "deferred"
    assert ended_well(trial)[BY_TRIGGERER].tries == 1


def test_a_worker_killed_while_its_script_runs(
    field: cluster_field.Field, request: pytest.FixtureRequest
) -> None:
    trial = begun(field, request)

    print(cluster_field.worker_killed(trial))

    assert ended_well(trial)[BY_WORKER].tries == 2


def test_a_worker_that_is_told_not_to_wait_for_its_tasks(
    field: cluster_field.Field, request: pytest.FixtureRequest
) -> None:
    trial = begun(field, request)

    print(cluster_field.worker_cold(trial))

    # Celery has ended the process, the step has asked Airflow why, and has gone on without it.
    assert trial.place(BY_WORKER).state == "deferred"
    assert ended_well(trial)[BY_WORKER].tries == 1


def test_an_api_server_that_is_away_for_five_minutes(
    field: cluster_field.Field, request: pytest.FixtureRequest
) -> None:
    trial = begun(field, request)

    print(cluster_field.api_server(trial))

    # One try, unless the machine takes so long to bring it back that the task counts as dead: then the next try finds
    # what was done.
    ended_well(trial)
