"""What can happen, step by step. Each step is a method with small numbers, so that any sequence of steps can be played,
also one from which some were taken out.
"""

from __future__ import annotations

import collections
import dataclasses
import random
from collections.abc import Callable, Sequence
from typing import Any

from gantry import names
from gantry.plan import READ_ONLY

from . import product
from .airflow import Run, Task
from .servers import Machine
from .stage import Actor
from .world import World, place

Step = tuple[str, tuple[Any, ...]]
"""A method's name, and what it is called with."""

MOST = 600
"""How often processes go on in one step at most: some wait until others are over."""

_MINUTE = 60.0
NAMED = ((), ("database-1",), ("application-1",), ("application-2",))
CAN_BE_BACKFILLED = (names.Operation.LAUNCH, names.Operation.SCALE, names.Operation.BACKUP)


@dataclasses.dataclass(frozen=True)
class Rule:
    """A step that can happen, what its arguments can be, and how often it is drawn."""

    name: str
    arguments: tuple[Sequence[Any], ...]
    weight: int


class Drama:
    """Plays steps on a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tally: collections.Counter[str] = collections.Counter()

    def play(self, step: Step) -> None:
        """One step; then all invariants have to hold."""
        name, arguments = step
        self.world.model.say(f"--- {name}{arguments or ''}")
        getattr(self, name)(*arguments)
        self.world.airflow.schedule()
        for machine in self.world.ec2.machines.values():
            machine.settle()
        self.world.model.check()

    # --- what people ask for

    def launch(self, asked: str) -> None:
        self._ask(names.Operation.LAUNCH, {asked: [product.PART]} if asked else {})

    def scale(self, count: int) -> None:
        self._ask(names.Operation.SCALE, {"servers_application": count})

    def recover(self, named: int, anyway: str) -> None:
        self._ask(names.Operation.RECOVER, {"servers": list(NAMED[named]), "anyway": bool(anyway and named)})

    def back_up(self) -> None:
        self._ask(names.Operation.BACKUP, {})

    def restore(self) -> None:
        self._ask(names.Operation.RESTORE, {"backup": "catalog", "confirm": product.DEPLOYMENT})

    def terminate(self, force: str) -> None:
        self._ask(names.Operation.TERMINATE, {"confirm": product.DEPLOYMENT, "force": bool(force)})

    def look(self) -> None:
        """The watch's time has come."""
        self._ask(names.Operation.WATCH, {}, run_type="scheduled")

    def backfill(self, operation: int) -> None:
        asked = CAN_BE_BACKFILLED[operation]
        conf = {"servers_application": 2} if asked is names.Operation.SCALE else {}
        self._ask(asked, conf, run_type="backfill")

    def clear(self, run: int, task: int) -> None:
        """A person clears a task of one of the latest runs, with all that comes after it."""
        runs = [each for each in self.world.airflow.runs if each.tasks and each.operation not in READ_ONLY]
        found = _pick(runs[-4:], run)
        if found is None:
            return
        begun = list(dict.fromkeys(each.task_id for each in found.tasks if each.state is not None))
        chosen = _pick(begun, task)
        if chosen is not None:
            self.world.model.say(f"a person clears {chosen} of {found.dag_id} {found.run_id}")
            self.world.airflow.clear(found, chosen)

    def give_up(self, run: int) -> None:
        """A person marks a run failed."""
        running = [each for each in self.world.airflow.runs if each.state == "running"]
        found = _pick(running, run)
        if found is not None:
            self.world.airflow.mark_failed(found)

    # --- what goes on, and what dies

    def work(self, actor: int, effects: int) -> None:
        """One process goes on for so many effects."""
        found = _pick(self._ready(), actor)
        if found is not None:
            found.go_on(effects)

    def finish(self) -> None:
        """Everything goes on until it is over, or waits for ever."""
        for _ in range(MOST):
            actors = self._ready()
            if not actors:
                return
            actors[0].go_on(10**9)
            self.world.airflow.schedule()
            self.world.model.check()

    def wait(self, minutes: int, watched: str) -> None:
        """Time passes, in which all processes go on; with the watch's looks."""
        for _ in range(minutes):
            if watched:
                self.look()
            self._pass(_MINUTE)

    def kill(self, task: int) -> None:
        """A worker or the triggerer dies."""
        found: Task | None = _pick(self.world.airflow.working(), task)
        if found is not None:
            self.world.model.say(f"the process of {found.name} is killed")
            self.world.airflow.lose_worker(found)

    def freeze_triggerer(self, task: int) -> None:
        """A triggerer seems dead, and goes on beside the one that has taken its trigger."""
        deferred = [each for each in self.world.airflow.working() if each.state == "deferred"]
        found: Task | None = _pick(deferred, task)
        if found is not None:
            self.world.model.say(f"a second triggerer has the trigger of {found.name}")
            self.world.airflow.second_triggerer(found)

    def orphan(self) -> None:
        """Airflow's scheduler finds the asset in no DAG, and deletes all that is kept with it."""
        self.world.orphan()

    def lose_state(self) -> None:
        """What Airflow has kept is gone, by a person's hand or with its database."""
        if not any(each.state == "running" for each in self.world.airflow.runs):
            self.world.asset_state.clear()
            self.world.secured.clear()

    # --- what happens to servers and to data

    def reboot(self, machine: int, seconds: int) -> None:
        found = self._machine(machine)
        if found is not None:
            self._tell(found, f"is silent for {seconds} s")
            found.reboot(seconds)

    def die(self, machine: int) -> None:
        found = self._machine(machine)
        if found is not None:
            self._tell(found, "hangs for ever")
            found.die()

    def vanish(self, machine: int) -> None:
        found = self._machine(machine)
        if found is not None:
            self._tell(found, "is terminated outside of Gantry")
            found.terminate()
            self.world.model.vanished(found)

    def stop(self, machine: int) -> None:
        found = self._machine(machine)
        if found is not None:
            self._tell(found, "is stopped outside of Gantry")
            found.stop()

    def swap_key(self, machine: int) -> None:
        """The server offers another host key from now on."""
        found = self._machine(machine)
        if found is not None:
            self._tell(found, "has another host key")
            found.impostor = True

    def cut(self, minutes: int) -> None:
        """No server can be reached from Airflow for some time."""
        self.world.model.say("the way to all servers is cut")
        self.world.cut = True
        self._pass(minutes * _MINUTE)
        self.world.cut = False

    def write(self) -> None:
        """Customers change what databases hold."""
        for machine in self.world.alive():
            for key, content in machine.data.items():
                if content is not None:
                    machine.data[key] = dataclasses.replace(content, writes=content.writes + 1)

    def new_dump(self) -> None:
        self.world.new_dump()

    def copy_dump(self) -> None:
        self.world.copy_dump()

    def lag(self, seconds: int) -> None:
        """EC2 lists from now on new instances only after so many seconds."""
        self.world.ec2.lag = seconds

    # --- help

    def _ask(self, operation: names.Operation, conf: dict[str, Any], run_type: str = "manual") -> Run:
        run = self.world.airflow.trigger(operation, product.DEPLOYMENT, conf, run_type=run_type)
        self.world.model.say(f"{run.dag_id} {run.run_id} ({run_type}) is asked for: {conf}")
        self.world.airflow.schedule()
        return run

    def _ready(self) -> list[Actor]:
        return sorted(self.world.airflow.actors(), key=lambda each: each.wakes)

    def _pass(self, seconds: float) -> None:
        end = self.world.stage.clock + seconds
        for _ in range(MOST):
            due = [each for each in self._ready() if each.wakes <= end]
            if not due or self.world.stage.clock >= end:
                break
            due[0].go_on(10**9)
            self.world.airflow.schedule()
            self.world.model.check()
        self.world.stage.clock = max(self.world.stage.clock, end)

    def _machine(self, number: int) -> Machine | None:
        found: Machine | None = _pick(self.world.alive(), number)
        return found

    def _tell(self, machine: Machine, what: str) -> None:
        tier, slot = place(machine)
        self.world.model.say(f"{machine.id} ({tier} {slot}) {what}")


