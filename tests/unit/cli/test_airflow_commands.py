"""`gantry launch`, `terminate`, `status` and `logs` against a server that speaks Airflow's API."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gantry import errors, inventory, names
from gantry.cli.queries import run_follower, servers
from gantry.cli.support import connections
from tests import airflow_api
from tests.airflow_api import SUCCESS, states
from tests.unit.cli.conftest import Gantry

SHOP = """\
deployment: shop
cloud: {region: eu-central-1}
launch_configurations: {debian: {image: ami-1, ssh: {connection: x}}}
tiers: {only: {launch_configuration: debian, servers: 1}}
"""
TASKS = (
    "turn",
    "find_lost",
    "tier-only.scale_up",
    "tier-only.handshake",
    "tier-only.prepare_configuration_management",
    "tier-only.execute_configuration_management",
    "finish_launch",
)
GOOD = ("success", states(7, tasks=TASKS))
GOING = ("running", states(3, working=True, tasks=TASKS))
BAD = ("failed", states(3, failed=True, tasks=TASKS))
REFUSED: tuple[str, dict[str, str | None]] = ("success", dict.fromkeys(TASKS, "skipped"))
FAILURE = [
    {"event": "asking again", "level": "info"},
    {
        "event": "Task failed with exception",
        "level": "error",
        "error_detail": [{"exc_type": "AirflowFailException", "exc_value": "shop-only-1: no SSH connection"}],
    },
]


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[airflow_api.Airflow]:
    """Somebody's Airflow, with the deployment `shop`, and a shell that knows both."""
    (tmp_path / "shop.yaml").write_text(SHOP)
    monkeypatch.setenv("GANTRY_PROFILES", str(tmp_path / "profiles.toml"))
    for name in ("GANTRY_PROFILE", "GANTRY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GANTRY_USERNAME", "ada")
    monkeypatch.setenv("GANTRY_PASSWORD", "secret")
    monkeypatch.setattr(run_follower, "_PAUSE", 0.01)
    with airflow_api.serving() as serving:
        monkeypatch.setenv("GANTRY_URL", serving.url)
        serving.deployment("shop").tasks = TASKS
        yield serving


