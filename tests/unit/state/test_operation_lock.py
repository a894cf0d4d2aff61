"""All interleavings of small numbers of operations: never two at work, and nobody waits for ever.

The protocol's own generators are played, request by request; the world around them is a model of Airflow: which runs
of each operation are running, and what the marks say. A run may end at any moment, and start over where a person clears
it. Two runs of one operation may be running at once, as those of backfills are.
"""

from __future__ import annotations

import collections
import enum
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import pytest

from gantry import names
from gantry.state import operation_lock

T = TypeVar("T")
_THINGS: dict[Any, Any] = {}
_REQUESTS: dict[int, object] = {}
_UNKNOWN = object()


class Operation(enum.StrEnum):
    """As `names.Operation`, with as many members as there will ever be need of here."""

    LAUNCH = "launch"
    TERMINATE = "terminate"
    SCALE = "scale"


class Beside(enum.StrEnum):
    """Operations of which one has servers of its own."""

    LAUNCH = "launch"
    TERMINATE = "terminate"
    DRILL = "drill"


@pytest.fixture(autouse=True)
def three_operations(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(names, "Operation", Operation)
    yield
    heard.cache_clear()
    _REQUESTS.clear()
    _THINGS.clear()


class Life(enum.StrEnum):
    """What the latest run does. Texts, as these are looked up millions of times and know their hash."""

    NONE = "no run yet"
    ASKS = "its turn task runs"
    WAITS = "its turn task is deferred"
    CLEARED = "it was over, and a step of it runs anew"
    WORKS = "it works"
    OVER = "it is over"

    @property
    def is_running(self) -> bool:
        return self in (Life.ASKS, Life.WAITS, Life.CLEARED, Life.WORKS)


class Actor(NamedTuple):
    """Runs of an operation, one after the other: the latest one, and what was answered to the function that it is in.

    Attributes:
        name: which one of the actors of its operation it is.
        newest: how many runs there have been.
        begun: how often runs have begun.
    """

    operation: Operation | Beside
    name: str = ""
    life: Life = Life.NONE
    run: int = 0
    newest: int = 0
    begun: int = 0
    heard: tuple[operation_lock.Answer, ...] = ()

    @property
    def asker(self) -> operation_lock.LockApplicant:
        return operation_lock.LockApplicant(
            names.Operation(self.operation), f"{self.name}{self.run}", str(self.begun)
        )


Marks = tuple[tuple[Operation | Beside, operation_lock.LockMark | None], ...]
Step = tuple["World", bool]
"""What may come next, and whether it comes by itself, with no run dying and nobody clearing one."""


class World(NamedTuple):
    """Everything at one moment."""

    actors: tuple[Actor, ...]
    marks: Marks

    @property
    def at_work(self) -> list[Actor]:
        return [each for each in self.actors if each.life is Life.WORKS]

    def mark(self, operation: str) -> operation_lock.LockMark | None:
        return next((mark for each, mark in self.marks if each == operation), None)

    def with_mark(self, operation: Operation | Beside, mark: operation_lock.LockMark) -> World:
        marks = tuple((each, mark if each is operation else old) for each, old in self.marks)
        return World(self.actors, the_one(marks))

    @property
    def key(self) -> tuple[int, ...]:
        """What tells worlds apart: all that is in them is there once."""
        return (id(self.marks), *map(id, self.actors))

    def running(self, operation: str) -> list[str]:
        """The ids of an operation's runs that are running."""
        return [
            each.asker.run for each in self.actors if each.operation == operation and each.life.is_running
        ]

    def with_actor(self, place: int, **changes: Any) -> World:
        actors = list(self.actors)
        actors[place] = the_one(actors[place]._replace(**changes))
        return World(tuple(actors), self.marks)


def the_one(thing: T) -> T:
    """The same thing each time for what is equal: so its hash, most of the work here, is made once."""
    found: T = _THINGS.setdefault(thing, thing)
    return found


@functools.cache
def heard(
    function: Callable[..., operation_lock.Asking],
    asker: operation_lock.LockApplicant,
    answers: tuple[operation_lock.Answer, ...],
) -> object:
    """What the protocol wants after these answers: a request, a Busy, or None when it is the run's turn."""
    asking = function(asker, "")
    try:
        request = next(asking)
        for answer in answers:
            request = asking.send(answer)
    except StopIteration as end:
        return end.value
    return request


def next_request(actor: Actor) -> object:
    """What the function that a run is in wants next."""
    # Found by the actor itself, which is there once: to look for its answers takes longer.
    if (known := _REQUESTS.get(id(actor), _UNKNOWN)) is not _UNKNOWN:
        return known
    function = operation_lock.ask if actor.life is Life.ASKS else operation_lock.keep
    found = heard(function, actor.asker, actor.heard)
    _REQUESTS[id(actor)] = found
    return found


def steps(world: World, runs: int, clears: Operation | Beside | None) -> Iterator[Step]:
    """All that may happen next. Of the operation `clears`, a person clears a run that is over, but once."""
    for place, actor in enumerate(world.actors):
        if actor.life.is_running:
            # Its task fails, its process is killed, a person marks or deletes the run; or it is done.
            yield world.with_actor(place, life=Life.OVER, heard=()), actor.life is Life.WORKS
            if actor.life in (Life.ASKS, Life.CLEARED):
                yield goes_on(world, place, actor), True
            if actor.life is Life.WAITS:
                # A triggerer that was frozen wakes up, and has seen something that is long past.
                asks_again = world.with_actor(place, life=Life.ASKS)
                found = looks(world, actor)
                yield asks_again, found is None
                if found is not None and found.mark is None:
                    # No run of the operation has its mark, so one of them gives up after a while.
                    yield world.with_actor(place, life=Life.OVER), True
            continue
        if actor.newest < runs:
            begins = {"run": actor.newest, "newest": actor.newest + 1, "begun": actor.begun + 1}
            yield world.with_actor(place, life=Life.ASKS, heard=(), **begins), True
        if actor.operation is clears and actor.begun == actor.newest:
            for run in range(actor.newest):
                yield (
                    world.with_actor(place, life=Life.CLEARED, heard=(), run=run, begun=actor.begun + 1),
                    False,
                )


def looks(world: World, actor: Actor) -> operation_lock.LockedBy | None:
    """What the triggerer finds, which only reads: whom the run waits for, or that there is something to do."""
    answers: tuple[operation_lock.Answer, ...] = ()
    while True:
        match heard(operation_lock.ask, actor.asker, answers):
            case operation_lock.LockedBy() as busy:
                return busy
            case operation_lock.Write() | None:
                return None
            case request:
                answers = (*answers, answer(world, request))


def answer(world: World, request: object) -> operation_lock.Answer:
    """What a run is told that wants to know something."""
    match request:
        case operation_lock.Read(operation):
            return world.mark(operation)
        case operation_lock.IsRunning(operation, run):
            running = world.running(operation)
            return bool(running) if run is None else run in running
        case operation_lock.IsAlone(operation, run):
            return world.running(operation) == [run]
    raise TypeError(request)


def goes_on(world: World, place: int, actor: Actor) -> World:
    """One request of a run is answered."""
    match next_request(actor):
        case operation_lock.Write(mark):
            world = world.with_mark(actor.operation, mark)
            return world.with_actor(place, heard=(*actor.heard, None))
        case None:
            return world.with_actor(place, life=Life.WORKS, heard=())
        case operation_lock.LockedBy():
            # Whoever asks waits in the triggerer; a step that was cleared fails, and its run with it.
            after = Life.WAITS if actor.life is Life.ASKS else Life.OVER
            return world.with_actor(place, life=after, heard=())
        case request:
            return world.with_actor(place, heard=(*actor.heard, answer(world, request)))


def explore(
    operations: Sequence[Operation | Beside], *, runs: int = 1, clears: Operation | Beside | None = None
) -> int:
    """Go everywhere; how many different worlds there are.

    In each, one run at most works (a launch and a drill may at the same time), and it can still come to a good end:
    everything has run and is over, without that a run had to die.
    """
    actors = (
        the_one(Actor(each, "" if operations.index(each) == place else "b"))
        for place, each in enumerate(operations)
    )
    first = World(tuple(actors), the_one(tuple((each, None) for each in dict.fromkeys(operations))))
    # Worlds are large: each is looked up once, and is a number from then on.
    numbers = {first.key: 0}
    worlds = [first]
    before: list[list[int]] = [[]]
    for number, world in enumerate(worlds):
        at_work = [each.operation.value for each in world.at_work]
        assert len(at_work) <= 1 or sorted(at_work) == ["drill", "launch"], world
        for after, by_itself in steps(world, runs, clears):
            place = numbers.setdefault(after.key, len(worlds))
            if place == len(worlds):
                worlds.append(after)
                before.append([])
            if by_itself:
                before[place].append(number)
    queue = collections.deque(
        number
        for number, each in enumerate(worlds)
        if all(actor.life is Life.OVER and actor.newest == runs for actor in each.actors)
    )
    assert queue
    reaches_end = set(queue)
    while queue:
        for number in before[queue.popleft()]:
            if number not in reaches_end:
                reaches_end.add(number)
                queue.append(number)
    stuck = (world for number, world in enumerate(worlds) if number not in reaches_end)
    assert len(reaches_end) == len(worlds), next(stuck)
    return len(worlds)


TWO = [Operation.TERMINATE, Operation.LAUNCH]
THREE = [*TWO, Operation.SCALE]
TWICE = [Operation.LAUNCH, Operation.LAUNCH]


def test_two_operations_whose_runs_come_and_go() -> None:
    assert explore(TWO, runs=2) > 10_000


@pytest.mark.parametrize("clears", TWO)
def test_two_operations_of_one_of_which_a_person_clears_an_old_run(clears: Operation) -> None:
    assert explore(TWO, runs=2, clears=clears) > 20_000


def test_three_operations() -> None:
    assert explore(THREE) > 50_000


def test_two_runs_of_one_operation() -> None:
    assert explore(TWICE, runs=2) > 1_000


def test_two_runs_of_one_operation_beside_another_operation() -> None:
    assert explore([Operation.TERMINATE, *TWICE], clears=Operation.LAUNCH) > 50_000


def test_a_drill_goes_beside_a_launch_and_meets_no_termination(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "Operation", Beside)
    assert explore([Beside.TERMINATE, Beside.LAUNCH, Beside.DRILL], clears=Beside.DRILL) > 20_000
    assert explore([Beside.TERMINATE, Beside.DRILL], runs=2, clears=Beside.DRILL) > 5_000


def test_a_termination_goes_first_and_the_others_as_they_are_listed() -> None:
    assert [str(each) for each in operation_lock.order()] == [str(each) for each in THREE]


def test_a_drill_is_nobody_a_look_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "Operation", Beside)

    def looking(*works: str) -> operation_lock.LockedBy | None:
        asking = operation_lock.look()
        answer: operation_lock.Answer = None
        while True:
            try:
                request = asking.send(answer)
            except StopIteration as end:
                found: operation_lock.LockedBy | None = end.value
                return found
            answer = None
            match request:
                case operation_lock.Read(operation) if operation.value in works:
                    answer = operation_lock.LockMark(
                        run="r", begun="b", stage=operation_lock.LockStage.WORKS, since="s"
                    )
                case operation_lock.IsRunning():
                    answer = True

    busy = looking("launch")
    assert busy is not None
    assert busy.operation.value == "launch"
    assert looking("drill") is None
