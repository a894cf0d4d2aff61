"""Steps that a launch skips: never one after a step with something to do, nor one that others need."""

from __future__ import annotations

import pytest

from gantry import definition, names
from gantry.plan import Plan, StepKind, launch_plan
from gantry.preview import needless, report

from .stages import DEFINITION

PLAN = launch_plan(definition.loads(DEFINITION))
ALWAYS = {StepKind.TURN, StepKind.FIND_LOST, StepKind.START_PROXY, StepKind.FINISH_LAUNCH}


def after(plan: Plan, first: str) -> set[str]:
    """A step and all that come after it."""
    found = {first}
    for step in plan:
        if found.intersection(step.upstream):
            found.add(step.id)
    return found


def change(step: str) -> report.Change:
    return report.Change(step, PLAN.by_id[step].kind, names.ServerName("bookshop-database-1"))


@pytest.mark.parametrize("busy", [step.id for step in PLAN])
def test_neither_a_step_with_something_to_do_nor_one_after_it_is_skipped(busy: str) -> None:
    skipped = needless.needless_steps(PLAN, [change(busy)])

    assert skipped.isdisjoint(after(PLAN, busy))
    # All others are, but for what tells a step its servers.
    told = {step.tier for step in PLAN if step.per_server and step.id not in skipped}
    kept = {step.id for step in PLAN if step.kind is StepKind.SCALE_UP and step.tier in told}
    every = {step.id for step in PLAN if step.kind not in ALWAYS}
    assert skipped == every - after(PLAN, busy) - kept


def test_servers_are_told_where_a_step_works_on_them_and_nowhere_else() -> None:
    skipped = needless.needless_steps(PLAN, [change("service-app.configure")])

    assert "tier-database.scale_up" in skipped
    assert {"tier-application.scale_up", "tier-proxy.scale_up"}.isdisjoint(skipped)


def test_a_dump_that_is_held_back_is_told_by_the_step_that_does_not_load_it() -> None:
    held = report.ChangedObject(
        report.ObjectKind.DATASOURCE, "db.catalog", "s3://bookshop/datasource.sql", (), held=True
    )

    skipped = needless.needless_steps(PLAN, [], [held])

    assert skipped.isdisjoint(after(PLAN, "service-db.install_datasources"))
    assert "tier-database.install_services" in skipped


def test_every_step_that_may_follow_a_skipped_one_runs_all_the_same() -> None:
    """By Airflow's trigger rule, else Airflow would skip it too."""
    for step in PLAN:
        expected = step.kind not in {*ALWAYS, StepKind.SCALE_UP} - {StepKind.START_PROXY}
        assert step.after_left_out is expected, step.id
