"""The table of step kinds: a kind that is left out of it, or of what goes with it, is noticed here."""

from __future__ import annotations

import pathlib

import pytest

from gantry import definition, plan
from gantry.names import Operation, StepKind
from gantry.operators import registry, watch
from gantry.plan import Effect, Requirement
from gantry.plan.steps import DEPLOYMENT, Group, GroupKind, Step
from gantry.preview import explain
from gantry.reconcile import step_work

BOOKSHOP = pathlib.Path(__file__).parents[1] / "bookshop.yaml"
EVERYTHING = (
    "approval: {}\nwatch: {every: 1m, replace: true}\n"
    "backups: {of: {rows: db.catalog}, to: s3://shop/backups/, drill: {}}\n"
)


@pytest.fixture(scope="module")
def plans() -> dict[Operation, plan.Plan]:
    known = definition.loads(f"{BOOKSHOP.read_text()}\n{EVERYTHING}")
    return {each: plan.plan_of(known, each) for each in Operation}


def test_every_kind_has_its_row() -> None:
    assert list(plan.STEP_KINDS) == list(StepKind)


def test_every_kind_has_its_operator_but_the_question_that_airflow_asks() -> None:
    assert set(registry.OPERATORS) == set(StepKind) - {StepKind.APPROVE}


def test_every_kind_that_a_plan_shows_is_decided_and_explained() -> None:
    previewed = {kind for kind, facts in plan.STEP_KINDS.items() if facts.previewed}
    assert previewed == set(explain.WORDS)
    assert previewed <= set(step_work.DECISIONS)


def test_every_kind_that_starts_an_operation_has_who_decides_about_it() -> None:
    assert set(plan.TRIGGERED) == set(watch.DECIDERS)
    assert next(iter(plan.TRIGGERED)) is StepKind.TRIGGER_RECOVER, "lost servers go first"


def test_one_step_of_each_plan_carries_the_definition(plans: dict[Operation, plan.Plan]) -> None:
    for operation, found in plans.items():
        assert sum(step.facts.carries_definition for step in found) == 1, operation


def test_whatever_changes_something_comes_after_the_turn(plans: dict[Operation, plan.Plan]) -> None:
    for operation, found in plans.items():
        kinds = [step.kind for step in found]
        if operation in plan.READ_ONLY:
            assert all(plan.STEP_KINDS[kind].effect is Effect.LOOKS for kind in kinds)
            continue
        before = kinds[: kinds.index(StepKind.TURN)]
        assert all(plan.STEP_KINDS[kind].effect is Effect.ASKS for kind in before), operation


def test_questions_are_never_among_what_runs_on_servers() -> None:
    for kind, facts in plan.STEP_KINDS.items():
        if facts.per_server or facts.previewed:
            assert facts.effect is Effect.CHANGES, kind
        if facts.row:
            assert facts.per_server, kind


def test_only_a_kind_without_a_phase_has_that_of_its_service() -> None:
    service = Group(GroupKind.SERVICE, "app")
    late = plan.Phase.CONFIGURE_DEPENDENCIES
    configure = Step("service-app.configure", StepKind.CONFIGURE, service, service_phase=late)
    finish = Step("finish_launch", StepKind.FINISH_LAUNCH, DEPLOYMENT, service_phase=late)
    assert (configure.phase, finish.phase) == (late, plan.Phase.START_PROXY)


def test_new_servers_are_the_only_ones_that_are_not_logged_in_to() -> None:
    starting = [kind for kind, facts in plan.STEP_KINDS.items() if Requirement.NEW_SERVERS in facts.needs]
    assert starting == [StepKind.SCALE_UP]
