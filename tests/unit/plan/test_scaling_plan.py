"""The plan of a scaling: a launch's, with a choice before it and a farewell after it."""

from __future__ import annotations

from gantry import definition, plan
from gantry.plan import StepKind


def test_who_leaves_is_released_before_a_launch_s_first_step_and_retired_after_its_last(
    bookshop: definition.Definition,
) -> None:
    found = plan.scale_plan(bookshop)
    release, retire = "balancer-front.release_nodes", "tier-application.retire_servers"
    assert [step.id for step in found.steps[:3]] == ["turn", "find_lost", "choose_servers"]
    assert found.by_id[release].upstream == ("choose_servers",)
    assert (found.by_id[release].tier, found.by_id[release].service) == ("proxy", "app")
    for step in found:
        if step.kind is StepKind.SCALE_UP:
            assert step.upstream == (release,)
    assert found.by_id[retire].upstream == ("balancer-front.start_proxy",)
    assert found.by_id["finish_launch"].upstream == (retire,)


def test_in_between_it_is_the_launch(bookshop: definition.Definition) -> None:
    of_scaling = (StepKind.CHOOSE_SERVERS, StepKind.RELEASE_NODES, StepKind.RETIRE_SERVERS)
    between = [step.id for step in plan.scale_plan(bookshop) if step.kind not in of_scaling]
    assert sorted(between) == sorted(step.id for step in plan.launch_plan(bookshop))


def test_only_tiers_that_may_have_several_numbers_are_scaled(bookshop_text: str) -> None:
    assert plan.scalable(definition.loads(bookshop_text)) == ("application",)
    fixed = definition.loads(bookshop_text.replace("{min: 2, max: 6}", "2"))
    assert plan.scalable(fixed) == ()


def test_where_a_person_is_asked_nothing_is_chosen_before(bookshop_text: str) -> None:
    found = plan.scale_plan(definition.loads(f"{bookshop_text}approval: {{}}\n"))
    assert found.by_id["choose_servers"].upstream == ("find_lost",)
    assert found.by_id["find_lost"].upstream == ("turn",)
    assert found.by_id["turn"].upstream == ("approve",)


def test_a_tier_that_no_balancer_knows_waits_for_the_choice_alone(bookshop_text: str) -> None:
    text = bookshop_text[: bookshop_text.index("load_balancers:")]
    found = plan.scale_plan(definition.loads(text))
    assert found.by_id["tier-application.scale_up"].upstream == ("choose_servers",)
