"""`gantry scale` against a server that speaks Airflow's API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gantry.cli.queries import run_follower
from tests import airflow_api
from tests.airflow_api import states
from tests.unit.cli.conftest import Gantry

SHOP = """\
deployment: shop
cloud: {region: eu-central-1}
launch_configurations: {debian: {image: ami-1, ssh: {connection: x}}}
tiers: {only: {launch_configuration: debian, servers: {min: 1, max: 3}}}
"""
LAUNCH = (
    "tier-only.scale_up",
    "tier-only.handshake",
    "tier-only.prepare_configuration_management",
    "tier-only.execute_configuration_management",
)
TASKS = ("turn", "find_lost", "choose_servers", *LAUNCH, "tier-only.retire_servers", "finish_launch")
LAUNCHED = ("success", states(6, tasks=("find_lost", *LAUNCH, "finish_launch")))
CHOOSING = ("running", states(2, working=True, tasks=TASKS))
SCALING = ("running", states(4, working=True, tasks=TASKS))
SCALED = ("success", states(9, tasks=TASKS))
NOT_CHOSEN = ("failed", states(2, failed=True, tasks=TASKS))
STUCK = ("failed", states(7, failed=True, tasks=TASKS))


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[airflow_api.Airflow]:
    """Somebody's Airflow, with the launched deployment `shop`, and a shell that knows both."""
    (tmp_path / "shop.yaml").write_text(SHOP)
    monkeypatch.setenv("GANTRY_USERNAME", "ada")
    monkeypatch.setenv("GANTRY_PASSWORD", "secret")
    monkeypatch.setattr(run_follower, "_PAUSE", 0.01)
    with airflow_api.serving() as serving:
        monkeypatch.setenv("GANTRY_URL", serving.url)
        serving.deployment("shop").tasks = ("find_lost", *LAUNCH, "finish_launch")
        serving.dags["shop"].runs.append(airflow_api.Run("before", [LAUNCHED], asked="2026-11-19T04:00:00Z"))
        params = {key: airflow_api.PARAMS[key] for key in ("servers_only", "reason")}
        serving.add(airflow_api.Dag("shop.scale", ("gantry", "scale"), tasks=TASKS, params=params))
        yield serving


@pytest.fixture
def gantry_(gantry: Gantry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Gantry:
    """The command, where the definition is at hand."""

    def call(*words: object) -> Any:
        monkeypatch.setenv("GANTRY_DEFINITIONS", str(tmp_path))
        return gantry(*words)

    return call


def test_it_is_triggered_with_the_numbers_and_shown_by_phases(
    airflow: airflow_api.Airflow, gantry_: Gantry
) -> None:
    dag = airflow.dags["shop.scale"]
    dag.next_looks = [CHOOSING, SCALING, SCALED]
    found = gantry_("scale", "shop", "only=2", "--reason", "sale")
    assert found.code == 0, found.err
    (run,) = dag.runs
    assert run.conf == {"servers_only": 2, "reason": "sale"}
    told = found.out.splitlines()
    assert told[0].startswith(f"run {run.id} of shop.scale: ")
    assert "deployment shop is MAINTENANCE" in found.out
    assert "1 scale up" in found.out
    assert told[-1].startswith("shop is RUNNING: ")


def test_status_reads_maintenance_while_it_goes_and_running_after(
    airflow: airflow_api.Airflow, gantry_: Gantry
) -> None:
    run = airflow_api.Run("scaling", [SCALING], asked="2026-11-20T04:00:00Z")
    airflow.dags["shop.scale"].runs.append(run)
    for look, state, failed in (
        (CHOOSING, "RUNNING", False),
        (SCALING, "MAINTENANCE", False),
        (STUCK, "MAINTENANCE", True),
        (SCALED, "RUNNING", False),
        (NOT_CHOSEN, "RUNNING", False),
    ):
        run.looks = [look]
        seen = gantry_("status", "shop", "--json").json
        assert (seen["state"], seen["failed"]) == (state, failed)
        (line,) = gantry_("status", "--json").json
        assert (line["deployment"], line["state"], line["failed"]) == ("shop", state, failed)


def test_a_failed_task_is_told(airflow: airflow_api.Airflow, gantry_: Gantry) -> None:
    airflow.dags["shop.scale"].next_looks = [SCALING, STUCK]
    found = gantry_("scale", "shop", "only=1")
    assert found.code == 1
    assert "the run of shop.scale failed" in found.err
    assert "task tier-only.retire_servers" in found.err


def test_with_no_wait_it_says_how_to_see_it(airflow: airflow_api.Airflow, gantry_: Gantry) -> None:
    found = gantry_("scale", "shop", "only=3", "--no-wait")
    assert found.code == 0
    assert "to see it: gantry status shop --watch" in found.out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("shop",), 64, "TIER=N"),
        (("shop", "only"), 64, "TIER=N"),
        (("shop", "oly=2"), 1, "unknown tier 'oly', did you mean 'only'?"),
        (("shop", "only=4"), 1, "its limits are 1 to 3"),
        (("shpo", "only=2"), 1, "has no deployment 'shpo', did you mean 'shop'?"),
    ],
)
def test_what_cannot_be_scaled(
    airflow: airflow_api.Airflow, gantry_: Gantry, words: tuple[str, ...], code: int, told: str
) -> None:
    found = gantry_("scale", *words)
    assert (found.code, airflow.dags["shop.scale"].runs) == (code, [])
    assert told in " ".join(found.err.replace("│", " ").split())


def test_a_deployment_of_fixed_tiers_has_nothing_to_scale(
    airflow: airflow_api.Airflow, gantry_: Gantry
) -> None:
    del airflow.dags["shop.scale"]
    found = gantry_("scale", "shop", "only=2")
    assert found.code == 1
    assert "each of its tiers has one number of servers" in found.err


def test_what_is_paused_is_left_alone(airflow: airflow_api.Airflow, gantry_: Gantry) -> None:
    airflow.dags["shop.scale"].is_paused = True
    found = gantry_("scale", "shop", "only=2")
    assert found.code == 1
    assert "--unpause to unpause it (then scheduled runs start, too)" in found.err
