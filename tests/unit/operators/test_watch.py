"""One look: who is told of, what follows, and when nothing is decided."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import pytest
from airflow.sdk.exceptions import AirflowSkipException, DagRunTriggerException, DownstreamTasksSkipped

from gantry import definition, inventory, names
from gantry.agent import jobs, metrics, ssh
from gantry.agent.reachability import Contact
from gantry.credentials import connections
from gantry.dag import compile as dag_compile
from gantry.operators import trigger_operation
from gantry.operators import watch as watching
from gantry.plan import watch_plan
from gantry.reconcile import step_run
from gantry.runtime import lock_holder
from gantry.state import operation_lock
from tests.unit.agent.world import DEFINITION, World
from tests.unit.operators.world import Store

RULE = "rule: {check: app, scale_out_above: 80, breach_period: 30s, cooldown: 1s}"
KNOWN = definition.loads(
    DEFINITION.replace("{min: 2, max: 6}", f"{{min: 2, max: 6}}, {RULE}") + "watch: {every: 30s}\n"
)
PLAN = watch_plan(KNOWN)
BUSY = operation_lock.LockedBy(
    names.Operation.LAUNCH,
    operation_lock.LockMark(
        run="r1", begun="b", stage=operation_lock.LockStage.WORKS, since="2026-11-27T10:00:00+00:00"
    ),
)


@dataclasses.dataclass
class Instance:
    """The task instance, and what Airflow says of the operation that can be triggered."""

    task_id: str = "watch"
    map_index: int = -1
    start_date: Any = dataclasses.field(default_factory=lambda: step_run.NO_MOMENT)
    pushed: dict[str, Any] = dataclasses.field(default_factory=dict)
    going_on: int = 0
    is_paused: bool = False

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def xcom_pull(self, *, task_ids: str, key: str) -> Any:
        assert task_ids == "watch"
        return self.pushed.get(key)

    def get_dr_count(self, dag: str, states: list[str]) -> int:
        assert (dag, states) == ("bookshop.scale", ["queued", "running"])
        return self.going_on

    def get_dag(self, dag: str) -> Any:
        assert dag == "bookshop.scale"
        return self


@dataclasses.dataclass(frozen=True)
class _Run(step_run.StepRun):
    found: inventory.Inventory = dataclasses.field(kw_only=True)

    @property
    def inventory(self) -> inventory.Inventory:
        return self.found


@dataclasses.dataclass
class Stage:
    """A deployment with two application servers, and what each says at a look."""

    store: Store
    instance: Instance
    load: dict[str, float]
    silent: dict[str, Contact]
    busy: operation_lock.LockedBy | None = None
    ailing: inventory.Ailing | None = None

    def look(self) -> list[str]:
        """The tasks that are skipped after a look."""
        with pytest.raises(DownstreamTasksSkipped) as skipped:
            operator().perform(cast("Any", {"ti": self.instance}), tried("watch", self.ailing))
        return list(skipped.value.tasks)

    def follows(self) -> dict[str, Any]:
        """The order that a look gives, skipping nothing."""
        operator().perform(cast("Any", {"ti": self.instance}), tried("watch", self.ailing))
        return dict(self.instance.pushed["trigger_scale"])


def operator() -> watching.WatchOperator:
    found = dag_compile.operation_dag(KNOWN, names.Operation.WATCH).get_task("watch")
    assert isinstance(found, watching.WatchOperator)
    return found


def tried(step: str, ailing: inventory.Ailing | None = None) -> _Run:
    world = World()
    servers = tuple(
        dataclasses.replace(world.server(each), host_key="ssh-ed25519 AAAA", ailing=ailing)
        for each in ("application-1", "application-2", "proxy-1")
    )
    stopped = dataclasses.replace(world.server("database-1"), state=inventory.InstanceState.STOPPED)
    return _Run(
        definition=KNOWN,
        plan=PLAN,
        step=PLAN.by_id[step],
        id="run1",
        key=jobs.StepKey(f"abc.{step}", "0", "1"),
        wanted={},
        found=inventory.Inventory((*servers, stopped)),
    )


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    found = Stage(Store(), Instance(), {"bookshop-application-1": 50, "bookshop-application-2": 50}, {})

    async def look(visits: Sequence[metrics.MetricsRequest]) -> list[metrics.MetricsResult]:
        return [one(each) for each in visits]

    def one(visit: metrics.MetricsRequest) -> metrics.MetricsResult:
        name = visit.target.name
        answer = found.silent.get(name, Contact.ANSWERS)
        number = found.load.get(name) if visit.question is not None else None
        answers = answer is Contact.ANSWERS
        return metrics.MetricsResult(
            name,
            visit.target.instance_id,
            answer,
            "" if answers else "why",
            number=number if answers else None,
        )

    monkeypatch.setattr(metrics, "look", look)
    monkeypatch.setattr(lock_holder, "store", lambda _: found.store)
    monkeypatch.setattr(lock_holder, "at_work", lambda *_: found.busy)
    monkeypatch.setattr(connections, "access", lambda _: ssh.Access(ssh.Login("root", "")))
    return found


def breach(stage: Stage) -> None:
    """A load that has been too high for a breach period."""
    for each in stage.load:
        stage.load[each] = 93
    stage.look()
    (kept,) = [value for key, value in stage.store.items() if key == "watch:tier:application"]
    kept["since"] = kept["changed"] = "2026-11-27T10:00:00+00:00"


def test_each_server_is_looked_at_and_nothing_follows_where_all_is_well(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stage.look() == ["trigger_scale"]
    text = capsys.readouterr().out
    assert "3 of 4 servers answer" in text
    assert "bookshop-database-1" in text
    assert "its instance is stopped" in text
    assert "app 50, the mean of 2 of 2 servers" in text
    assert "trigger_scale" not in stage.instance.pushed


def test_who_does_not_answer_is_told_since_when(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.silent = {
        "bookshop-application-1": Contact.SILENT,
        "bookshop-application-2": Contact.REFUSES,
    }
    stage.look()
    first = dict(stage.store["watch"]["silent"])
    stage.look()
    # Since the first look, and not since the last one.
    assert stage.store["watch"]["silent"] == first
    text = capsys.readouterr().out
    assert "has not answered since" in text
    assert "refuses the login since" in text
    assert "application keeps its 2 servers: nothing is measured" in text
    stage.silent = {}
    stage.look()
    assert len(stage.store["watch"]["silent"]) == 1  # the stopped one


def test_a_breach_that_has_lasted_has_the_deployment_scaled(stage: Stage) -> None:
    breach(stage)
    order = stage.follows()
    assert order["conf"] == {"servers_application": 3}
    assert order["why"].startswith("application: app 93 > 80 for ")
    # It has been asked for: the cooldown begins.
    assert stage.look() == ["trigger_scale"]


def test_a_good_look_ends_what_a_launch_has_noted_also_where_a_scaling_waits(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[str] = []

    class Health:
        def impaired(self, _: Sequence[inventory.Server]) -> dict[str, str]:
            return {}

        def note_well(self, servers: Sequence[inventory.Server]) -> None:
            noted.extend(each.name for each in servers)

    monkeypatch.setattr(_Run, "health", Health())
    stage.instance.going_on = 1
    stage.look()
    assert noted == []
    stage.ailing = inventory.Ailing(step_run.NO_MOMENT, step_run.NO_MOMENT)
    stage.look()
    assert noted == ["bookshop-application-1", "bookshop-application-2", "bookshop-proxy-1"]


def test_while_another_operation_is_at_work_nothing_is_measured(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    breach(stage)
    stage.busy = BUSY
    assert stage.look() == ["trigger_scale"]
    assert "nothing is measured or decided: bookshop has been running since" in capsys.readouterr().out
    assert "watch" not in stage.store
    stage.busy = None
    # What was seen before counts no more.
    assert stage.look() == ["trigger_scale"]


def test_as_long_as_a_scaling_waits_nothing_more_is_decided(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    breach(stage)
    stage.instance.going_on = 1
    assert stage.look() == ["trigger_scale"]
    assert "no decision: a run of bookshop.scale is waiting" in capsys.readouterr().out


def test_what_cannot_be_read_any_more_is_let_be(stage: Stage) -> None:
    stage.store["watch"] = {"looked": 3}
    stage.store["watch:tier:application"] = ["another", "form"]
    assert stage.look() == ["trigger_scale"]
    assert isinstance(stage.store["watch"]["looked"], str)


def triggered(instance: Instance) -> DagRunTriggerException:
    operator = trigger_operation.TriggerOperator(task_id="trigger_scale")
    with pytest.raises(DagRunTriggerException) as raised:
        operator.perform(cast("Any", {"ti": instance}), tried("trigger_scale"))
    return raised.value


def test_the_run_that_is_triggered_says_why_and_is_the_same_at_each_try() -> None:
    instance = Instance(pushed={"trigger_scale": {"conf": {"servers_application": 3}, "why": "w" * 600}})
    first, second = triggered(instance), triggered(instance)
    assert first.trigger_dag_id == "bookshop.scale"
    assert first.dag_run_id == second.dag_run_id == "watch__run1"
    assert first.skip_when_already_exists
    assert first.conf == {"servers_application": 3, "reason": "w" * 500}
    assert first.note == "w" * 600


def test_a_paused_operation_is_told_and_what_nobody_ordered_is_skipped() -> None:
    ordered = {"trigger_scale": {"conf": {}, "why": "cpu 93 % > 80 %"}}
    operator = trigger_operation.TriggerOperator(task_id="trigger_scale")
    with pytest.raises(
        trigger_operation.PausedOperationError, match=r"bookshop\.scale should run now \(cpu 93 %"
    ):
        operator.perform(
            cast("Any", {"ti": Instance(pushed=ordered, is_paused=True)}), tried("trigger_scale")
        )
    with pytest.raises(AirflowSkipException):
        operator.perform(cast("Any", {"ti": Instance()}), tried("trigger_scale"))


def test_a_breach_outlives_a_look_that_is_late_but_not_one_that_is_missing() -> None:
    every = KNOWN.watch.every if KNOWN.watch is not None else None
    assert every is not None
    kept = {"looked": "2026-11-27T10:00:00+00:00"}
    earlier = watching.load(kept)
    assert earlier is not None
    looked = earlier.when
    at = tried("watch")
    assert watching.before(earlier, looked + 3 * every, at) == looked
    assert watching.before(earlier, looked + 4 * every, at) is None
    assert watching.before(earlier, looked - every, at) is None
    assert watching.before(None, looked, at) is None