@pytest.fixture
def gantry_(
    gantry: Gantry, airflow: airflow_api.Airflow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Gantry:
    """The command, where the definition is at hand."""

    def call(*words: object) -> Any:
        monkeypatch.setenv("GANTRY_DEFINITIONS", str(tmp_path))
        return gantry(*words)

    return call


def shop(airflow: airflow_api.Airflow) -> airflow_api.Dag:
    return airflow.dags["shop"]


def test_a_launch_is_triggered_with_its_form_and_shown_by_phases(
    airflow: airflow_api.Airflow, gantry_: Gantry
) -> None:
    shop(airflow).next_looks = [("queued", states(0, tasks=TASKS)), GOING, GOOD]
    found = gantry_("launch", "shop", "--servers", "only=2", "--redeploy", "probe", "--reason", "sale")
    assert found.code == 0, found.err
    (run,) = shop(airflow).runs
    assert run.conf == {"servers_only": 2, "redeploy": ["probe"], "reason": "sale"}
    told = found.out.splitlines()
    assert told[0] == f"run {run.id} of shop: {airflow.url}/dags/shop/runs/{run.id}"
    assert "deployment shop is LAUNCHING" in found.out
    assert [line.split()[2:6] for line in told if "1 scale up" in line] == [
        ["1", "scale", "up", "working"],
        ["1", "scale", "up", "done"],
    ]
    assert told[-1].startswith("shop is RUNNING: ")


def test_a_launch_of_what_runs_is_maintenance(airflow: airflow_api.Airflow, gantry_: Gantry) -> None:
    shop(airflow).runs.append(airflow_api.Run("before", [GOOD]))
    shop(airflow).next_looks = [GOING, GOING, GOOD]
    assert "deployment shop is MAINTENANCE" in gantry_("launch", "shop").out


def test_a_launch_that_had_to_wait_for_a_termination_came_after_it(
    airflow: airflow_api.Airflow, gantry_: Gantry
) -> None:
    waited = airflow_api.Run("r1", [GOOD], asked="2026-11-20T04:00:00Z", began_work="2026-11-20T04:20:00Z")
    gone = airflow_api.Run(
        "r2", [("success", dict.fromkeys(("turn", "finish_termination"), "success"))],
        asked="2026-11-20T04:10:00Z",
    )  # fmt: skip
    shop(airflow).runs.append(waited)
    airflow.dags["shop.terminate"].runs.append(gone)
    assert gantry_("status", "shop", "--json").json["state"] == "RUNNING"
    (line,) = gantry_("status", "--json").json
    assert (line["state"], line["run"]["id"]) == ("RUNNING", "r1")


def test_each_look_asks_for_the_run_and_its_tasks_and_what_came_before_is_read_once(
    airflow: airflow_api.Airflow, gantry_: Gantry
) -> None:
    shop(airflow).runs.append(airflow_api.Run("before", [GOOD]))
    shop(airflow).next_looks = [GOING, GOING, GOING, GOING, GOOD]
    assert "deployment shop is MAINTENANCE" in gantry_("launch", "shop").out
    # Without the further pages of a list.
    asked = [call for call, _ in itertools.groupby(airflow.asked) if call.startswith("GET /api/v2/dags/")]
    run = f"GET /api/v2/dags/shop/dagRuns/{shop(airflow).runs[-1].id}"
    assert [call for call in asked if call.startswith(run)] == [run, f"{run}/taskInstances"] * 4
    others = [call.removeprefix("GET /api/v2/dags/") for call in asked if not call.startswith(run)]
    assert sorted(others) == [
        "shop", "shop.recover/dagRuns", "shop.scale/dagRuns", "shop.terminate/dagRuns",
        # Which run is ahead, and the last one.
        "shop/dagRuns", "shop/dagRuns", "shop/dagRuns/before/taskInstances", "shop/details",
    ]  # fmt: skip


def test_a_run_that_waits_for_another_begins_with_what_that_one_leaves(
    airflow: airflow_api.Airflow, gantry_: Gantry
) -> None:
    first = airflow_api.Run("first", [GOING])
    shop(airflow).runs.append(first)
    waits = ("running", {**dict.fromkeys(TASKS), "turn": "deferred"})
    shop(airflow).next_looks = [waits, waits, GOING, GOOD]

    def ends_meanwhile(_: str) -> None:
        if shop(airflow).runs[-1] is not first and shop(airflow).runs[-1].now == GOING:
            first.looks = [GOOD]

    airflow.answer_instead = ends_meanwhile
    told = [line for line in gantry_("launch", "shop").out.splitlines() if "deployment shop is" in line]
    states = [line.split("deployment shop is ")[1].split()[0] for line in told]
    assert states == ["LAUNCHING", "MAINTENANCE", "RUNNING"]


def test_without_the_definition_the_tasks_are_shown(
    airflow: airflow_api.Airflow, gantry: Gantry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shop(airflow).next_looks = [GOING, GOING, GOOD]
    monkeypatch.setenv("GANTRY_DEFINITIONS", str(tmp_path / "nowhere"))
    found = gantry("launch", "shop", "--definitions", tmp_path / "nowhere")
    assert found.code == 0
    assert "tier-only.handshake" in found.out
    assert "1 scale up" not in found.out


def test_a_definition_that_is_not_the_one_that_runs_draws_no_phases(
    airflow: airflow_api.Airflow, gantry_: Gantry
) -> None:
    shop(airflow).next_looks = [SUCCESS]
    found = gantry_("launch", "shop")
    assert found.code == 0
    assert "finish_launch" in found.out
    assert "1 scale up" not in found.out


def test_a_broken_definition_at_hand_does_not_keep_airflow_from_launching_its_own(
    airflow: airflow_api.Airflow, gantry_: Gantry, tmp_path: Path
) -> None:
    (tmp_path / "shop.yaml").write_text("deployment: shop\ntires: {}\n")
    shop(airflow).next_looks = [GOOD]
    found = gantry_("launch", "shop")
    assert found.code == 0
    assert "shop.yaml:2:1: " in found.err
    assert "shown by tasks" in found.err
    by_path = gantry_("launch", tmp_path / "shop.yaml")
    assert by_path.code == 1
    assert "shop.yaml:2:1: " in by_path.err


def test_a_failed_launch_says_each_tasks_error(airflow: airflow_api.Airflow, gantry_: Gantry) -> None:
    run_looks = [GOING, BAD]
    shop(airflow).next_looks = run_looks
    airflow.answer_instead = failing_log
    found = gantry_("launch", "shop")
    assert found.code == 1
    assert (
        "task tier-only.handshake shop-only-1: AirflowFailException: shop-only-1: no SSH connection"
        in found.err
    )
    assert "the end of its log before that:\n  info asking again" in found.err
    program = gantry_("launch", "shop", "--json")
    assert (program.code, program.json["state"], program.json["failed_at"]) == (1, "LAUNCHING", "scale up")
    assert program.json["failures"] == [
        {
            "task": "tier-only.handshake",
            "server": "shop-only-1",
            "error": "AirflowFailException: shop-only-1: no SSH connection",
            "causes": [],
            "log": ["info asking again"],
        }
    ]


def test_a_failed_launch_says_what_its_tasks_have_kept_of_their_failures(
    airflow: airflow_api.Airflow, gantry_: Gantry
) -> None:
    kept = errors.Failure(
        "shop-only-1: startService failed", "no disk", "Buy a disk.", "shop-only-1", "startService", 7
    )
    run_looks = [GOING, BAD]
    shop(airflow).next_looks = run_looks

    def answer(call: str) -> tuple[int, str, str] | None:
        if f"/xcomEntries/{errors.XCOM}" in call:
            return 200, "application/json", json.dumps({"key": errors.XCOM, "value": [kept.dump()]})
        return failing_log(call)

    airflow.answer_instead = answer
    found = gantry_("launch", "shop")
    assert found.code == 1
    assert "shop-only-1: startService failed\nno disk\nBuy a disk.\nthe end of its log" in found.err
    assert "AirflowFailException" not in found.err
    (failure,) = gantry_("launch", "shop", "--json").json["failures"]
    assert failure["causes"] == [kept.dump()]
    assert failure["error"] == str(kept)


def failing_log(call: str) -> tuple[int, str, str] | None:
    if "/logs/" not in call:
        return None
    return 200, "application/json", json.dumps({"content": FAILURE, "continuation_token": None})


def test_a_launch_that_a_person_refused_is_no_success(airflow: airflow_api.Airflow, gantry_: Gantry) -> None:
    shop(airflow).next_looks = [REFUSED]
    found = gantry_("launch", "shop")
    assert found.code == 1
    assert "ended without doing its work: it was rejected" in found.err
    assert gantry_("launch", "shop", "--json").code == 1


def test_not_to_wait_and_not_to_wait_longer(airflow: airflow_api.Airflow, gantry_: Gantry) -> None:
    shop(airflow).next_looks = [GOING]
    found = gantry_("launch", "shop", "--no-wait")
    assert (found.code, len(shop(airflow).runs)) == (0, 1)
    assert "gantry status shop --watch" in found.out
    program = gantry_("launch", "shop", "--no-wait", "--json").json
    assert program["run"] == shop(airflow).runs[-1].id
    late = gantry_("launch", "shop", "--timeout", "0.05s")
    assert late.code == 1
    assert "did not end within 0.05 s and continues; unfinished: tier-only.handshake" in late.err
    assert f"it starts when the previous run has ended: {shop(airflow).runs[1].id}" in late.out


def test_an_airflow_that_is_away_for_a_moment_is_waited_for(
    airflow: airflow_api.Airflow, gantry_: Gantry, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop(airflow).next_looks = [GOING, GOING, GOOD]
    away = iter([None, (503, "text/plain", "restarting"), (503, "text/plain", "restarting")])

    def instead(call: str) -> tuple[int, str, str] | None:
        return next(away, None) if "/dagRuns/manual" in call else None

    airflow.answer_instead = instead
    assert gantry_("launch", "shop").code == 0
    monkeypatch.setattr(run_follower, "PATIENCE", 0.05)
    airflow.answer_instead = lambda call: (503, "text/plain", "gone") if "/dagRuns/manual" in call else None
    found = gantry_("launch", "shop")
    assert found.code == 1
    assert "gone" in found.err


def test_ctrl_c_ends_the_watching_only(
    airflow: airflow_api.Airflow, gantry_: Gantry, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop(airflow).next_looks = [GOING]

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gantry.cli.queries.run_follower.time.sleep", interrupted)
    found = gantry_("launch", "shop")
    assert found.code == 130
    (run,) = shop(airflow).runs
    assert "the run continues. To watch it again:\n  gantry status shop --watch\n" in found.err
    assert f"  gantry logs shop --run '{run.id}' --follow" in found.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("launch", "shpo"), 1, "has no deployment 'shpo', did you mean 'shop'?"),
        (("launch", "shop", "--servers", "only"), 64, "TIER=N"),
        (("launch", "shop", "--servers", "oly=2"), 1, "unknown tier 'oly', did you mean 'only'?"),
        (("launch", "shop", "--servers", "only=9"), 1, "its limits are 1 to 3"),
        (("launch", "shop", "--timeout", "soon"), 64, "a duration is"),
        (("launch", "shop", "--username", "eve"), 1, "no password for 'eve'"),
        (("launch", "shop", "--token", "old"), 1, "refuses the token (an option)"),
        (("terminate", "shop"), 64, "--confirm shop"),
        (("terminate", "shop", "--confirm", "shp"), 1, "the confirmation reads 'shp', not 'shop'"),
        (("status", "--watch"), 64, "needs the name"),
        (("logs", "shop"), 1, "shop has had no run yet"),
        (("logs", "shop", "-n", "3"), 64, "agent's log"),
        (("logs", "shop", "--server", "only-1", "--json"), 64, "plain text"),
    ],
)
def test_what_cannot_be_done(
    airflow: airflow_api.Airflow, gantry_: Gantry, words: tuple[str, ...], code: int, told: str
) -> None:
    found = gantry_(*words)
    assert (found.code, shop(airflow).runs) == (code, [])
    assert told in " ".join(found.err.replace("│", " ").split())


def test_what_is_paused_is_left_alone(airflow: airflow_api.Airflow, gantry_: Gantry) -> None:
    shop(airflow).is_paused = True
    shop(airflow).next_looks = [GOOD]
    found = gantry_("launch", "shop")
    assert (found.code, shop(airflow).runs) == (1, [])
    assert "--unpause" in found.err
    assert gantry_("launch", "shop", "--unpause").code == 0


def test_a_termination_wants_the_name_and_shows_its_steps(
    airflow: airflow_api.Airflow, gantry_: Gantry, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = ("confirm", "tier-only.terminate_servers", "finish_termination")
    dag = airflow.dags["shop.terminate"]
    dag.next_looks = [("success", states(3, tasks=tasks))]
    found = gantry_("terminate", "shop", "--confirm", "shop", "--reason", "enough")
    assert found.code == 0, found.err
    assert dag.runs[0].conf == {"confirm": "shop", "reason": "enough"}
    assert "tier-only.terminate_servers" in found.out
    assert found.out.splitlines()[-1].startswith("shop is STOPPED: ")


def test_a_termination_is_told_what_to_skip_and_what_to_save(
    airflow: airflow_api.Airflow, gantry_: Gantry
) -> None:
    dag = airflow.dags["shop.terminate"]
    words = ("terminate", "shop", "--confirm", "shop", "--no-wait")
    refused = gantry_(*words, "--final-backup")
    assert (refused.code, dag.runs) == (1, [])
    assert "does its definition say `backups:`?" in refused.err
    dag.params["final_backup"] = {"value": True, "schema": {"type": "boolean"}}
    assert gantry_(*words, "--force", "--no-final-backup").code == 0
    assert dag.runs[-1].conf == {"confirm": "shop", "force": True, "final_backup": False}


def test_a_person_types_the_name(
    airflow: airflow_api.Airflow, gantry_: Gantry, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = ("confirm", "tier-only.terminate_servers", "finish_termination")
    dag = airflow.dags["shop.terminate"]
    dag.next_looks = [("success", states(3, tasks=tasks))]
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    typed = iter(["no", "shop"])
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(typed))
    refused = gantry_("terminate", "shop")
    assert (refused.code, dag.runs) == (1, [])
    assert "nothing was terminated" in refused.err
    assert gantry_("terminate", "shop").code == 0
    assert len(dag.runs) == 1


def test_status_of_one_is_its_parts_and_its_last_run(airflow: airflow_api.Airflow, gantry_: Gantry) -> None:
    assert "shop is STOPPED\n  it was never launched" in gantry_("status", "shop").out
    shop(airflow).runs.append(airflow_api.Run("r1", [GOOD], {"reason": "sale"}))
    found = gantry_("status", "shop")
    assert found.code == 0, found.err
    assert found.out.startswith("shop is RUNNING\n  last launch: success, began 2026-11-20 04:00:00 UTC,")
    assert ", by ada: sale\n" in found.out
    assert "tiers: only 1 of 1" in found.out
    assert "shop-only-1" in found.out
    program = gantry_("status", "shop", "--json").json
    assert (program["state"], program["from"], program["run"]["id"]) == ("RUNNING", "airflow", "r1")
    assert program["servers"][0]["agent"] == "RUNNING"


def test_status_of_a_failed_one_says_where(airflow: airflow_api.Airflow, gantry_: Gantry) -> None:
    shop(airflow).runs.append(airflow_api.Run("r1", [BAD]))
    assert gantry_("status", "shop").out.startswith("shop is LAUNCHING (failed at scale up)\n")


DEEP = ("failed", {**states(4, tasks=TASKS), TASKS[4]: "failed"})
"""A launch that fails when its server has answered."""


def asked(minute: int) -> str:
    return f"2026-11-20T04:{minute:02}:00Z"


def test_after_a_failed_first_launch_the_next_one_begins_with_the_servers_that_run(
    airflow: airflow_api.Airflow, gantry_: Gantry
) -> None:
    shop(airflow).runs.append(airflow_api.Run("r1", [DEEP], asked=asked(0)))
    assert "tiers: only 1 of 1" in gantry_("status", "shop").out
    waiting = ("running", states(0, working=True, tasks=TASKS))
    shop(airflow).next_looks = [waiting, waiting, GOING, GOOD]
    heads = [line for line in gantry_("launch", "shop").out.splitlines() if "deployment shop is" in line]
    assert [line.partition("deployment ")[2] for line in heads] == [
        "shop is LAUNCHING   servers: only 1 of 1",
        "shop is RUNNING   servers: only 1 of 1",
    ]


def test_a_server_that_has_left_since_is_not_counted(
    airflow: airflow_api.Airflow, gantry_: Gantry, tmp_path: Path
) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP.replace("servers: 1", "servers: {min: 1, max: 2}"))
    shop(airflow).runs += [
        airflow_api.Run("r0", [GOOD], asked=asked(0), server="shop-only-2"),
        airflow_api.Run("r1", [GOOD], asked=asked(1)),
    ]
    assert gantry_("status", "shop", "--json").json["tiers"] == {"only": {"running": 1, "wanted": 1}}


@pytest.mark.parametrize("failed", [BAD, DEEP], ids=["before the handshake", "after it"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_however_often_a_launch_on_what_runs_has_failed_it_runs(
    airflow: airflow_api.Airflow, gantry_: Gantry, failed: tuple[str, dict[str, str | None]], times: int
) -> None:
    shop(airflow).runs.append(airflow_api.Run("r0", [GOOD], asked=asked(0)))
    shop(airflow).runs += [
        airflow_api.Run(f"r{number}", [failed], asked=asked(number)) for number in range(1, times + 1)
    ]
    found = gantry_("status", "shop", "--json").json
    assert (found["state"], found["failed"]) == ("MAINTENANCE", True)
    waiting = ("running", states(0, working=True, tasks=TASKS))
    shop(airflow).next_looks = [waiting, waiting, GOING, GOOD]
    heads = [line for line in gantry_("launch", "shop").out.splitlines() if "deployment shop is" in line]
    assert heads[0].endswith("shop is MAINTENANCE   servers: only 1 of 1")


def test_status_passes_over_a_run_that_touched_nothing(airflow: airflow_api.Airflow, gantry_: Gantry) -> None:
    queued = airflow_api.Run("r2", [("queued", states(0, tasks=TASKS))], asked="2026-11-20T05:00:00Z")
    shop(airflow).runs += [airflow_api.Run("r1", [GOOD]), queued]
    shop(airflow).is_paused = True
    found = gantry_("status", "shop").out
    assert found.startswith("shop is RUNNING\n")
    assert "run r2 of shop is queued and has not begun to change anything" in found
    assert "its DAG is paused" in found


def test_status_says_that_the_definition_is_in_another_bundle_than_at_the_last_operation(
    airflow: airflow_api.Airflow, gantry_: Gantry
) -> None:
    shop(airflow).runs.append(airflow_api.Run("r1", [GOOD]))
    airflow.assets["deployment-state://shop"] = {"moved": {"moved": "2026", "bundle": "deployments"}}
    assert "the last operation worked with the one in 'deployments'" in gantry_("status", "shop").out
    shop(airflow).bundle = "deployments"
    assert "the last operation" not in gantry_("status", "shop").out


def test_status_of_a_deployment_without_its_definition_is_what_its_runs_tell(
    airflow: airflow_api.Airflow, gantry: Gantry, tmp_path: Path
) -> None:
    shop(airflow).runs.append(airflow_api.Run("r1", [BAD]))
    found = gantry("status", "shop", "--definitions", tmp_path / "nowhere")
    assert found.out.startswith("shop is LAUNCHING (failed)\n")
    assert "tiers" not in found.out


def test_status_of_all(airflow: airflow_api.Airflow, gantry_: Gantry) -> None:
    shop(airflow).runs.append(airflow_api.Run("r1", [GOOD]))
    wiki = airflow.deployment("wiki")
    wiki.tasks, wiki.is_paused, wiki.has_import_errors = TASKS, True, True
    wiki.runs += [
        airflow_api.Run("w1", [GOOD], asked="2026-11-20T01:00:00Z"),
        airflow_api.Run("w2", [BAD], asked="2026-11-20T02:00:00Z"),
    ]
    rows = [line.split() for line in gantry_("status").out.splitlines()[1:]]
    assert rows[0][:4] == ["shop", "RUNNING", "launch", "success"]
    assert rows[1][:5] == ["wiki", "MAINTENANCE", "(failed)", "launch", "failed"]
    assert rows[1][-3:] == ["paused,", "import", "error"]
    assert [each["state"] for each in gantry_("status", "--json").json] == ["RUNNING", "MAINTENANCE"]


def test_status_from_the_cloud_asks_no_airflow(
    airflow: airflow_api.Airflow, gantry_: Gantry, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datetime  # noqa: PLC0415 - one test's

    running = inventory.Server(
        names.ServerName("shop-only-1"),
        names.TierName("only"),
        names.Slot(1),
        "i-1",
        inventory.InstanceState.RUNNING,
        "ami-1",
        datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC),
        "10.0.0.1",
    )
    strange = dataclasses.replace(running, name=names.ServerName("shop-old-1"), tier=names.TierName("old"))
    monkeypatch.setattr(servers, "find", lambda _: inventory.Inventory((running, strange)))
    monkeypatch.setattr(connections, "prepare", lambda _: None)
    monkeypatch.delenv("GANTRY_URL")
    found = gantry_("status", "shop")
    assert found.code == 0, found.err
    assert airflow.asked == []
    assert found.out.startswith("shop has 1 running server\n")
    assert "the definition has no tier 'old'" in found.out
    assert "10.0.0.1" in found.out
    monkeypatch.setattr(servers, "find", lambda _: inventory.Inventory(()))
    assert gantry_("status", "shop", "--from", "cloud", "--json").json["state"] == "STOPPED"
    nobody = gantry_("status")
    assert nobody.code == 1
    assert "no Airflow is configured" in nobody.err


def test_watching_what_goes_on(airflow: airflow_api.Airflow, gantry_: Gantry) -> None:
    assert "No run of shop is in progress" in gantry_("status", "shop", "--watch").err
    shop(airflow).runs.append(airflow_api.Run("r1", [GOING, GOING, GOOD]))
    found = gantry_("status", "shop", "--watch")
    assert found.code == 0, found.err
    assert found.out.splitlines()[-1].startswith("shop is RUNNING")


def test_logs_are_headed_task_by_task_in_order(airflow: airflow_api.Airflow, gantry_: Gantry) -> None:
    run = airflow_api.Run("r1", [GOOD])
    run.logs["finish_launch"] = [
        {"event": "::group::x"},
        {"event": "RUNNING", "level": "info", "timestamp": run.asked},
    ]
    shop(airflow).runs.append(run)
    lines = gantry_("logs", "shop").out.splitlines()
    assert [line for line in lines if line.startswith("──")] == [
        f"── {task}{' · shop-only-1' if 'handshake' in task else ''} · success ──" for task in TASKS
    ]
    assert lines[-1] == "04:00:00 RUNNING"
    assert "/logs/1" not in lines


@pytest.mark.parametrize(
    ("words", "tasks"),
    [
        (("--step", "tier-only.handshake"), ["tier-only.handshake"]),
        (("--task", "handshake"), ["tier-only.handshake"]),
        (("--step", "tier-only"), list(TASKS[2:-1])),
        (("--run", "r1", "--server", "only-1"), ["tier-only.handshake"]),
        (("--step", "tier-only", "--server", "shop-only-1"), ["tier-only.handshake"]),
    ],
)
def test_logs_of_some_steps(
    airflow: airflow_api.Airflow, gantry_: Gantry, words: tuple[str, ...], tasks: list[str]
) -> None:
    shop(airflow).runs.append(airflow_api.Run("r1", [GOOD]))
    lines = [json.loads(line) for line in gantry_("logs", "shop", "--json", *words).out.splitlines()]
    assert [each["task"] for each in lines] == tasks


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--run", "r2"), "shop has no run 'r2'; the newest are r1"),
        (("--step", "handshaek"), "the run has no step 'handshaek', did you mean 'handshake'?"),
        (("--step", "handshake", "--server", "only-2"), "no task that works on server 'only-2'"),
    ],
)
def test_logs_that_are_not_there(
    airflow: airflow_api.Airflow, gantry_: Gantry, words: tuple[str, ...], told: str
) -> None:
    shop(airflow).runs.append(airflow_api.Run("r1", [GOOD]))
    found = gantry_("logs", "shop", *words)
    assert found.code == 1
    assert told in found.err


def test_followed_logs_tell_each_line_once(
    airflow: airflow_api.Airflow, gantry_: Gantry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gantry.cli.output.task_logs._PAUSE", 0.01)
    run = airflow_api.Run("r1", [GOING, GOING, GOING, GOOD])
    run.logs["tier-only.handshake"] = [{"event": f"line {number}"} for number in range(3)]
    shop(airflow).runs.append(run)
    lines = [json.loads(line) for line in gantry_("logs", "shop", "--follow", "--json").out.splitlines()]
    assert [each["text"] for each in lines if each["task"] == "tier-only.handshake"] == [
        "line 0",
        "line 1",
        "line 2",
    ]
    assert lines[-1]["task"] == "finish_launch"


def test_a_log_that_is_not_written_to_its_end_yet_is_read_again(
    airflow: airflow_api.Airflow, gantry_: Gantry
) -> None:
    begun: list[dict[str, Any]] = [{"event": "::group::Pre Execute"}, {"event": "::endgroup::"}]
    rest = [*FAILURE, {"event": "::group::Post Execute"}, {"event": "::endgroup::"}]
    asked: list[str] = []

    def late(call: str) -> tuple[int, str, str] | None:
        if "/logs/" not in call:
            return None
        asked.append(call)
        content = begun if len(asked) == 1 else [*begun, *rest]
        return 200, "application/json", json.dumps({"content": content, "continuation_token": None})

    airflow.answer_instead = late
    now = datetime.datetime.now(tz=datetime.UTC).isoformat()
    shop(airflow).runs.append(airflow_api.Run("r1", [BAD], asked=now))
    found = gantry_("logs", "shop", "--step", "handshake")
    assert found.out.count("asking again") == 1
    assert "no SSH connection" in found.out
    assert len(asked) == 2


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_who_reads_may_stop_reading(
    airflow: airflow_api.Airflow, gantry_: Gantry, form: tuple[str, ...]
) -> None:
    run = airflow_api.Run("r1", [GOOD])
    # More than a pipe holds.
    run.logs["tier-only.scale_up"] = [{"event": f"line {number}"} for number in range(20_000)]
    shop(airflow).runs.append(run)
    telling = subprocess.Popen(
        [sys.executable, "-m", "gantry", "logs", "shop", *form],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert telling.stdout is not None
    assert telling.stderr is not None
    telling.stdout.readline()
    telling.stdout.close()
    assert (telling.wait(60), telling.stderr.read()) == (1, "")


def test_the_commands_teach_with_examples(gantry: Gantry) -> None:
    for command in ("launch", "terminate", "status", "logs"):
        found = gantry(command, "--help")
        assert found.code == 0
        assert f"gantry {command} shop" in found.out
        assert "--profile" in found.out
