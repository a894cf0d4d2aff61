"""A deployment is operated from one DAG bundle: what is noted, what is refused, and how it moves to another."""

from __future__ import annotations

import json
import types
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from gantry import definition, errors, names, plan
from gantry.agent import jobs
from gantry.dag.compile import operation_dag
from gantry.definition import drills
from gantry.operators import base
from gantry.reconcile import step_run
from gantry.runtime import asset_state, dag_bundles, lock_holder, task_run
from gantry.state import keys, store_record
from tests.unit.agent.world import DEFINITION
from tests.unit.operators.world import Store

KNOWN = definition.loads(DEFINITION)
TURN = plan.launch_plan(KNOWN).by_id["turn"]


class Counted(Store):
    """The state of an asset, which writes down what it is asked for."""

    def __init__(self, *kept: Any) -> None:
        super().__init__(*kept)
        self.asked: list[str] = []

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.append(f"get {key}")
        return super().get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.asked.append(f"set {key}")
        super().set(key, value)


class Outlets(dict[Any, Any]):
    """Airflow's accessor of the events of a task's outlets."""

    def __missing__(self, key: Any) -> Any:
        return types.SimpleNamespace(add=lambda asset: self.setdefault(key, asset))


def run(known: Any = KNOWN, **params: Any) -> step_run.StepRun:
    key = jobs.StepKey("r.turn", "1", "1")
    return step_run.StepRun(known, plan.launch_plan(known), TURN, "r", key, {}, params=params)


def begun_in(bundle: str) -> Any:
    """The context of a task whose DAG is in this bundle."""
    return {
        "ti": types.SimpleNamespace(bundle_instance=types.SimpleNamespace(name=bundle)),
        "outlet_events": Outlets(),
    }


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """The state of the deployment, of which an earlier Gantry has noted nothing."""
    found = Counted()
    monkeypatch.setattr(lock_holder, "store", lambda _: asset_state.DeploymentStore(found, Counted()))
    return found


