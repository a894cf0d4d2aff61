"""Pages to look at, made of real templates and of what real functions say about the scenes."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import jinja2

from gantry import status
from gantry.web import grid, rendering, standing, task_log, timeline, topology
from tests.web import scenes, viewer

SITE = rendering.Site("/gantry")
GRID_LINKS = grid.Links(
    task=lambda task, index: f"/dags/bookshop/runs/r/tasks/{task}/mapped/{index}",
    log=lambda task, index: "/log",
    server=lambda name: f"/gantry/bookshop/servers/{name}",
)
LINKS = standing.Links(
    server=lambda name: f"/gantry/bookshop/servers/{name}",
    service=lambda name: f"/gantry/bookshop/services/{name}",
)


def _topology(scene: scenes.Scene) -> str:
    drawn = topology.topology(
        standing.Facts(scene.definition, scene.plan, scene.status, scene.inventory, {}, LINKS)
    )
    return page(
        scene,
        '{% call ui.card("Topology") %}{% include "parts/topology.html.jinja" %}{% endcall %}',
        topology=drawn,
    )


def _run(scene: scenes.Scene) -> str:
    found = grid.grid(scene.plan, scene.tasks, scene.now, GRID_LINKS)
    drawn = timeline.gantt(status.timeline(scene.plan, scene.tasks), scene.now)
    again = None if scene.run_ended else "/run-live"
    return page(scene, '{% include "parts/run.html.jinja" %}', grid=found, gantt=drawn, again=again)


def _log() -> str:
    return rendering.render("parts/task_log.html.jinja", SITE, log=LOG)


LOG = task_log.TaskLog(
    title="service app: configure",
    servers="bookshop-application-1",
    state=status.TaskState.FAILED,
    try_number=2,
    took=datetime.timedelta(seconds=42),
    href="/dags/bookshop/runs/r/tasks/service-app.configure/mapped/0",
    again=None,
    lines=task_log.lines(
        [
            task_log.Event("::group::Log message source details sources=[]", "info"),
            task_log.Event("::endgroup::", "info"),
            task_log.Event("$ configureService c100 a1002 /enstratus/ws/enstratus.cfg", "info", scenes.START),
            *(
                task_log.Event(f"writing line {each} of what is configured", "info", scenes.START)
                for each in range(60)
            ),
            task_log.Event("[bookshop-application-2] $ startService a1002", "info", scenes.START),
            task_log.Event(
                "[bookshop-application-2] port 8000 is taken by another process, trying again in a moment",
                "warning",
                scenes.START,
            ),
            task_log.Event(
                "Task failed with exception",
                "error",
                scenes.START,
                (
                    "StepFailedError: bookshop-application-1: configureService ended with 3; last words: no such database",
                ),
            ),
        ]
    ),
    left_out=12,
    failure="bookshop-application-1: configureService ended with exit code 3.\nIts last words: no such database 'catalog'. Look at the service's enstratus-configure, then clear this task.",
)


def page(scene: scenes.Scene, content: str, **known: object) -> str:
    text = (
        '{% extends "base.html.jinja" %}'
        '{% block crumbs %}{{ ui.crumbs([("Deployments", "/gantry/"), (name, None)]) }}{% endblock %}'
        "{% block heading %}{{ name }}{% endblock %}"
        "{% block badges %}{{ ui.badge(state) }}{% endblock %}"
        '{% block tabs %}{{ ui.tabs([("Topology", "#a", true), ("Servers", "#b", false), ("Runs", "#c", false)]) }}{% endblock %}'
        "{% block content %}" + content + "{% endblock %}"
    )
    template: jinja2.Template = rendering._environment().from_string(text)
    return template.render(site=SITE, name=scene.definition.deployment, state=scene.status.state, **known)


def every() -> dict[str, Callable[[], viewer.Answer]]:
    def of(make: Callable[[scenes.Scene], str], scene: scenes.Scene) -> Callable[[], viewer.Answer]:
        return lambda: (200, make(scene))

    return {
        "/run": of(_run, scenes.bookshop(-1)),
        "/run-middle": of(_run, scenes.bookshop(len(scenes.moments()) // 2)),
        "/run-failed": of(_run, scenes.bookshop_failed()),
        "/run-large": of(_run, scenes.large()),
        "/log": lambda: (200, _log()),
        "/topology": of(_topology, scenes.bookshop(-1)),
        "/topology-failed": of(_topology, scenes.bookshop_failed()),
        "/topology-large": of(_topology, scenes.large()),
    }
