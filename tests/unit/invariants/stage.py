"""Time and processes of the simulation: a clock that nobody waits for, and actors that stop between any two effects.

An actor runs the product's own code, in a greenlet: at any time, the test runs, or the one actor that it lets go on.
(Threads would do the same; on a busy machine they wait for each other most of the time.) At each effect (a request to
the cloud, to a server or to Airflow) the actor may be made to wait, and others go on meanwhile; or it is killed there,
and then nothing that it still does has any effect.
"""

from __future__ import annotations

import asyncio
import datetime
import itertools
import sys
import types
from collections.abc import Callable
from typing import Any

import greenlet

BEGIN = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)


class Killed(BaseException):
    """The process of an actor is gone. No `except Exception` of the product may see it."""


class StuckError(AssertionError):
    """The simulation itself cannot go on."""


class Actor:
    """A process: the try of a task, or a trigger."""

    _number = itertools.count(1)

    def __init__(self, stage: Stage, work: Callable[[], None], name: str, who: Any = None) -> None:
        self.name = f"{name}#{next(self._number)}"
        self.who = who
        self.over = False
        self.doomed = False
        self.wakes = stage.clock
        self.budget = 0
        self._stage = stage
        self._work = work
        self._own: greenlet.greenlet | None = None
        self._home = greenlet.getcurrent()

    def go_on(self, effects: int) -> None:
        """Let it have so many effects, or come to its end or to a pause. The caller waits."""
        if self.over:
            return
        self.budget = effects
        self._stage.clock = max(self._stage.clock, self.wakes)
        before, self._stage.current = self._stage.current, self
        if self._own is None:
            self._own = greenlet.greenlet(self._run)
        try:
            self._own.switch()
        finally:
            self._stage.current = before

    def kill(self) -> None:
        """End it where it is."""
        self.doomed = True
        if self._own is None:
            self.over = True
        while not self.over:
            self.go_on(1)

    def give_way(self) -> None:
        """Called by the actor: one effect is about to happen."""
        if self.doomed:
            raise Killed
        self.budget -= 1
        if self.budget < 0:
            self._wait()

    def pause(self, seconds: float) -> None:
        """Called by the actor: it sleeps."""
        if self.doomed:
            raise Killed
        self.wakes = self._stage.clock + seconds
        self._wait()

    def _wait(self) -> None:
        assert self._own is not None
        # Its event loop is none that others run in.
        loop, hooks = asyncio._get_running_loop(), sys.get_asyncgen_hooks()
        asyncio._set_running_loop(None)
        sys.set_asyncgen_hooks(None, None)
        self._home.switch()
        asyncio._set_running_loop(loop)
        sys.set_asyncgen_hooks(*hooks)
        if self.doomed:
            raise Killed

    def _run(self) -> None:
        try:
            self._work()
        except Killed:
            pass
        except Exception:
            if not self.doomed:
                raise
        finally:
            self.over = True


class Stage:
    """The clock, and who acts now."""

    def __init__(self) -> None:
        self.clock = BEGIN.timestamp()
        self.current: Actor | None = None
        self.effects = 0

    @property
    def now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.clock, datetime.UTC)

    def effect(self) -> None:
        """Something is about to be read or changed outside of the process."""
        self.effects += 1
        if self.current is not None:
            self.current.give_way()

    def sleep(self, seconds: float) -> None:
        """The process waits."""
        if self.current is None:
            self.clock += seconds
        else:
            self.current.pause(seconds)

    def actor(self, work: Callable[[], None], name: str, who: Any = None) -> Actor:
        return Actor(self, work, name, who)


class _Selector:
    """Waits for nothing but the clock."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise StuckError("an event loop waits for something that cannot happen")
        if timeout > 0:
            self._stage.sleep(timeout)
        return []

    def close(self) -> None:
        pass


class Loop(asyncio.BaseEventLoop):
    """An event loop whose time is the stage's."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage
        self._selector = _Selector(stage)
        # Two moments that are one for the clock's floating point must not keep it spinning.
        self._clock_resolution = 1e-3

    def time(self) -> float:
        return self._stage.clock

    def run_in_executor(self, _: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Here and now: an actor has no threads."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever waits for it gets it
            future.set_exception(error)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


class Policy(asyncio.DefaultEventLoopPolicy):
    """Makes such loops."""

    def __init__(self, stage: Callable[[], Stage]) -> None:
        super().__init__()
        self._of = stage

    def new_event_loop(self) -> Loop:
        return Loop(self._of())


class Time:
    """Stands for the module `time`."""

    def __init__(self, stage: Callable[[], Stage]) -> None:
        self._of = stage

    def time(self) -> float:
        return self._of().clock

    def monotonic(self) -> float:
        return self._of().clock

    def sleep(self, seconds: float) -> None:
        self._of().sleep(seconds)


def datetime_module(stage: Callable[[], Stage]) -> Any:
    """Stands for the module `datetime`."""

    class Moment(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
            return datetime.datetime.fromtimestamp(stage().clock, tz)

    module = types.ModuleType("datetime")
    module.__dict__.update({name: each for name, each in vars(datetime).items() if not name.startswith("__")})
    module.__dict__["datetime"] = Moment
    return module