@pytest.fixture(autouse=True)
def bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow has two."""
    configured: list[dict[str, Any]] = [
        {"name": name, "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {}}
        for name in ("shops", "others")
    ]
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps(configured))


def test_the_bundle_of_the_first_run_is_noted_and_another_one_is_refused(kept: Counted) -> None:
    lock_holder.secure(begun_in("shops"), run())
    before = dict(kept)
    with pytest.raises(dag_bundles.OtherBundleError) as caught:
        lock_holder.secure(begun_in("others"), run())
    assert (caught.value.known, caught.value.own) == ("shops", "others")
    assert "'bookshop' is operated from the DAG bundle 'shops'" in caught.value.failure.headline
    assert "in the bundle 'others'" in caught.value.failure.headline
    assert "gantry launch bookshop --new-bundle others" in caught.value.failure.advice
    assert dict(kept) == before
    lock_holder.secure(begun_in("shops"), run())


def test_runs_from_the_noted_bundle_cost_one_request_as_before(kept: Counted) -> None:
    lock_holder.secure(begun_in("shops"), run())
    kept.asked.clear()
    lock_holder.secure(begun_in("shops"), run())
    assert kept.asked == [f"get {keys.MOVED}"]


def test_a_run_that_says_so_moves_the_deployment(kept: Counted) -> None:
    lock_holder.secure(begun_in("shops"), run())
    # A run in the old bundle is not what was asked for.
    with pytest.raises(dag_bundles.OtherBundleError):
        lock_holder.secure(begun_in("others"), run(new_bundle="shops"))
    lock_holder.secure(begun_in("others"), run(new_bundle="others"))
    lock_holder.secure(begun_in("others"), run())
    with pytest.raises(dag_bundles.OtherBundleError):
        lock_holder.secure(begun_in("shops"), run())


def test_a_bundle_that_airflow_no_longer_has_holds_nothing(kept: Counted) -> None:
    lock_holder.secure(begun_in("renamed"), run())
    lock_holder.secure(begun_in("shops"), run())
    assert store_record.load(kept[keys.MOVED]) == store_record.StoreRecord(
        kept[keys.MOVED]["moved"], bundle="shops"
    )


def test_a_deployment_of_an_older_gantry_begins_with_any_bundle(kept: Counted) -> None:
    kept[keys.MOVED] = "2026-11-20T08:00:00+00:00"
    lock_holder.secure(begun_in("others"), run())
    assert kept[keys.MOVED] == {"moved": "2026-11-20T08:00:00+00:00", "bundle": "others"}


def test_what_is_terminated_may_begin_anew_in_any_bundle(kept: Counted) -> None:
    lock_holder.secure(begun_in("shops"), run())
    lock_holder.store("bookshop").operated_from("")
    # As an older Gantry has it.
    assert isinstance(kept[keys.MOVED], str)
    lock_holder.secure(begun_in("others"), run())


def test_a_task_without_a_bundle_neither_notes_nor_refuses(kept: Counted) -> None:
    lock_holder.secure(begun_in("shops"), run())
    before = dict(kept)
    lock_holder.secure(begun_in(""), run())
    without = begun_in("")
    without["ti"] = types.SimpleNamespace()
    lock_holder.secure(without, run())
    assert dict(kept) == before


def test_a_drill_from_another_bundle_is_refused_and_notes_nothing(kept: Counted, bookshop_text: str) -> None:
    known = definition.loads(
        f"{bookshop_text}\nbackups: {{of: {{catalog: db.catalog}}, to: s3://shop/backups/, drill: {{}}}}\n"
    )
    drill = run(drills.of_drills(known))
    assert drill.definition.deployment != drill.deployment == "bookshop"
    lock_holder.secure(begun_in("others"), drill)
    assert dict(kept) == {}
    lock_holder.secure(begun_in("shops"), run())
    with pytest.raises(dag_bundles.OtherBundleError):
        lock_holder.secure(begun_in("others"), drill)


@pytest.mark.parametrize("stored", [{"moved": "2026", "bundle": 7, "more": 1}, "2026", 5])
def test_a_record_of_another_gantry_is_still_one(stored: Any) -> None:
    found = store_record.load(stored)
    assert found is not None
    assert found.bundle == ""
    assert store_record.load(store_record.dump(found)) == found


# --- in the middle of a run ----------------------------------------------------------------------------------


class Row:
    """A run whose tasks are given definitions of different bundles; its XComs."""

    def __init__(self) -> None:
        self.xcoms: dict[tuple[str, str], Any] = {}

    def context(self, task: str, bundle: str) -> Any:
        dag = operation_dag(KNOWN, names.Operation.LAUNCH)

        def push(key: str, value: Any) -> None:
            self.xcoms[task, key] = value

        def pull(task_ids: str, key: str) -> Any:
            return self.xcoms.get((task_ids, key))

        return {
            "dag": dag,
            "dag_run": types.SimpleNamespace(
                run_id="r", run_type="manual", run_after=None, start_date=None, clear_number=0, logical_date=None
            ),
            "params": {},
            "task_state_store": types.SimpleNamespace(get=lambda _: "a-life", set=None),
            "ti": types.SimpleNamespace(
                task_id=task,
                dag_id=dag.dag_id,
                run_id="r",
                map_index=-1,
                max_tries=2,
                try_number=1,
                xcom_push=push,
                xcom_pull=pull,
                bundle_instance=types.SimpleNamespace(name=bundle),
            ),
        }  # fmt: skip


class Step(base.StepOperator):
    """A step that does something."""

    def perform(self, context: Any, run: step_run.StepRun) -> Any:  # noqa: ARG002 - as the other operators
        return run.digest


@pytest.fixture
def row(monkeypatch: pytest.MonkeyPatch) -> Row:
    """A run that has had its turn in the bundle `shops`."""
    found = Row()
    monkeypatch.setattr(lock_holder, "keep", lambda *_: None)
    task_run.begin_life(found.context("turn", "shops"))
    return found


def test_a_task_with_the_definition_of_another_bundle_does_nothing(
    row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_holder, "store", lambda _: Store())
    step = Step(task_id="service-db.configure")
    done = step.execute(row.context("service-db.configure", "shops"))
    with pytest.raises(
        AirflowFailException, match="begun with deployment 'bookshop' of the DAG bundle 'shops'"
    ):
        step.execute(row.context("service-db.configure", "others"))
    # And when the other one is gone, it goes on with the same jobs.
    assert step.execute(row.context("service-db.configure", "shops")) == done
    (failure,) = errors.Failure.load_all(row.xcoms["service-db.configure", errors.XCOM])
    assert failure.advice.endswith("Then clear this task, or launch again")


def test_a_run_that_an_earlier_gantry_has_begun_is_not_compared(row: Row) -> None:
    row.xcoms["turn", "life"] = "a-life"
    step = Step(task_id="service-db.configure")
    assert step.execute(row.context("service-db.configure", "shops")) == step.execute(
        row.context("service-db.configure", "others")
    )
