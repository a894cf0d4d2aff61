"""What must be true whatever happens, judged by somebody who sees everything.

The model knows what is really there: which servers are well, what databases hold, who has asked for what. It looks at
every effect of the product as it happens, and notes what breaks one of the three invariants.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING, Any

from gantry import names
from gantry.cloud import tags
from gantry.plan import READ_ONLY
from gantry.state import operation_lock

from . import product
from . import world as worlds

if TYPE_CHECKING:
    from .airflow import Run, Task
    from .servers import Content, Machine
    from .stage import Actor
    from .world import World

DATA = "no datasource that held data is filled from anything but what was asked for"
TURNS = "no two operations of one deployment work at once"
SERVERS = "no instance is terminated that nobody asked to terminate and that answers"


class BrokenError(AssertionError):
    """An invariant does not hold. `kind` tells alike failures."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


@dataclasses.dataclass
class Slot:
    """What the model knows of the data of a slot.

    Attributes:
        holder: the instance that holds it, or held it last.
        lost: whether it is gone with a server that nobody asked to throw away with its data.
        free: whether it was given up on purpose, in an operation that is not over: then either source is right.
        said: what it begins from, `dump` or `backup`, as a person has said in a run that has not come to fill it.
    """

    holder: str | None = None
    lost: bool = False
    free: bool = False
    said: str = ""


