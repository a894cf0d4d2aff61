"""Nobody is told of a deployment of which the cloud does not list all servers yet."""

from __future__ import annotations

import dataclasses
import datetime
import types
from collections.abc import Callable
from typing import Any, cast

import pytest

from gantry import definition, inventory, names, plan
from gantry.cloud import eventual_listing, instance_start
from gantry.cloud import servers as cloud_servers
from gantry.operators import base, scale_up, wait_for_turn
from gantry.reconcile import step_run, step_work
from gantry.runtime import lock_holder, recent_starts, task_run
from tests.unit.agent.world import DEFINITION
from tests.unit.operators.test_scaling import servers
from tests.unit.operators.world import Instance, Store

KNOWN = definition.loads(DEFINITION)
NOW = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
APPLICATION = names.TierName("application")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    found = Store()
    monkeypatch.setattr(lock_holder, "store", lambda _: found)
    return found


class Try(Instance):
    """A task instance."""

    dag_id = "bookshop"
    run_id = "manual__1"
    try_number = 2
    max_tries = 7
    map_index = -1

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id

    def xcom_push(self, key: str, value: Any) -> None:
        assert key == "report"
        assert value["servers"]

    def xcom_pull(self, *, task_ids: list[str] | str, key: str) -> Any:
        """Nothing is lost, and the run is the first of its id."""
        if (task_ids, key) == ("turn", "life"):
            return None
        assert (task_ids, key) == (["find_lost"], "return_value")
        return []


def at(step: str, steps: plan.Plan | None = None) -> tuple[step_run.StepRun, Any]:
    """A try of a step, as Airflow runs it; and its context."""
    compiled = step_run.DagPayload(KNOWN, steps or plan.launch_plan(KNOWN), names.Operation.LAUNCH)
    context: Any = {
        "dag": types.SimpleNamespace(user_defined_macros={task_run.MACRO: compiled}),
        "ti": Try(step),
        "dag_run": types.SimpleNamespace(
            run_id="manual__1", run_type="manual", run_after=NOW, start_date=NOW, clear_number=0
        ),
        "params": {},
    }
    return recent_starts.aware(task_run.run_of(context)), context


class Late:
    """A cloud that lists some servers, and others not yet."""

    def __init__(self, *there: inventory.Server) -> None:
        self.there = inventory.Inventory(there)

    def find_with(self, instances: frozenset[str]) -> inventory.Inventory:
        missing = sorted(instances - {each.instance_id for each in self.there})
        if missing:
            raise eventual_listing.NotListedYetError(KNOWN.deployment, missing)
        return self.there


def noted(*instances: str, minutes: float = 0) -> dict[str, str]:
    moment = datetime.datetime.now(tz=datetime.UTC) - datetime.timedelta(minutes=minutes)
    return {each: moment.isoformat() for each in instances}


TELLING = [
    "service-app.grant_access_on_db",
    "service-db.configure",
    "service-app.configure",
    "service-app.update",
    "balancer-front.start_proxy",
]
"""Steps that tell servers of others."""


@pytest.mark.parametrize("step", TELLING)
def test_no_step_tells_of_fewer_servers_than_were_started(step: str, store: Store) -> None:
    store[recent_starts.key(APPLICATION)] = noted("i-application-2")
    run, _ = at(step)
    run.__dict__["cloud"] = Late(*servers(1))
    with pytest.raises(eventual_listing.NotListedYetError, match="i-application-2") as raised:
        step_work.decide(run)
    assert raised.value.transient


def test_a_server_of_last_week_is_not_waited_for(store: Store) -> None:
    store[recent_starts.key(APPLICATION)] = noted("i-application-2", minutes=20)
    run, _ = at(TELLING[0])
    run.__dict__["cloud"] = Late(*servers(1))
    assert run.inventory.servers == servers(1)


def test_a_scale_up_waits_for_its_own_tiers_servers_alone(store: Store) -> None:
    store[recent_starts.key(APPLICATION)] = noted("i-application-2")
    store[recent_starts.key(names.TierName("proxy"))] = {"what": "another Gantry has written"}
    assert at("tier-database.scale_up")[0].started() == frozenset()
    assert at("tier-application.scale_up")[0].started() == {"i-application-2"}
    # Another operation waits as well: it must not take the place of a server for free.
    assert at("ask_servers", plan.termination_plan(KNOWN))[0].started() == {"i-application-2"}


class Asked(Store):
    """Remembers what it was asked for, and lets something happen before a value is written."""

    def __init__(self) -> None:
        self.asked_for: list[str] = []
        self.before: dict[str, Callable[[], None]] = {}

    def get(self, key: str, default: Any = None) -> Any:
        self.asked_for.append(key)
        return super().get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.before.pop(key, lambda: None)()
        super().set(key, value)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    found = Asked()
    monkeypatch.setattr(lock_holder, "store", lambda _: found)
    return found


def test_a_step_of_a_run_that_starts_nothing_reads_one_value(asked: Asked) -> None:
    asked[recent_starts.key(APPLICATION)] = noted("i-old", minutes=20) | noted("i-young", minutes=5)
    recent_starts.sum_up(at("turn")[0])
    asked.asked_for.clear()
    assert at(TELLING[0])[0].started() == {"i-young"}
    assert asked.asked_for == [recent_starts.SUM]


