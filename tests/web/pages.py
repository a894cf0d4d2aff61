"""Pages to look at, made of the real templates and of what real functions say about the scenes."""

from __future__ import annotations

import dataclasses
import datetime

import jinja2

from gantry import errors, names, status
from gantry.web.views import grid, log_lines, rendering, timeline, topology, topology_labels
from tests.web import scenes

SITE = rendering.Site("/gantry")
GRID_LINKS = grid.GridLinks(
    task=lambda task, index: f"/dags/bookshop/runs/r/tasks/{task}/mapped/{index}",
    log=lambda *_: "/log",
    server=lambda name: f"/gantry/bookshop/servers/{name}",
)
LINKS = topology_labels.TopologyLinks(
    server=lambda name: f"/gantry/bookshop/servers/{name}",
    service=lambda name: f"/gantry/bookshop/services/{name}",
)
FRAME = """
{% extends "base.html.jinja" %}
{% block crumbs %}{{ ui.crumbs([("Deployments", "/gantry/"), (name, None)]) }}{% endblock %}
{% block heading %}{{ name }}{% endblock %}
{% block badges %}{{ ui.badge(state) }}{% if failed %}{{ ui.badge(FAILED) }}{% endif %}{% endblock %}
{% block actions %}<button type="button">Scale</button><button type="button" class="main">Redeploy</button>
<button type="button" class="danger">Terminate</button>{% endblock %}
{% block content %}
"""
PARTS = """
{{ ui.error("The cloud does not answer", "EC2 in eu-central-1: RequestLimitExceeded", "Load the page again.") }}
{% call ui.empty("No deployments yet") %}
<p>A deployment is a definition in YAML: <code>gantry new</code> writes one.</p>
{% endcall %}
{% call ui.card("States") %}
<div class="chips">{% for each in states %}{{ ui.badge(each) }}{% endfor %}</div>
{% endcall %}
{% call ui.card("Facts", "facts") %}
<dl class="facts"><div><dt>Last launch</dt><dd>{{ ui.ago(moment) }}</dd></div>
<div><dt>Next redeploy</dt><dd>{{ ui.time(moment) }}</dd></div>
<div><dt>Elsewhere</dt><dd>{{ ui.away("https://example.com/", "Cloud console") }}
{{ ui.airflow("/dags/bookshop", "Its DAG") }}</dd></div></dl>
{% endcall %}
{% call ui.card("Servers") %}
{% call ui.table("Servers") %}
<thead><tr><th scope="col">Name</th><th scope="col">Agent</th><th scope="col">How far</th></tr></thead>
<tbody><tr><th scope="row"><a href="#s">bookshop-application-1</a></th><td>{{ ui.dot(states[0]) }}</td>
<td>{{ ui.bar(0.4, "busy", "configure dependencies, 3 of 7") }}</td></tr></tbody>
{% endcall %}
{% endcall %}
{% call ui.card("Scale") %}
<form class="form">
{% call ui.field("n", "application", "At least 2, at most 6.", "7 is more than 6") %}
<input id="n" type="number" value="7" aria-describedby="n-hint n-problem" aria-invalid="true">
{% endcall %}
<div class="bar"><button type="button" class="main">Scale</button><button type="button">Cancel</button></div>
</form>
{% endcall %}
"""


def page(scene: scenes.Scene, content: str, **known: object) -> str:
    """A page of a deployment."""
    template: jinja2.Template = rendering._environment().from_string(f"{FRAME}{content}{{% endblock %}}")
    found = scene.status
    return template.render(
        site=SITE,
        name=scene.definition.deployment,
        state=found.state,
        failed=found.failed is not None,
        **known,
    )


def of_topology(scene: scenes.Scene) -> str:
    """The picture of a deployment."""
    versions = {names.ServiceName("app"): "3f9a2c1", names.ServiceName("db"): "77e01bd"}
    found = topology.topology(
        topology_labels.TopologyFacts(
            scene.definition, scene.plan, scene.status, scene.inventory, versions, LINKS
        )
    )
    return page(
        scene,
        '{% call ui.card("Topology") %}{% include "parts/topology.html.jinja" %}{% endcall %}',
        topology=found,
    )


def of_run(scene: scenes.Scene, again: str | None = None) -> str:
    """A run."""
    return page(scene, '{% include "parts/run.html.jinja" %}', **_run(scene, again))


def of_run_live(scene: scenes.Scene, again: str | None) -> str:
    """What of it is asked for anew."""
    return rendering.render("parts/run_live.html.jinja", SITE, **_run(scene, again))


def of_parts() -> str:
    """Everything that pages are made of."""
    scene = scenes.bookshop(-1)
    states = [*status.TaskState, *status.ApprovalState, *type(scene.status.state)]
    return page(scene, PARTS, states=states, moment=scenes.START)


def of_log(last: int = 60) -> str:
    """The log of a step that failed."""
    said = [
        log_lines.Event("$ configureService c100 a1002 /enstratus/ws/enstratus.cfg", "info", scenes.START),
        *(
            log_lines.Event(f"line {each} of what it writes", "info", scenes.START)
            for each in range(1, last + 1)
        ),
        log_lines.Event("[bookshop-application-2] $ startService a1002", "info", scenes.START),
        log_lines.Event("[bookshop-application-2] port 8000 is taken, trying again", "warning", scenes.START),
        log_lines.Event(
            "Task failed with exception",
            "error",
            scenes.START,
            ("StepFailedError: configureService ended with 3",),
        ),
    ]
    found = log_lines.TaskLog(
        title="service app: configure",
        servers="bookshop-application-1",
        state=status.TaskState.FAILED,
        try_number=2,
        took=datetime.timedelta(seconds=42),
        href="/dags/bookshop/runs/r/tasks/service-app.configure/mapped/0",
        again=None,
        lines=log_lines.lines(said),
        left_out=12,
        failures=(
            errors.Failure.of(
                "bookshop-application-1: configureService ended with exit code 3.\n"
                "Its last words: no such database 'catalog'. Look at enstratus-configure, then clear this task."
            ),
        ),
        logged="",
    )
    return rendering.render("parts/task_log.html.jinja", SITE, log=found, most=log_lines.MOST_LINES)


@dataclasses.dataclass
class Launch:
    """A launch whose moments pass when the test says so.

    Attributes:
        at: the moment that it is at; with the last one nothing asks any more.
        asked: how often the page has asked.
    """

    moments: tuple[scenes.Scene, ...]
    at: int = 0
    asked: int = 0

    def page(self) -> tuple[int, str]:
        """The page."""
        return 200, of_run(self.moments[self.at], "/live")

    def part(self) -> tuple[int, str]:
        """What of it is asked for anew."""
        self.asked += 1
        is_over = self.at == len(self.moments) - 1
        return 200, of_run_live(self.moments[self.at], None if is_over else "/live")


def _run(scene: scenes.Scene, again: str | None) -> dict[str, object]:
    return {
        "grid": grid.grid(scene.plan, scene.tasks, scene.now, GRID_LINKS),
        "gantt": timeline.gantt(status.timeline(scene.plan, scene.tasks), scene.now),
        "again": again,
    }
