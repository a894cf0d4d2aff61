"""Who may work on a deployment: its operations take turns. The protocol alone, without Airflow.

Each operation has one mark, which its runs write and all others read. A mark is up if it says that its run asks or
works, and Airflow says that this run is running: so whatever ends a run takes its mark down. Operations have an order.
A run puts its mark up, and then looks at those of the others: it goes if all of them are down. If one of an earlier
operation is up, it takes its own down and waits; for a later one it waits with its own up, and the later one gives
way. (This is the one-bit algorithm of Burns and Lamport; `tests/unit/operators/test_turns.py` tries all interleavings.)

Runs of one operation share its mark. A run may make it its own only while no other run of the operation is running:
then no two of them ever write it at the same time, since each would find the other one running.

The functions here are generators: they yield what they want to know or write, and are sent the answers. A worker and
the triggerer answer from Airflow, each in its own way, and a test from a model.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Generator, Iterable

from gantry import names
from gantry.plan import ISOLATED, READ_ONLY


class LockStage(enum.StrEnum):
    """How far a run is with its turn."""

    WAITS = "waits"
    """Its mark is down: it lets others go first."""

    ASKS = "asks"
    """Its mark is up, and it looks whether those of all others are down."""

    WORKS = "works"
    """It is this run's turn, until the run is over."""


@dataclasses.dataclass(frozen=True)
class LockMark:
    """What an operation's mark says.

    Attributes:
        run: the id of the run that wrote it.
        begun: when Airflow began this run. A run that was over and of which a person clears a step starts over.
        since: when the run reached this stage, in ISO 8601.
    """

    run: str
    begun: str
    stage: LockStage
    since: str

    def is_of(self, asker: LockApplicant) -> bool:
        """Whether the run wrote it since it began."""
        return (self.run, self.begun) == (asker.run, asker.begun)


@dataclasses.dataclass(frozen=True)
class LockApplicant:
    """A run that wants to work."""

    operation: names.Operation
    run: str
    begun: str

    def mark(self, stage: LockStage, now: str) -> LockMark:
        """Its mark."""
        return LockMark(run=self.run, begun=self.begun, stage=stage, since=now)


@dataclasses.dataclass(frozen=True)
class LockedBy:
    """The run that another one has to wait for. Without a mark: one of the same operation, which has none yet."""

    operation: names.Operation
    mark: LockMark | None


@dataclasses.dataclass(frozen=True)
class Read:
    """Asks for an operation's mark. The answer is a `LockMark`, or None."""

    operation: names.Operation


@dataclasses.dataclass(frozen=True)
class Write:
    """Asks to write the asker's own mark. The answer is None."""

    mark: LockMark


@dataclasses.dataclass(frozen=True)
class IsRunning:
    """Asks whether a run of an operation is running, or whether any is. The answer is a bool."""

    operation: names.Operation
    run: str | None = None


@dataclasses.dataclass(frozen=True)
class IsAlone:
    """Asks whether a run is running, and no other run of its operation is. The answer is a bool."""

    operation: names.Operation
    run: str


Request = Read | Write | IsRunning | IsAlone
Answer = LockMark | bool | None
Asking = Generator[Request, Answer, LockedBy | None]


def order() -> tuple[names.Operation, ...]:
    """The operations that take turns, those that go first in front.

    A termination is not kept waiting by what it makes needless.
    """
    return (
        names.Operation.TERMINATE,
        *(
            each
            for each in names.Operation
            if each is not names.Operation.TERMINATE and each not in READ_ONLY
        ),
    )


def look() -> Asking:
    """Who is at work, or None. For a run that takes no turn: it leaves no mark, and keeps nobody waiting."""
    # What is done on servers of its own says nothing about the others.
    return (yield from _busy(each for each in order() if each not in ISOLATED))


def ask(asker: LockApplicant, now: str) -> Asking:
    """Try once to take the turn. Returns None if it is taken, else whom to wait for; then try again.

    It may be tried as often as one likes, also after it was taken.
    """
    earlier, later = _others(asker.operation)
    own = yield Read(asker.operation)
    stage = own.stage if isinstance(own, LockMark) and own.is_of(asker) else None
    if stage is LockStage.WORKS:
        return None
    if stage is None and (busy := (yield from _owned(asker, own))):
        return busy
    if stage is LockStage.WAITS and (busy := (yield from _busy(earlier))):
        # It would take its mark down again at once.
        return busy
    if stage is not LockStage.ASKS:
        yield Write(asker.mark(LockStage.ASKS, now))
    if busy := (yield from _busy(earlier)):
        yield Write(asker.mark(LockStage.WAITS, now))
        return busy
    if busy := (yield from _busy(later)):
        return busy
    yield Write(asker.mark(LockStage.WORKS, now))
    return None


def keep(asker: LockApplicant, now: str) -> Asking:
    """Make sure that it is still the run's turn, after the run has begun again behind its wait for the turn.

    Returns None, or who is in the way; then nothing may be done. It does not take the mark down: other tasks of the
    run may be at work under it.
    """
    earlier, later = _others(asker.operation)
    own = yield Read(asker.operation)
    if isinstance(own, LockMark) and own.is_of(asker) and own.stage is LockStage.WORKS:
        return None
    if not (isinstance(own, LockMark) and own.is_of(asker)):
        if busy := (yield from _owned(asker, own)):
            return busy
        # Another run, which is over by now, may have written it since.
        own = yield Read(asker.operation)
    # The mark of the run's first life is up already, and another task of it may have the turn by now.
    if not (isinstance(own, LockMark) and own.run == asker.run and own.stage is not LockStage.WAITS):
        yield Write(asker.mark(LockStage.ASKS, now))
    if busy := (yield from _busy((*earlier, *later))):
        return busy
    yield Write(asker.mark(LockStage.WORKS, now))
    return None


def _others(own: names.Operation) -> tuple[tuple[names.Operation, ...], tuple[names.Operation, ...]]:
    """The operations that must not be at work at the same time: those that go first, and those that go later.

    Each two exclude each other by their own two marks, so it does no harm if some do not look at some.
    """
    every = order()
    place = every.index(own)
    earlier, later = every[:place], every[place + 1 :]
    return tuple(each for each in earlier if excludes(own, each)), tuple(
        each for each in later if excludes(own, each)
    )


def excludes(one: names.Operation, other: names.Operation) -> bool:
    """Whether two operations must not be at work at the same time."""
    either = {one, other}
    return names.Operation.TERMINATE in either or not either & ISOLATED


def _owned(asker: LockApplicant, own: Answer) -> Asking:
    """The run of the asker's own operation that has to be over before the operation's mark can be the asker's."""
    if (yield IsAlone(asker.operation, asker.run)):
        return None
    if isinstance(own, LockMark) and own.run != asker.run and (yield IsRunning(asker.operation, own.run)):
        return LockedBy(asker.operation, own)
    return LockedBy(asker.operation, None)


def _busy(operations: Iterable[names.Operation]) -> Asking:
    """The first of these operations whose mark is up."""
    for operation in operations:
        # The usual answer is no, and then its mark need not be read.
        if not (yield IsRunning(operation)):
            continue
        mark = yield Read(operation)
        if not isinstance(mark, LockMark) or mark.stage is LockStage.WAITS:
            continue
        if (yield IsRunning(operation, mark.run)):
            return LockedBy(operation, mark)
    return None
