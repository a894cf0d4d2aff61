"""`gantry history` against a server that speaks Airflow's API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gantry import errors, names
from gantry.runtime import server_bootstrap
from gantry.state import config_history, installed_versions, kept_failures, keys, run_records
from gantry.state.config_history import ConfigDelivery
from gantry.state.run_records import Record, Result
from tests import airflow_api
from tests.airflow_api import SUCCESS
from tests.unit.cli.conftest import Gantry

APP, SERVER = names.ServiceName("app"), names.ServerName("shop-app-1")
LAUNCH = Record(
    "launch", "r1", "ada", "a sale", "2026-11-20T05:00:00+00:00",
    Result.SUCCESS, "2026-11-20T05:01:30+00:00",
    versions={"app": "0123456789"}, versions_before={"app": "ffff"}, started={"shop-app-1": "i-1", "shop-app-2": "i-2"},
)  # fmt: skip
TERMINATION = Record(
    "terminate", "r2", "bob", "", "2026-11-20T06:00:00+00:00",
    Result.SUCCESS, "2026-11-20T06:00:20+00:00", ended=("shop-app-1", "shop-app-2"),
)  # fmt: skip
BACKUP = Record(
    "backup", "r4", "schedule", "", "2026-11-20T05:30:00+00:00",
    Result.SUCCESS, "2026-11-20T05:30:04+00:00",
    objects={"rows": run_records.Object("s3://b/shop/rows/x.sql", 1_234_567, 3.5)},
)  # fmt: skip
FACTS = (
    ConfigDelivery(
        "launch", "r1", "2026-11-20T05:00:30+00:00", "i-1", "51b8a2c0ffee", ("--- /dev/null", "+a=1")
    ),
    ConfigDelivery("launch", "r3", "2026-11-20T07:00:30+00:00", "i-1", "9f86d0819f86", ("-a=1", "+a=2"), 7),
)
OPEN = Record("launch", "r3", "schedule", "", "2026-11-20T07:00:00+00:00")


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[airflow_api.Airflow]:
    monkeypatch.setenv("GANTRY_PROFILES", str(tmp_path / "profiles.toml"))
    monkeypatch.setenv("GANTRY_DEFINITIONS", str(tmp_path))
    for name in ("GANTRY_PROFILE", "GANTRY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GANTRY_USERNAME", "ada")
    monkeypatch.setenv("GANTRY_PASSWORD", "secret")
    with airflow_api.serving() as serving:
        monkeypatch.setenv("GANTRY_URL", serving.url)
        serving.deployment("shop")
        serving.assets["deployment-state://shop-staging"] = {}
        serving.assets["deployment-state://shop"] = {
            run_records.key("launch"): run_records.dump((LAUNCH, OPEN)),
            run_records.key("terminate"): run_records.dump((TERMINATION,)),
            run_records.key("backup"): run_records.dump((BACKUP,)),
            config_history.PLACES.key(APP, SERVER): config_history.dump(FACTS),
            installed_versions.PLACES.key(APP, SERVER): installed_versions.dump(
                installed_versions.Installed("0123456789", "i-1", "launch", "r1", "2026-11-20T05:00:29+00:00")
            ),
        }
        yield serving


def test_what_an_earlier_gantry_has_kept_is_told_of_until_it_has_been_moved(
    airflow: airflow_api.Airflow, gantry: Gantry
) -> None:
    kept = airflow.assets["deployment-state://shop"]
    airflow.assets["deployment://shop"] = {key: kept.pop(key) for key in ("history:launch", "history:backup")}
    operations = [line.split()[2] for line in gantry("history", "shop").out.splitlines()[1:]]
    assert operations == ["launch", "terminate", "backup", "launch"]
    kept[keys.MOVED] = "2026-11-20T08:00:00+00:00"
    operations = [line.split()[2] for line in gantry("history", "shop").out.splitlines()[1:]]
    assert operations == ["terminate"]


def test_all_operations_are_told_of_the_newest_first(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    airflow.dags["shop"].runs.append(airflow_api.Run("r3", [("failed", {})], asked="2026-11-20T07:00:05Z"))
    lines = gantry("history", "shop").out.splitlines()[1:]
    assert [re.split(r" {2,}", line.strip())[1:4] for line in lines] == [
        ["launch", "failed", "5 s"],
        ["terminate", "success", "20 s"],
        ["backup", "success", "4 s"],
        ["launch", "success", "1 min 30 s"],
    ]
    assert lines[1].split()[5:] == ["s", "bob", "-2"]
    assert lines[2].split()[5:] == ["s", "schedule", "rows=1.23", "MB"]
    assert lines[3].split()[7:] == ["s", "ada", "+2", "app=01234567", "a", "sale"]


def test_a_program_gets_everything(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    newest, termination, backup, launch = gantry("history", "shop", "--json").json
    # Its run was deleted before anybody closed its record.
    assert (newest["run"], newest["result"]) == ("r3", "failed")
    assert termination["ended"] == ["shop-app-1", "shop-app-2"]
    assert backup["objects"] == {"rows": {"url": "s3://b/shop/rows/x.sql", "size": 1_234_567, "seconds": 3.5}}
    assert launch["versions"] == {"app": "0123456789"}
    assert launch["started"] == {"shop-app-1": "i-1", "shop-app-2": "i-2"}
    assert [each["run"] for each in gantry("history", "shop", "--json", "--last", 1).json] == ["r3"]


def test_one_run_is_told_with_the_facts_that_it_handed_out(
    airflow: airflow_api.Airflow, gantry: Gantry
) -> None:
    told = gantry("history", "shop", "r1").out
    assert told.startswith("launch r1: success\n")
    assert "shop-app-1 (i-1), shop-app-2 (i-2)" in told
    assert "app=0123456789 (was ffff)" in told
    assert "app on shop-app-1 (i-1)" in told
    assert "hash 51b8a2c0\n    --- /dev/null\n    +a=1\n" in told
    assert "+a=2" not in told
    found = gantry("history", "shop", "r3", "--json").json
    assert found["record"]["run"] == "r3"
    assert [each["digest"] for each in found["facts"]] == ["9f86d0819f86"]


def test_a_failed_run_says_what_stopped_its_tasks(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    failed = airflow_api.Run("r3", [("failed", airflow_api.states(0, failed=True))])
    airflow.dags["shop"].runs.append(failed)
    told = gantry("history", "shop", "r3").out
    assert "  failed         tier-only.scale_up\n    no reason was recorded; see gantry logs" in told
    kept = errors.Failure("only: no capacity", "EC2 said so", "Choose another size.", code=None)
    xcom = json.dumps({"key": errors.XCOM, "value": [kept.dump()]})
    airflow.answer_instead = lambda call: (
        (200, "application/json", xcom) if f"/xcomEntries/{errors.XCOM}" in call else None
    )
    told = gantry("history", "shop", "r3").out
    assert "tier-only.scale_up\n    only: no capacity\n    EC2 said so\n    Choose another size.\n" in told
    (found,) = gantry("history", "shop", "r3", "--json").json["failures"]
    assert found == {"task": "tier-only.scale_up", "server": "", "causes": [kept.dump()]}
    # What is kept beside the record is for a run that Airflow has forgotten.
    keep(airflow, tried("r3", errors.Failure("something older")))
    assert gantry("history", "shop", "r3").out == told


def tried(run: str, *failures: errors.Failure) -> kept_failures.FailedTry:
    return kept_failures.FailedTry(run, "2026-11-20T07:00:40+00:00", failures)


def keep(airflow: airflow_api.Airflow, found: kept_failures.FailedTry, index: int = -1) -> None:
    """What a failed task has kept beside the record of its run."""
    key = kept_failures.key("launch", ("tier-only.scale_up", index))
    airflow.assets["deployment-state://shop"][key] = kept_failures.dump((found,))


FAILURE = errors.Failure(
    "shop-app-1: it failed", "no disk left", "Buy a disk.", "shop-app-1", "startService", 7
)


def test_a_run_that_airflow_has_forgotten_still_says_what_stopped_it(
    airflow: airflow_api.Airflow, gantry: Gantry
) -> None:
    assert gantry("history", "shop", "r3", "--json").json["failures"] == []
    keep(airflow, tried("r3", FAILURE), 0)
    keep(airflow, tried("another", errors.Failure("of another run")), 1)
    told = gantry("history", "shop", "r3").out
    assert (
        "  failed         tier-only.scale_up shop-app-1\n    shop-app-1: it failed\n    no disk left\n    Buy a disk.\n"
    ) in told
    assert "of another run" not in told
    (found,) = gantry("history", "shop", "r3", "--json").json["failures"]
    assert found == {"task": "tier-only.scale_up", "server": "shop-app-1", "causes": [FAILURE.dump()]}


def test_of_a_server_that_never_answered_the_run_names_the_server(
    airflow: airflow_api.Airflow, gantry: Gantry
) -> None:
    limit = server_bootstrap.Limit.of(300, 0)
    error = server_bootstrap.NoAnswerError(SERVER, limit, "connection refused")
    keep(airflow, tried("r3", error.failure))
    (found,) = gantry("history", "shop", "r3", "--json").json["failures"]
    assert found["server"] == "shop-app-1"
    assert [each["server"] for each in found["causes"]] == ["shop-app-1"]


def test_of_a_forgotten_run_each_user_sees_what_they_might_have_seen_before(
    airflow: airflow_api.Airflow, gantry: Gantry
) -> None:
    keep(airflow, tried("r3", FAILURE))
    refused = (403, "application/json", '{"detail": "Forbidden"}')
    airflow.answer_instead = lambda call: refused if "/logs/" in call else None
    told = gantry("history", "shop", "r3").out
    assert "Buy a disk." in told
    assert "the details are in the task's log, which you may not read" in told
    assert "no disk left" not in told
    airflow.answer_instead = lambda call: refused if "/xcomEntries/" in call else None
    told = gantry("history", "shop", "r3").out
    assert "tier-only.scale_up shop-app-1\n    you may not read XComs of this DAG" in told
    assert "it failed" not in told
    assert gantry("history", "shop", "r3", "--json").json["failures"][0]["causes"] is None


def test_a_run_that_arrived_after_its_failed_task_was_cleared_has_no_failures(
    airflow: airflow_api.Airflow, gantry: Gantry
) -> None:
    keep(airflow, tried("r1", FAILURE))
    assert gantry("history", "shop", "r1", "--json").json["failures"] == []


def test_a_run_is_named_by_when_it_began(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    began = gantry("history", "shop").out.splitlines()[-1][: len("2026-11-20 05:00:00")]
    assert gantry("history", "shop", began).out.startswith("launch r1: ")
    for wanted, problem in (("r", "several runs of shop"), ("r9", "no run of shop")):
        found = gantry("history", "shop", wanted)
        assert (found.code, problem in found.err) == (1, True)


def test_the_facts_of_all_runs_are_told_the_newest_first(
    airflow: airflow_api.Airflow, gantry: Gantry
) -> None:
    lines = gantry("history", "shop", "--facts").out.splitlines()
    assert lines[1:4] == ["    -a=1", "    +a=2", "    … 7 more lines were not kept"]
    assert "launch r1" in lines[4]
    assert [each["run"] for each in gantry("history", "shop", "--facts", "--json").json] == ["r3", "r1"]
    airflow.assets.clear()
    assert "No configuration of shop's servers is recorded." in gantry("history", "shop", "--facts").out


def test_the_status_names_versions_and_the_last_record(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    airflow.dags["shop"].runs.append(
        airflow_api.Run("r3", [("success", airflow_api.states(3))], asked="2026-11-20T07:00:05Z")
    )
    told = gantry("status", "shop").out
    assert "on record: launch by schedule, success, began " in told
    # The definition is not at hand: what is noted is all that is known of servers.
    assert "shop-app-1  app 01234567" in " ".join(told.split("\n")).replace("   ", "  ")
    found = gantry("status", "shop", "--json").json
    assert found["servers"][0]["versions"]["app"]["version"] == "0123456789"
    assert found["record"]["run"] == "r3"


def test_a_run_that_goes_on_and_one_that_arrived_are_what_they_are(
    airflow: airflow_api.Airflow, gantry: Gantry
) -> None:
    run = airflow_api.Run("r3", [("running", {})])
    airflow.dags["shop"].runs.append(run)
    assert gantry("history", "shop", "--json").json[0]["result"] == "running"
    run.looks = [SUCCESS]
    assert gantry("history", "shop", "--json").json[0]["result"] == "success"


def test_the_status_names_the_last_one_when_airflow_has_forgotten_it(
    airflow: airflow_api.Airflow, gantry: Gantry
) -> None:
    told = gantry("status", "shop").out
    assert "Airflow has forgotten its runs; the last one was a launch, began 2026-11-20T07:00:00" in told
    airflow.forbidden.add("/assets")
    assert "it was never launched" in gantry("status", "shop").out


def test_of_a_deployment_that_never_ran_nothing_is_told(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    airflow.assets.clear()
    found = gantry("history", "shop")
    assert (found.code, found.out) == (0, "No run of shop is recorded: it has had none yet.\n")
