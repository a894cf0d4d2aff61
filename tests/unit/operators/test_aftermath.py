"""Which steps of a run have failed, as the task that cleans up behind them sees it."""

from __future__ import annotations

import types
from typing import Any

import pytest
from tests.unit.dag.definitions import HEAD, WEB, service

from gantry import definition, plan
from gantry.operators import aftermath, chosen, termination

SHOP = HEAD + WEB + f"services: {{db: {service(1, 'web', data='main')}}}\n"


@pytest.mark.parametrize(
    ("states", "failed"),
    [
        ({"finish_launch": "upstream_failed", "tier-web.scale_up": "success"}, ()),
        ({"tier-web.scale_up": "failed", "tier-web.handshake": "upstream_failed"}, ("tier-web.scale_up",)),
        ({"tier-web.handshake_0": "success", "tier-web.handshake_11": "failed"}, ("tier-web.handshake",)),
        ({"service-db.configure_0": None, "service-db.configure_1": "skipped"}, ()),
    ],
)
def test_a_step_has_failed_when_one_of_its_tasks_has(
    states: dict[str, str | None], failed: tuple[str, ...]
) -> None:
    instance = types.SimpleNamespace(dag_id="shop", get_task_states=lambda **_: {"r": states})
    run: Any = types.SimpleNamespace(id="r", plan=plan.launch_plan(definition.loads(SHOP)))
    context: Any = {"ti": instance}
    assert aftermath.failed_steps(context, run) == failed


def test_the_aftermath_waits_for_every_step_and_is_none_of_them() -> None:
    assert plan.launch_plan(definition.loads(SHOP)).aftermath is None
    found = plan.launch_plan(definition.loads(f"on_failure: remove_new\n{SHOP}"))
    assert found.aftermath is not None
    assert found.aftermath not in found.steps
    assert set(found.aftermath.upstream) == {step.id for step in found} - {"finish_launch"}
    assert found.by_id[found.aftermath.id] is found.aftermath


def test_a_scaling_that_fails_has_the_same_aftermath_behind_all_of_its_own_steps() -> None:
    assert plan.scale_plan(definition.loads(SHOP)).aftermath is None
    found = plan.scale_plan(definition.loads(f"on_failure: remove_new\n{SHOP}"))
    assert found.aftermath is not None
    assert set(found.aftermath.upstream) == {step.id for step in found} - {"finish_launch"}


def test_what_the_new_servers_held_is_forgotten_also_if_the_wait_for_their_end_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[object] = []
    new = types.SimpleNamespace(instance_id="i-1", name="shop-web-1", tier="web", state="running")
    steps = plan.launch_plan(definition.loads(f"on_failure: remove_new\n{SHOP}"))
    cloud = types.SimpleNamespace(started_by=lambda _: [new], terminate=told.append)
    run: Any = types.SimpleNamespace(id="r", plan=steps, cloud=cloud, inventory=[new], digest="d")

    def still_there(*_: object) -> None:
        raise termination.StillThereError(new.tier, ("i-1",), 300)

    monkeypatch.setattr(chosen, "memory", lambda _: types.SimpleNamespace(forget=told.append))
    monkeypatch.setattr(termination, "await_end", still_there)
    monkeypatch.setattr(aftermath, "failed_steps", lambda *_: ("tier-web.handshake",))
    operator = aftermath.RemoveNewServersOperator(task_id="remove_new_servers")
    with pytest.raises(termination.StillThereError):
        operator.perform({}, run)
    assert told == [frozenset({"i-1"}), [new]]
