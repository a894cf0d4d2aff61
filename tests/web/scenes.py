"""Deployments to look at: the recorded bookshop, moment by moment, and a large one."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import pathlib
from typing import Any

import yaml

from gantry import definition, inventory, names, plan, status
from gantry.definition import models
from tests import recordings

UNIT = pathlib.Path(__file__).parents[1] / "unit"
START = datetime.datetime(2026, 11, 27, 9, 0, tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True)
class Scene:
    """A run at one moment."""

    definition: models.Definition
    plan: plan.Plan
    tasks: tuple[status.TaskView, ...]
    inventory: inventory.Inventory
    run_ended: bool
    now: datetime.datetime

    @functools.cached_property
    def status(self) -> status.DeploymentStatus:
        return status.deployment_status(
            self.plan,
            self.tasks,
            self.inventory,
            run_ended=self.run_ended,
            before=plan.DeploymentState.STOPPED,
        )


def moments() -> tuple[recordings.Moment, ...]:
    """The composed launch of the bookshop."""
    return recordings.read(json.loads((UNIT / "status" / "composed_launch.json").read_text()))


def bookshop(moment: int) -> Scene:
    """The composed launch of the bookshop at one of its moments; -1 is its end."""
    found = definition.load(UNIT / "bookshop.yaml")
    recorded = moments()[moment]
    return Scene(
        found, plan.launch_plan(found), recorded.tasks, recorded.inventory, recorded.run_ended, recorded.at
    )


def bookshop_failed(step: str = "service-app.configure") -> Scene:
    """The launch of the bookshop, had one step failed."""
    scene = bookshop(-1)
    after = {step}
    for each in scene.plan:
        if after.intersection(each.upstream):
            after.add(each.id)
    tasks = tuple(
        dataclasses.replace(task, state=status.TaskState.FAILED)
        if task.task_id == step
        else status.TaskView(task.task_id, state=status.TaskState.UPSTREAM_FAILED)
        if task.task_id in after
        else task
        for task in scene.tasks
    )
    return dataclasses.replace(scene, tasks=tasks)


def large(tiers: int = 12, servers: int = 100) -> Scene:
    """A launch of many tiers that is under way: some tiers are done, one works, one has failed, the rest waits."""
    found = definition.loads(text_of_large(tiers, servers), "large.yaml")
    every = plan.launch_plan(found)
    tasks: list[status.TaskView] = []
    servers_: list[inventory.Server] = []
    order = {each.tier: number for number, each in enumerate(every.tiers)}
    for number, step in enumerate(every):
        place = order.get(step.tier, -1) if step.tier else -1
        state, began, took = _state(step, place, number)
        if not step.per_server:
            tasks.append(_task(step.id, -1, state, began, took))
            continue
        on = every.servers_of(step)
        batches = min(found.fan_out, len(on))
        tasks.extend(
            _task(step.id, batch, state, began, took + batch, on[batch::batches]) for batch in range(batches)
        )
    for each in every.tiers:
        for slot, name in enumerate(each.names, 1):
            if order[each.tier] > 9:
                continue
            servers_.append(
                inventory.Server(
                    name=name,
                    tier=each.tier,
                    slot=names.Slot(slot),
                    instance_id=f"i-{order[each.tier]:02x}{slot:015x}",
                    state=inventory.InstanceState.RUNNING,
                    image="ami-1",
                    launched_at=START,
                    private_address=f"10.0.{order[each.tier]}.{slot}",
                )
            )
    return Scene(
        found,
        every,
        tuple(tasks),
        inventory.Inventory(tuple(servers_)),
        run_ended=False,
        now=START + datetime.timedelta(minutes=9),
    )


def text_of_large(tiers: int = 12, servers: int = 100) -> str:
    """Its definition."""
    return yaml.safe_dump(_large(tiers, servers))


def _state(step: plan.Step, place: int, number: int) -> tuple[status.TaskState, int, int]:
    """How a step of the large launch stands: state, seconds after the start, seconds that it took."""
    began, took = 3 + number * 4, 5 + number % 7 * 6
    if place == 9 and step.phase >= plan.Phase.INSTALL_SERVICES:
        return status.TaskState.FAILED, began, took
    if place in (7, 8) and step.phase >= plan.Phase.INSTALL_SERVICES:
        return status.TaskState.RUNNING, began, took
    if (
        place >= 10
        or step.phase >= plan.Phase.CONFIGURE_DEPENDENTS
        or step.kind is plan.StepKind.FINISH_LAUNCH
    ):
        return status.TaskState.NONE, 0, 0
    return status.TaskState.SUCCESS, began, took


def _task(
    step: str,
    index: int,
    state: status.TaskState,
    began: int,
    took: int,
    on: tuple[names.ServerName, ...] = (),
) -> status.TaskView:
    started = None if state is status.TaskState.NONE else START + datetime.timedelta(seconds=began)
    over = state in (status.TaskState.SUCCESS, status.TaskState.FAILED)
    ended = started + datetime.timedelta(seconds=took) if started and over else None
    return status.TaskView(step, index, state, started, ended, on)


def _large(tiers: int, servers: int) -> dict[str, Any]:
    """A definition: a front door, then layers of services that need each other, one tier with half of the servers."""
    many = servers - (tiers - 1) * 4
    kinds = [
        "edge", "web", "api", "search", "recommendation-engine", "orders", "payments", "mailer", "queue", "cache",
        "catalog-db", "orders-db",
    ]  # fmt: skip
    kinds = [kinds[each % 12] + (f"-{each // 12}" if each >= 12 else "") for each in range(tiers)]
    needs = {
        "web": ["api", "cache"], "api": ["search", "orders", "recommendation-engine", "catalog-db"],
        "search": ["catalog-db"], "recommendation-engine": ["catalog-db", "cache"], "orders": ["orders-db", "queue"],
        "payments": ["orders-db"], "mailer": ["queue"],
    }  # fmt: skip
    services = {
        kind: {
            "id": f"a{2000 + place}",
            "tier": kind,
            "archive": f"s3://large/{kind}.tar.gz",
            "port": 8000 + place,
            "depends_on": [each for each in needs.get(kind, []) if each in kinds],
        }
        for place, kind in enumerate(kinds)
        if kind != "edge"
    }
    services["session-store"] = {"id": "a2900", "tier": "cache", "archive": "s3://large/session.tar.gz"}
    return {
        "deployment": "large",
        "cloud": {"connection": "aws_default", "region": "eu-central-1"},
        "launch_configurations": {
            "debian": {"image": "ami-1", "size": "t3.small", "ssh": {"connection": "large_ssh"}}
        },
        "tiers": {
            kind: {"launch_configuration": "debian", "servers": many if kind == "web" else 4}
            for kind in kinds
        },
        "services": services,
        "load_balancers": {
            "front": {"tier": "edge", "service": "web", "port": 443, "name": "www.example.com"},
            "partners": {"tier": "edge", "service": "api", "port": 8443, "name": "partners.api.example.com"},
        },
    }