class Model:
    """The judge."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.broken: list[str] = []
        self.kinds: list[str] = []
        self.tally: collections.Counter[str] = collections.Counter()
        """How often things have happened: a test in which nothing happens would hold everything."""
        self.journal: list[str] = []
        self.slots: dict[int, Slot] = {}
        self.asked: dict[str, set[str]] = {}
        """Why instances may be terminated, by their ids."""
        self.arrived: set[str] = set()
        """Instances that have been part of a deployment that was RUNNING."""
        self.started_by: dict[str, Run] = {}
        self.came_lost: dict[str, bool] = {}
        """Whether the data of an instance's slot was lost when the instance was filled, by instance."""
        self.looked: dict[tuple[str, str], bool] = {}
        """Whether the last look of a process at an instance found it answering."""
        self.answered: dict[str, float] = {}
        """When any look has found an instance answering last."""
        world.ec2.on_started = self.started
        world.ec2.on_terminate = self.terminates
        world.ec2.on_tagged = self.tagged
        world.ec2.on_change = self.changes
        world.airflow.on_begin = self.task_begins
        world.airflow.on_task = self.task_over
        world.airflow.on_over = self.run_over

    # --- notes

    def say(self, what: str) -> None:
        who = self._actor
        now = self._world.stage.now
        self.journal.append(f"{now:%H:%M:%S} {'' if who is None else who.name + ': '}{what}")

    def breaks(self, which: str, what: str, kind: str = "") -> None:
        self.kinds.append(f"{which}: {kind}")
        self.say(f"!! {which}: {what}")
        self.broken.append(f"{which}:\n  {what}")

    def check(self) -> None:
        """Raise if an invariant was broken."""
        if self.broken:
            story = "\n".join(self.journal[-80:])
            raise BrokenError(self.kinds[0], "\n".join(self.broken) + "\n\n" + story)

    @property
    def _actor(self) -> Actor | None:
        return self._world.stage.current

    @property
    def _task(self) -> Task:
        actor = self._actor
        assert actor is not None
        task: Task = actor.who
        return task

    # --- whose turn it is

    def changes(self, what: str) -> None:
        """A process changes something of the deployment."""
        self.say(what)
        run = self._task.run
        if run.operation in READ_ONLY:
            self.breaks(TURNS, f"{run.dag_id} {run.run_id} only looks, and changes something: {what}")
        for other in self._world.airflow.runs:
            if other is run or other.state != "running" or "changed" not in other.facts:
                continue
            if operation_lock.excludes(run.operation, other.operation):
                self.breaks(
                    TURNS,
                    f"{run.dag_id} {run.run_id} ({self._task.task_id}) works ({what}) while {other.dag_id} "
                    f"{other.run_id} is at work",
                    f"{run.run_type} {run.operation.value} beside {other.run_type} {other.operation.value}",
                )
        if run.state == "running":
            run.facts["changed"] = True

    # --- servers

    def probed(self, machine: Machine, answers: object) -> None:
        actor = self._actor
        if actor is not None:
            self.looked[actor.name, machine.id] = bool(answers)
        if answers:
            self.answered[machine.id] = self._world.stage.clock

    def started(self, machine: Machine) -> None:
        tier, slot = worlds.place(machine)
        self.say(f"starts {machine.id}, {tier} {slot}")
        self.started_by[machine.id] = self._task.run

    def tagged(self, machine: Machine, key: str, value: str) -> None:
        if key in (tags.LEAVING, tags.AILING):
            self.say(f"{machine.id} is tagged {key}={value}")
        if key != tags.LEAVING:
            return
        run = self._task.run
        if value.startswith(tags.LOST):
            is_named = run.operation is names.Operation.RECOVER and self._is_named(run, machine)
            if is_named:
                self._ask(machine, "a person has named it")
            elif self._may_be_given_up(machine):
                self._ask(machine, "it was given up, and holds no data")
            return
        if run.operation is not names.Operation.SCALE:
            return
        tier, _ = worlds.place(machine)
        wanted = run.conf.get(f"servers_{tier}")
        staying = [
            each
            for each in self._world.alive()
            if worlds.place(each)[0] == tier and tags.LEAVING not in each.tags
        ]
        if wanted is not None and len(staying) >= wanted:
            self._ask(machine, "the tier is scaled in")

    def terminates(self, machine: Machine) -> None:
        """An instance that is alive is about to be terminated."""
        task, run = self._task, self._task.run
        tier, slot = worlds.place(machine)
        self.say(f"terminates {machine.id}, {tier} {slot}, {machine.state}")
        asked = set(self.asked.get(machine.id, ()))
        if run.operation is names.Operation.TERMINATE:
            asked.add("termination")
        if task.task_id == "remove_new_servers" and self._is_new(machine, run):
            asked.add("remove_new")
        has_seen_silence = self._has_seen(machine) is False
        if not asked and machine.is_well and not has_seen_silence:
            self.breaks(
                SERVERS,
                f"{run.dag_id} {run.run_id} ({task.task_id}) terminates {machine.id} ({tier} {slot}), which is well"
                f"{'' if machine.answers else ', though nobody can reach it'}",
                f"{task.task_id.rpartition('.')[2]} of {run.operation.value}",
            )
        self.tally["instance terminated: " + (" and ".join(sorted(asked)) or "lost")] += 1
        self._gone(machine, asked)

    def vanished(self, machine: Machine) -> None:
        """The cloud, or a person in its console, has ended an instance."""
        self._gone(machine, set())

    def _may_be_given_up(self, machine: Machine) -> bool:
        """Whether an instance that is found lost may be terminated even if it comes back meanwhile.

        Another one is started in its slot, and two cannot have it. Of one with data a person decides which stays; of
        one without, it was decided when it was given up. So it is then that it has to be silent, and for how long.
        """
        if worlds.place(machine)[0] == product.DATA_TIER or self._has_seen(machine) is not False:
            return False
        last = max(self.answered.get(machine.id, 0.0), machine.begun)
        return self._world.stage.clock - last >= product.RECOVERY_DELAY

    def _has_seen(self, machine: Machine) -> bool | None:
        """Whether the last look of this process at an instance found it answering; None where it has not looked."""
        return None if self._actor is None else self.looked.get((self._actor.name, machine.id))

    def _ask(self, machine: Machine, why: str) -> None:
        self.asked.setdefault(machine.id, set()).add(why)

    @staticmethod
    def _is_named(run: Run, machine: Machine) -> bool:
        tier, slot = worlds.place(machine)
        return bool({f"{tier}-{slot}", f"shop-{tier}-{slot}"} & set(run.conf.get("servers", ())))

    def _is_new(self, machine: Machine, run: Run) -> bool:
        return self.started_by.get(machine.id) is run and machine.id not in self.arrived

    def task_begins(self, task: Task) -> None:
        if task.task_id == "tier-database.terminate_servers":
            # Whoever has that done gives up the data, also data whose server is gone by then.
            for slot in self.slots.values():
                slot.free = True

    def task_over(self, task: Task) -> None:
        failure = (
            f" ({str(task.xcoms.get('failure')).partition(chr(10))[0]})"
            if task.state in ("failed", "up_for_retry")
            else ""
        )
        self.say(f"{task.task_id} is {task.state}{failure}")
        if task.state == "failed":
            self.tally[f"failed: {task.task_id} {task.xcoms.get('failure', '')[:150].splitlines()[:1]}"] += 1
        if task.state != "success":
            return
        if task.task_id == "find_lost":
            self._hears(task.run)
        if task.task_id == "finish_launch":
            self.arrived |= {each.id for each in self._world.alive() if tags.LEAVING not in each.tags}
        if task.task_id == "finish_termination":
            # What the deployment held is thrown away, as it was asked for.
            self.slots.clear()

    def run_over(self, run: Run) -> None:
        self.say(f"{run.dag_id} {run.run_id} is {run.state}")
        self.tally[f"{run.operation.value} {run.state}"] += 1

    # --- data

    def _hears(self, run: Run) -> None:
        """What a person has said of data that is not there holds for the runs that come, should this one fail."""
        slot = self.slots.setdefault(1, Slot())
        if slot.holder is None or slot.lost:
            for source in ("dump", "backup"):
                if product.PART in run.conf.get(f"from_{source}", ()):
                    slot.said = source

    def fills(self, machine: Machine, service: str, datasource: str, url: str) -> None:
        """A job begins to load a dump or a backup."""
        task, run = self._task, self._task.run
        tier, number = worlds.place(machine)
        slot = self.slots.setdefault(number, Slot())
        held: Content | None = machine.data.get((service, datasource))
        is_dump = url == product.DUMP
        self.say(f"fills {machine.id} ({tier} {number}) from {url}")
        if run.operation is names.Operation.RESTORE:
            return
        who = f"{run.dag_id} {run.run_id} ({task.task_id}) fills {tier} {number} ({machine.id}) from {url}"
        if held is not None:
            if not self._asked_to_reload(run):
                self.breaks(DATA, f"{who} over {held}", "over live data")
            return
        if slot.holder is None or slot.free or (slot.holder == machine.id and not slot.lost):
            if not is_dump and not slot.free and slot.said != "backup" and not self._asked_for_backup(run):
                self.breaks(DATA, f"{who}, and it has never held data", "from a backup")
            return
        wanted = {*run.conf.get("from_dump", ()), *run.conf.get("reload_dump", ())}
        if is_dump and product.PART not in wanted and slot.said != "dump":
            self.breaks(DATA, f"{who}, and what {slot.holder} held is lost", "lost data from the dump")
        if not is_dump and url not in self._newest(task):
            self.breaks(DATA, f"{who}, which is not the newest backup", "an old backup")

    def filled(self, machine: Machine, service: str, datasource: str) -> None:
        """A load has come to its end."""
        _, number = worlds.place(machine)
        slot = self.slots.setdefault(number, Slot())
        if slot.holder != machine.id:
            self.came_lost[machine.id] = slot.holder is not None and not slot.free
            self.slots[number] = Slot(machine.id)
        content = machine.data[service, datasource]
        if content is not None:
            self.tally[
                "data from a " + ("dump" if content.writes == 0 and slot.holder is None else "dump or backup")
            ] += 1
        self.say(f"{machine.id} holds {machine.data[service, datasource]}")

    def _gone(self, machine: Machine, asked: set[str]) -> None:
        tier, number = worlds.place(machine)
        slot = self.slots.get(number)
        if tier != product.DATA_TIER or slot is None or slot.holder != machine.id:
            return
        if "remove_new" in asked:
            if self.came_lost.get(machine.id):
                slot.lost = True
            else:
                self.slots[number] = Slot()
        elif asked - {"a person has named it"}:
            slot.free = True
        else:
            slot.lost = True

    def _newest(self, task: Task) -> set[str]:
        """The backups that are the newest complete one, or were at some time since the task has begun."""
        objects = self._world.s3.objects
        begun = 0.0 if task.start_date is None else task.start_date.timestamp()
        complete = sorted(
            (url.removesuffix(".json"), each.changed)
            for url, each in objects.items()
            if url.startswith(product.BACKUPS) and url.endswith(".json")
        )
        found = {url for url, made in complete if made >= begun}
        older = [url for url, made in complete if made < begun]
        return found | set(older[-1:])

    # --- what a form has asked for

    @staticmethod
    def _asked_to_reload(run: Run) -> bool:
        return product.PART in run.conf.get("reload_dump", ())

    @staticmethod
    def _asked_for_backup(run: Run) -> bool:
        return product.PART in run.conf.get("from_backup", ())

    def story(self) -> Any:
        return "\n".join(self.journal)
