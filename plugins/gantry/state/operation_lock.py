"""Mutual exclusion of a deployment's operations. Only the protocol, without Airflow.

Each operation has one mark, which its runs write and all others read. A mark is up if it says that its run asks or
works, and if Airflow says that this run is running: so any end of a run takes its mark down. Operations are ordered. A
run puts its mark up, and then looks at those of the others: it proceeds if all of them are down. If the mark of an
earlier operation is up, it takes its own down and waits; for a later one it waits with its own up, and the later one
yields. (This is the one-bit algorithm of Burns and Lamport; `tests/unit/state/test_operation_lock.py` tries all
interleavings.)

Runs of one operation share its mark. A run may claim it only while no other run of the operation is running: so two of
them never write it at the same time, since each would find the other one running.

The functions here are generators: they yield the reads and writes that they need, and are sent the answers. A worker
and the triggerer answer from Airflow, each in its own way, and a test from a model.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Generator, Iterable

from gantry import names
from gantry.plan import ISOLATED, READ_ONLY


class LockStage(enum.StrEnum):
    """Stage of a run in the lock protocol."""

    WAITS = "waits"
    """Its mark is down: it lets others go first."""

    ASKS = "asks"
    """Its mark is up, and it checks whether those of all others are down."""

    WORKS = "works"
    """It holds the lock, until the run is over."""


@dataclasses.dataclass(frozen=True)
class LockMark:
    """The content of an operation's mark.

    Attributes:
        run: the id of the run that wrote it.
        begun: when Airflow started this run. A finished run starts over when a person clears one of its steps.
        since: when the run reached this stage, in ISO 8601.
    """

    run: str
    begun: str
    stage: LockStage
    since: str

    def is_of(self, asker: LockApplicant) -> bool:
        """Return whether the run has written it since it began."""
        return (self.run, self.begun) == (asker.run, asker.begun)


@dataclasses.dataclass(frozen=True)
class LockApplicant:
    """A run that asks for the lock."""

    operation: names.Operation
    run: str
    begun: str

    def mark(self, stage: LockStage, now: str) -> LockMark:
        """Return its mark."""
        return LockMark(run=self.run, begun=self.begun, stage=stage, since=now)


@dataclasses.dataclass(frozen=True)
class LockedBy:
    """The run that another one has to wait for. Without a mark: one of the same operation that has no mark yet."""

    operation: names.Operation
    mark: LockMark | None


@dataclasses.dataclass(frozen=True)
class Read:
    """Request to read an operation's mark. The answer is a `LockMark`, or None."""

    operation: names.Operation


@dataclasses.dataclass(frozen=True)
class Write:
    """Request to write the applicant's own mark. The answer is None."""

    mark: LockMark


@dataclasses.dataclass(frozen=True)
class IsRunning:
    """Query whether a given run, or any run, of an operation is running. The answer is a bool."""

    operation: names.Operation
    run: str | None = None


@dataclasses.dataclass(frozen=True)
class IsAlone:
    """Query whether a run is running and no other run of its operation is. The answer is a bool."""

    operation: names.Operation
    run: str


Request = Read | Write | IsRunning | IsAlone
Answer = LockMark | bool | None
Asking = Generator[Request, Answer, LockedBy | None]


def order() -> tuple[names.Operation, ...]:
    """Return the operations that exclude each other, by precedence.

    A termination does not have to wait for operations that it makes pointless.
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
    """Return the run that is working, or None.

    For a run that does not take the lock: it leaves no mark and blocks no one.
    """
    # Work on separate servers does not affect the others.
    return (yield from _busy(each for each in order() if each not in ISOLATED))


def ask(asker: LockApplicant, now: str) -> Asking:
    """Try once to take the lock. Returns None if it is taken, else the run to wait for; then try again.

    May be repeated any number of times, also after the lock was taken.
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
    """Make sure that the run still holds the lock, if it has started over behind its wait for the lock.

    Returns None, or the run that blocks; then nothing may be done. Does not take the mark down: other tasks of the run
    may be working under it.
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
    # The mark from the run's first life is still up, and another task of it may hold the lock by now.
    if not (isinstance(own, LockMark) and own.run == asker.run and own.stage is not LockStage.WAITS):
        yield Write(asker.mark(LockStage.ASKS, now))
    if busy := (yield from _busy((*earlier, *later))):
        return busy
    yield Write(asker.mark(LockStage.WORKS, now))
    return None


def _others(own: names.Operation) -> tuple[tuple[names.Operation, ...], tuple[names.Operation, ...]]:
    """Return the operations that must not run concurrently: those that have precedence, and the others.

    Each pair excludes each other by their own two marks, so not every operation has to look at every other.
    """
    every = order()
    place = every.index(own)
    earlier, later = every[:place], every[place + 1 :]
    return tuple(each for each in earlier if excludes(own, each)), tuple(
        each for each in later if excludes(own, each)
    )


def excludes(one: names.Operation, other: names.Operation) -> bool:
    """Return whether two operations must not run concurrently."""
    either = {one, other}
    return names.Operation.TERMINATE in either or not either & ISOLATED


def _owned(asker: LockApplicant, own: Answer) -> Asking:
    """Return the run of the applicant's own operation that must end before the applicant can claim the mark."""
    if (yield IsAlone(asker.operation, asker.run)):
        return None
    if isinstance(own, LockMark) and own.run != asker.run and (yield IsRunning(asker.operation, own.run)):
        return LockedBy(asker.operation, own)
    return LockedBy(asker.operation, None)


def _busy(operations: Iterable[names.Operation]) -> Asking:
    """Return the first of these operations whose mark is up."""
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