def _pick(found: Sequence[Any], number: int) -> Any:
    return found[number % len(found)] if found else None


_FEW = range(4)
RULES = (
    Rule("launch", (("",),), 6),
    Rule("launch", (("from_dump", "from_backup", "reload_dump"),), 2),
    Rule("scale", (range(1, 4),), 4),
    Rule("recover", (range(len(NAMED)), ("", "anyway")), 3),
    Rule("back_up", (), 4),
    Rule("restore", (), 1),
    Rule("terminate", (("", "force"),), 2),
    Rule("look", (), 3),
    Rule("backfill", (range(len(CAN_BE_BACKFILLED)),), 2),
    Rule("clear", (_FEW, range(24)), 6),
    Rule("give_up", (_FEW,), 2),
    Rule("work", (_FEW, (1, 2, 4, 8, 16, 64)), 25),
    Rule("finish", (), 9),
    Rule("wait", ((1, 3, 7), ("", "watched")), 6),
    Rule("wait", ((70,), ("",)), 2),
    Rule("kill", (_FEW,), 5),
    Rule("freeze_triggerer", (_FEW,), 2),
    Rule("orphan", (), 2),
    Rule("lose_state", (), 1),
    Rule("reboot", (_FEW, (20, 90, 1200)), 5),
    Rule("die", (_FEW,), 2),
    Rule("vanish", (_FEW,), 2),
    Rule("stop", (_FEW,), 1),
    Rule("swap_key", (_FEW,), 1),
    Rule("cut", ((1, 8),), 2),
    Rule("write", (), 2),
    Rule("new_dump", (), 1),
    Rule("copy_dump", (), 1),
    Rule("lag", ((0, 5, 30),), 1),
)


def draw(source: random.Random, rules: Sequence[Rule] = RULES) -> Step:
    """A step, at random."""
    (rule,) = source.choices(rules, [each.weight for each in rules])
    return rule.name, tuple(source.choice(each) for each in rule.arguments)


def shrunk(steps: Sequence[Step], fails: Callable[[Sequence[Step]], bool], most: int = 250) -> list[Step]:
    """A short sequence that still fails: parts of it are taken out as long as it does."""
    found, size = list(steps), max(1, len(steps) // 2)
    while True:
        start, shortened = 0, False
        while start < len(found) and most > 0:
            most -= 1
            shorter = [*found[:start], *found[start + size :]]
            if fails(shorter):
                found, shortened = shorter, True
            else:
                start += size
        if most <= 0 or (size == 1 and not shortened):
            return found
        size = max(1, size // 2)
