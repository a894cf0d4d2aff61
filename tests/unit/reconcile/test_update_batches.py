"""Batches of an update: whatever the numbers, everybody has a turn and enough go on serving."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantry import names
from gantry.definition import models
from gantry.reconcile import update_batches

APP = names.ServiceName("app")


@st.composite
def deployments(draw: st.DrawFn) -> tuple[update_batches.Node, ...]:
    facts = draw(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
    return tuple(
        # What does not serve has something to be done, as in life: a restart.
        update_batches.Node(names.ServerName(f"app-{slot}"), serves, outdated or not serves)
        for slot, (serves, outdated) in enumerate(facts, start=1)
    )


amounts = st.one_of(st.integers(1, 50), st.integers(1, 100).map(lambda share: f"{share}%"))
settings = st.builds(models.Update, batch=amounts, min_healthy=st.one_of(st.none(), amounts))


@given(deployments(), settings)
def test_everybody_has_one_turn_and_enough_serve_at_any_time(
    nodes: tuple[update_batches.Node, ...], update: models.Update
) -> None:
    size, healthy = update.batch_of(len(nodes)), update.healthy_of(len(nodes))
    able = sum(node.serves or node.outdated for node in nodes)
    if able <= healthy and any(node.serves and node.outdated for node in nodes):
        assert update.min_healthy is not None, "what is left out can be kept always"
        with pytest.raises(update_batches.TooFewHealthyError):
            update_batches.batches(APP, nodes, size, healthy)
        return
    batches = update_batches.batches(APP, nodes, size, healthy)
    outdated = [node.name for node in nodes if node.outdated]
    turns = [name for batch in batches for name in batch]
    assert sorted(turns) == sorted(outdated)
    serving = {node.name for node in nodes if node.serves}
    for batch in batches:
        assert 1 <= len(batch) <= size
        left = serving.difference(batch)
        # Who serves nobody can be taken at any time; who serves only while enough others do.
        assert len(left) >= healthy or not serving.intersection(batch)
        serving |= set(batch)


@given(deployments(), settings)
def test_those_that_serve_nobody_are_first_and_the_order_stays(
    nodes: tuple[update_batches.Node, ...], update: models.Update
) -> None:
    turns = [
        name for batch in update_batches.batches(APP, nodes, update.batch_of(len(nodes)), 0) for name in batch
    ]
    idle = [node.name for node in nodes if node.outdated and not node.serves]
    assert turns == idle + [node.name for node in nodes if node.outdated and node.serves]


@given(settings, st.integers(1, 200))
def test_an_amount_is_at_least_one_and_at_most_all(update: models.Update, servers: int) -> None:
    assert 1 <= update.batch_of(servers) <= servers
    assert update.healthy_of(servers) >= 0
    if update.min_healthy is None:
        assert update.healthy_of(servers) + update.batch_of(servers) == servers


def test_shares_are_rounded_to_the_careful_side() -> None:
    update = models.Update(batch="25%", min_healthy="50%")
    assert [update.batch_of(servers) for servers in (1, 3, 4, 7, 8)] == [1, 1, 1, 1, 2]
    assert [update.healthy_of(servers) for servers in (1, 3, 4, 7, 8)] == [1, 2, 2, 4, 4]


def test_where_too_few_serve_none_leaves_and_the_numbers_are_said() -> None:
    nodes = [
        update_batches.Node(names.ServerName(f"app-{slot}"), serves=True, outdated=True) for slot in (1, 2)
    ]
    with pytest.raises(
        update_batches.TooFewHealthyError, match=r"2 of its servers are healthy, min_healthy requires 2"
    ):
        update_batches.batches(APP, nodes, 1, 2)