def test_the_run_whose_turn_it_is_sums_up(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    asked[recent_starts.key(APPLICATION)] = noted("i-young")
    run, context = at("turn")
    operator = wait_for_turn.TurnOperator(task_id="turn")
    monkeypatch.setattr(operator, "_look", lambda _: None)
    monkeypatch.setattr(lock_holder, "secure", lambda *_: None)
    monkeypatch.setattr(lock_holder, "take", lambda *_: None)
    operator._take(context, run)
    assert sorted(asked[recent_starts.SUM]) == ["i-young"]


def test_what_is_started_after_the_sum_was_made_is_waited_for_as_well(asked: Asked) -> None:
    asked[recent_starts.key(names.TierName("proxy"))] = noted("i-proxy-1")
    recent_starts.sum_up(at("turn")[0])
    recent_starts.note(at("tier-application.scale_up")[0], servers(1))
    assert at(TELLING[0])[0].started() == {"i-proxy-1", "i-application-1"}


def test_a_start_that_is_noted_by_a_run_that_has_lost_its_turn_is_not_missed(asked: Asked) -> None:
    # The next run sums up just before this one writes its record.
    asked.before[recent_starts.key(APPLICATION)] = lambda: recent_starts.sum_up(at("turn")[0])
    recent_starts.note(at("tier-application.scale_up")[0], servers(1))
    assert at(TELLING[0])[0].started() == {"i-application-1"}


def test_every_operator_is_aware_of_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store[recent_starts.key(APPLICATION)] = noted("i-application-2")

    class Operator(base.StepOperator):
        def perform(self, context: Any, run: step_run.StepRun) -> Any:
            assert context["params"] == {}
            return run.started()

    monkeypatch.setattr(lock_holder, "keep", lambda *_: None)
    assert Operator(task_id=TELLING[0]).execute(at(TELLING[0])[1]) == {"i-application-2"}


class Cloud:
    """A cloud that starts servers, and then fails or not."""

    def __init__(self, kept: tuple[inventory.Server, ...], new: tuple[inventory.Server, ...]) -> None:
        self.kept, self.new = kept, new
        self.orders: list[instance_start.StartOrder] = []
        self.fails = False

    def find_with(self, _: frozenset[str]) -> inventory.Inventory:
        return inventory.Inventory(self.kept)

    def scale_up(self, tier: names.TierName, wanted: int, *given: Any) -> cloud_servers.Scaling:
        order: instance_start.StartOrder = given[2]
        self.orders.append(order)
        order.tell(self.new)
        if self.fails:
            raise eventual_listing.NotListedYetError(KNOWN.deployment, ["i-x"])
        return cloud_servers.Scaling(tier, len(self.kept), wanted, 2, self.new, (), self.kept)


def scaled(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> step_run.StepRun:
    login = types.SimpleNamespace(authorized_key=lambda: "ssh-ed25519 AAAA", user="deploy")
    monkeypatch.setattr(step_run.StepRun, "access", lambda _: types.SimpleNamespace(login=login))
    run, context = at("tier-application.scale_up")
    run.__dict__["cloud"] = cloud
    scale_up.ScaleUpOperator(task_id="tier-application.scale_up").perform(cast("Any", context), run)
    return run


@pytest.mark.usefixtures("store")
def test_a_scale_up_notes_what_it_starts_also_if_it_fails_then(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud((), servers(1))
    cloud.fails = True
    with pytest.raises(eventual_listing.NotListedYetError):
        scaled(cloud, monkeypatch)
    assert at(TELLING[0])[0].started() == {"i-application-1"}
    # Somebody clears it at once: the next generation has another token, and knows of the server.
    scaled(again := Cloud((), servers(2)), monkeypatch)
    assert again.orders[0].before == {"i-application-1"}
    assert at(TELLING[0])[0].started() == {"i-application-1", "i-application-2"}


def test_notes_grow_old_and_go(store: Store) -> None:
    store[recent_starts.key(APPLICATION)] = noted("i-old", minutes=20) | noted("i-young", minutes=5)
    recent_starts.note(at("tier-application.scale_up")[0], servers(1))
    assert sorted(store[recent_starts.key(APPLICATION)]) == ["i-application-1", "i-young"]


@pytest.mark.usefixtures("store")
def test_the_clouds_token_knows_the_run_and_how_often_the_task_was_cleared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cloud = Cloud((), servers(1, 2))
    run = scaled(cloud, monkeypatch)
    (order,) = cloud.orders
    assert (order.run, order.generation) == (run.digest, str(Try.max_tries))


def test_full_subnets_are_remembered_until_the_step_is_cleared(store: Store) -> None:
    run, _ = at("tier-application.scale_up")
    assert recent_starts.full(run) == frozenset()
    recent_starts.note_full(run, frozenset({"subnet-a"}))
    assert recent_starts.full(run) == {"subnet-a"}
    cleared = dataclasses.replace(run, key=dataclasses.replace(run.key, epoch="another"))
    assert recent_starts.full(cleared) == frozenset()
    store[recent_starts.key_full(APPLICATION)] = {"what": "another Gantry has written"}
    assert recent_starts.full(run) == frozenset()
