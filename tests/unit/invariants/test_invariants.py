"""Random sequences of launches, scalings, recoveries, backups, terminations, clears, kills, backfills and losses of
state: whatever happens, three things hold (see `model`).

Any number of steps, with any seed: `python -m tests.unit.invariants STEPS SEED`.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from gantry import names
from gantry.cloud import servers as cloud_servers
from gantry.reconcile import data_renewal, server_health
from gantry.runtime import lock_holder

from . import product
from .drama import RULES, Drama, Step
from .model import DATA, SERVERS, TURNS, BrokenError
from .world import World

_STEPS = st.sampled_from([each for each in RULES for _ in range(each.weight)]).flatmap(
    lambda chosen: st.tuples(st.just(chosen.name), st.tuples(*map(st.sampled_from, chosen.arguments)))
)


class Theatre:
    """The world that is played on."""

    def __init__(self) -> None:
        self.world: World | None = None
        self.tally: collections.Counter[str] = collections.Counter()

    def current(self) -> World:
        assert self.world is not None
        return self.world

    def begin(self, on_failure: str) -> Drama:
        self.world = World(on_failure)
        return Drama(self.world)

    def end(self) -> None:
        if self.world is not None:
            self.world.close()
            self.tally += self.world.model.tally
            self.world = None

    def play(self, *steps: Step, on_failure: str = "keep") -> World:
        """One sequence. Raises BrokenError."""
        drama = self.begin(on_failure)
        for step in steps:
            drama.play(step)
        return drama.world


@pytest.fixture
def theatre() -> Iterator[Theatre]:
    found = Theatre()
    with product.connected(found.current):
        yield found
        found.end()


def test_whatever_happens_the_invariants_hold(theatre: Theatre) -> None:
    class Deployment(RuleBasedStateMachine):
        drama: Drama

        @initialize(on_failure=st.sampled_from(["keep", "remove_new"]))
        def begin(self, on_failure: str) -> None:
            theatre.end()
            self.drama = theatre.begin(on_failure)

        @rule(step=_STEPS)
        def happens(self, step: Step) -> None:
            self.drama.play(step)

        def teardown(self) -> None:
            theatre.end()

    run_state_machine_as_test(
        Deployment,
        settings=settings(
            max_examples=12,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    # Otherwise nothing has happened that could break anything.
    for what in ("launch success", "terminate success", "backup success", "recover success", "scale success"):
        assert theatre.tally[what] > 0, theatre.tally


# --- the judge: what it says of a Gantry that lacks one of its precautions -------------------------------------


LAUNCH: Step = ("launch", ("",))
FINISH: Step = ("finish", ())
LOOK: Step = ("look", ())


def without_notes(patch: pytest.MonkeyPatch) -> None:
    """Nobody remembers which slots have had data."""
    patch.setattr(data_renewal, "renewals", lambda *_, **__: ())


def without_turns(patch: pytest.MonkeyPatch) -> None:
    """Every run thinks that it is alone."""
    patch.setattr(lock_holder, "take", lambda *_: None)
    patch.setattr(lock_holder, "keep", lambda *_: None)


def with_greed(patch: pytest.MonkeyPatch) -> None:
    """Whoever terminates something takes everything."""
    terminate = cloud_servers.Servers.terminate

    def everything(cloud: cloud_servers.Servers, _: Any) -> None:
        terminate(cloud, cloud.everything().everything)

    patch.setattr(cloud_servers.Servers, "terminate", everything)


def with_haste(patch: pytest.MonkeyPatch) -> None:
    """A server that is silent for a moment is lost."""
    judge = server_health.judge

    def rash(*given: Any) -> server_health.HealthReport:
        found = judge(*given)
        return dataclasses.replace(found, lost=found.troubles, ailing=())

    patch.setattr(server_health, "judge", rash)


@pytest.mark.parametrize(
    ("careless", "steps", "broken"),
    [
        (without_notes, [LAUNCH, FINISH, ("vanish", (0,)), LAUNCH, FINISH], DATA),
        (without_turns, [LAUNCH, ("work", (0, 64)), ("scale", (2,)), ("work", (0, 64)), FINISH], TURNS),
        (with_haste, [LAUNCH, FINISH, ("reboot", (1, 20)), LAUNCH, FINISH], SERVERS),
        (with_greed, [LAUNCH, FINISH, ("scale", (2,)), FINISH, ("scale", (1,)), FINISH], SERVERS),
    ],
)
def test_the_judge_finds_what_a_careless_gantry_does(
    theatre: Theatre,
    monkeypatch: pytest.MonkeyPatch,
    careless: Callable[[pytest.MonkeyPatch], None],
    steps: list[Step],
    broken: str,
) -> None:
    theatre.play(*steps)
    theatre.end()
    careless(monkeypatch)
    with pytest.raises(BrokenError, match=broken):
        theatre.play(*steps)
    theatre.end()


# --- sequences that once broke an invariant ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_failure", "steps"),
    [
        # A backfill beside a run of the same operation, and beside another one.
        ("keep", [LAUNCH, ("backfill", (0,)), FINISH]),
        ("keep", [LAUNCH, FINISH, ("backfill", (1,)), ("terminate", ("force",)), ("backfill", (1,)), FINISH]),
        ("keep", [LAUNCH, FINISH, ("back_up", ()), ("backfill", (2,)), FINISH]),
        # The state is orphaned while a run is at work, and before the database is lost.
        ("keep", [LAUNCH, ("wait", (1, "")), ("back_up", ()), ("orphan", ()), FINISH]),
        ("keep", [LAUNCH, FINISH, ("orphan", ()), ("vanish", (0,)), LAUNCH, FINISH]),
        ("keep", [LAUNCH, FINISH, ("lose_state", ()), ("vanish", (0,)), LAUNCH, FINISH]),
        # A step of a launch that has arrived is cleared, and fails.
        ("remove_new", [LAUNCH, FINISH, ("clear", (0, 5)), ("cut", (8,)), FINISH]),
        # A dump that changes, and one that is the same in another object.
        ("keep", [LAUNCH, FINISH, ("new_dump", ()), LAUNCH, FINISH]),
        ("keep", [LAUNCH, FINISH, ("copy_dump", ()), LAUNCH, FINISH]),
        # It is silent for a moment, and long after that for another one.
        (
            "keep",
            [
                LAUNCH, FINISH, ("back_up", ()), FINISH, ("reboot", (0, 90)), LAUNCH, FINISH,
                ("wait", (70, "")), ("reboot", (0, 90)), LAUNCH, FINISH,
            ],
        ),
        # It is deleted while the first run of all takes its turn.
        ("keep", [LAUNCH, ("work", (1, 16)), ("work", (0, 4)), ("scale", (1,)), ("orphan", ()), FINISH]),
        # A person has said what data begins from of which nothing is noted, and that run does not come so far.
        *(
            (
                on_failure,
                [
                    LAUNCH, FINISH, ("back_up", ()), FINISH, ("terminate", ("force",)), FINISH, ("lose_state", ()),
                    ("launch", (said,)), ("cut", (8,)), FINISH, LAUNCH, FINISH,
                ],
            )
            for on_failure in ("keep", "remove_new") for said in ("from_dump", "from_backup")
        ),
        # A load comes to its end while nobody sees it, and its server is taken back.
        ("remove_new", [LAUNCH, ("wait", (1, "")), ("cut", (8,)), LAUNCH, FINISH]),
        # A server without data comes back when another one has taken its slot already.
        (
            "keep",
            [
                LAUNCH, FINISH, ("reboot", (1, 1200)), LAUNCH, FINISH, ("wait", (7, "watched")),
                ("wait", (7, "watched")), ("wait", (1, "")), ("wait", (1, "")), LOOK, FINISH, LOOK, FINISH,
                ("recover", (0, "")), FINISH,
            ],
        ),
    ],
)  # fmt: skip
def test_what_once_went_wrong(theatre: Theatre, on_failure: str, steps: list[Step]) -> None:
    theatre.play(*steps, on_failure=on_failure)
    theatre.end()


def test_a_lost_database_begins_from_its_newest_backup(theatre: Theatre) -> None:
    steps = [LAUNCH, FINISH, ("write", ()), ("back_up", ()), FINISH, ("vanish", (0,)), LAUNCH, FINISH]
    world = theatre.play(*steps)
    (held,) = (content for machine in world.alive() for content in machine.data.values())
    assert held is not None
    assert held.writes == 1
    assert world.airflow.runs[-1].operation is names.Operation.LAUNCH
    assert world.airflow.runs[-1].state == "success"
