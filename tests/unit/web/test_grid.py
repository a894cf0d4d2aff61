"""A run as a grid and in time: each cell its state, its length, and its own log."""

from __future__ import annotations

import dataclasses
import datetime

import pytest

from gantry import plan, status
from gantry.web.views import grid, rendering, timeline
from tests.web import scenes

SITE = rendering.Site("/gantry")
LINKS = grid.GridLinks(
    task=lambda task, index: f"/tasks/{task}/{index}",
    log=lambda task, index: f"/log/{task}/{index}",
    server=lambda name: f"/servers/{name}",
)


def drawn(scene: scenes.Scene) -> grid.Grid:
    return grid.grid(scene.plan, scene.tasks, scene.now, LINKS)


def row(found: grid.Grid, title: str) -> grid.GridRow:
    return next(
        each for part in found.parts for each in (part.head, *part.rows) if each.title.startswith(title)
    )


def cell(found: grid.Grid, title: str, phase: plan.Phase) -> list[str]:
    at = [column.number for column in found.columns].index(phase.value)
    return [f"{entry.title} {entry.look.word} {entry.took}".strip() for entry in row(found, title).cells[at]]


def test_phases_are_columns_and_servers_rows_below_their_tiers() -> None:
    found = drawn(scenes.bookshop(-1))
    assert [column.number for column in found.columns] == list(range(8))
    assert [(part.head.title, [each.title for each in part.rows]) for part in found.parts] == [
        ("deployment", []),
        ("database", ["bookshop-database-1"]),
        ("application", ["bookshop-application-1", "bookshop-application-2"]),
        ("proxy", ["bookshop-proxy-1"]),
    ]
    assert all(len(each.cells) == 8 for part in found.parts for each in (part.head, *part.rows))


def test_each_cell_has_its_steps_with_state_and_length() -> None:
    found = drawn(scenes.bookshop(-1))
    assert cell(found, "bookshop-database-1", plan.Phase.CONFIGURE_DEPENDENCIES) == [
        "db: datasources success 19 s",
        "db: configure success 7.6 s",
    ]
    assert cell(found, "bookshop-database-1", plan.Phase.CONFIGURE_DEPENDENTS) == [
        "app: grant access success 1.6 s"
    ]
    assert cell(found, "application", plan.Phase.SCALE_UP) == ["scale up success 6.3 s"]
    assert cell(found, "deployment", plan.Phase.START_PROXY)[0].startswith("finish success")
    assert cell(found, "bookshop-proxy-1", plan.Phase.INSTALL_SERVICES) == []


def test_a_cell_leads_to_exactly_its_task_instance() -> None:
    found = drawn(scenes.bookshop(-1))
    scene = scenes.bookshop(-1)
    at = [column.number for column in found.columns].index(plan.Phase.CONFIGURE_DEPENDENTS)
    for server in ("bookshop-application-1", "bookshop-application-2"):
        (entry,) = row(found, server).cells[at]
        (task,) = [
            each for each in scene.tasks if each.task_id == "service-app.configure" and server in each.servers
        ]
        assert entry.task == f"/tasks/service-app.configure/{task.map_index}"
        assert entry.log == f"/log/service-app.configure/{task.map_index}"


def test_what_has_not_begun_has_no_log() -> None:
    found = drawn(scenes.bookshop(0))
    entries = [
        entry
        for part in found.parts
        for each in (part.head, *part.rows)
        for one in each.cells
        for entry in one
    ]
    assert entries
    assert all(entry.log is None and entry.task is None and entry.took == "" for entry in entries)


def test_a_failed_step_stands_out_and_what_waits_for_it_says_so() -> None:
    found = drawn(scenes.bookshop_failed())
    assert cell(found, "bookshop-application-1", plan.Phase.CONFIGURE_DEPENDENTS) == [
        "app: configure failed 11 s"
    ]
    assert cell(found, "bookshop-proxy-1", plan.Phase.START_PROXY) == ["front: start proxy upstream failed"]
    assert found.now_at == "failed in phase 6, configure dependent services"


def test_the_phase_that_works_is_marked_and_told() -> None:
    found = drawn(scenes.bookshop(len(scenes.moments()) // 2))
    assert [column.number for column in found.columns if column.is_current] == [5]
    assert found.now_at == "in phase 5, configure dependencies"
    assert drawn(scenes.bookshop(-1)).now_at == "all phases are done"
    assert drawn(scenes.bookshop(0)).now_at == ""


def test_what_runs_is_counted_up_to_now_in_whole_seconds() -> None:
    scene = scenes.large()
    later = dataclasses.replace(scene, now=scene.now + datetime.timedelta(seconds=60.4))
    (before,), (after,) = (
        cell(drawn(each), "large-queue-1", plan.Phase.INSTALL_SERVICES) for each in (scene, later)
    )
    assert before == "install running 5 min 9 s"
    assert after == "install running 6 min 9 s"


def test_of_many_servers_those_that_share_their_tasks_share_a_row() -> None:
    part = next(each for each in drawn(scenes.large()).parts if each.head.title == "web")
    assert part.head.note == "56 servers"
    assert len(part.rows) == 8
    assert (part.rows[0].title, part.rows[0].note) == ("large-web-1 …", "and 6 more")
    keys = [entry.key for each in part.rows for one in each.cells for entry in one]
    assert len(set(keys)) == len(keys)


def test_the_grid_is_a_table_that_readers_can_walk() -> None:
    text = rendering.render("parts/grid.html.jinja", SITE, grid=drawn(scenes.bookshop_failed()))
    assert text.count('scope="col"') == 8
    assert text.count('scope="row"') == 4
    assert 'aria-label="app: configure: failed, 11 s, open the log"' in text
    assert 'hx-get="/log/service-app.configure/0"' in text


def test_a_timeline_marks_what_decided_how_long_it_took() -> None:
    scene = scenes.bookshop(-1)
    found = timeline.gantt(status.timeline(scene.plan, scene.tasks), scene.now)
    assert found is not None
    bars = [bar for stage in found.stages for bar in stage.bars]
    critical = [bar.key for bar in bars if bar.is_critical]
    assert critical[-1] == "finish_launch"
    assert "service-db.install_datasources" in critical
    assert "tier-proxy.scale_up" not in critical
    assert all(bar.start >= 0 and bar.start + bar.width <= 100.01 for bar in bars)
    assert "on the critical path" in next(bar.label for bar in bars if bar.is_critical)
    assert [stage.number for stage in found.stages] == [1, 2, 3, 4, 5, 6, 7]
    text = rendering.render("parts/timeline.html.jinja", SITE, gantt=found)
    assert text.count("on the critical path</span>") == len(critical)


def test_a_run_that_has_not_begun_has_no_timeline() -> None:
    scene = scenes.bookshop(0)
    assert timeline.gantt(status.timeline(scene.plan, ()), scene.now) is None


def test_a_run_that_has_failed_does_not_go_on_in_its_timeline() -> None:
    scene = scenes.bookshop_failed()
    found = timeline.gantt(status.timeline(scene.plan, scene.tasks), scene.now + datetime.timedelta(hours=2))
    assert found is not None
    assert found.took == "3 min 33 s"


def test_a_phase_that_is_not_even_tried_takes_no_time() -> None:
    """Airflow gives the tasks behind a failed one a start and an end, at the same moment."""
    scene = scenes.bookshop_failed()
    end = max(each.ended for each in scene.tasks if each.ended)
    tasks = [
        dataclasses.replace(each, started=end, ended=end)
        if each.state is status.TaskState.UPSTREAM_FAILED
        else each
        for each in scene.tasks
    ]
    assert drawn(dataclasses.replace(scene, tasks=tuple(tasks))).columns[7].took == ""
    found = timeline.gantt(status.timeline(scene.plan, tasks), scene.now)
    assert found is not None
    assert (found.stages[-1].number, found.stages[-1].took, found.stages[-1].bars) == (7, "", ())


def test_what_still_works_reaches_to_now() -> None:
    scene = scenes.large()
    found = timeline.gantt(status.timeline(scene.plan, scene.tasks), scene.now)
    assert found is not None
    bar = next(
        bar for stage in found.stages for bar in stage.bars if bar.key == "tier-queue.install_services"
    )
    assert bar.start + bar.width == pytest.approx(100, abs=0.05)
    assert found.stages[0].number == 0


@pytest.mark.parametrize(("seconds", "last"), [(3, "0:03"), (50, "0:50"), (216, "3:00"), (4000, "1:00:00")])
def test_the_axis_has_few_marks_at_round_times(seconds: int, last: str) -> None:
    scene = scenes.bookshop(-1)
    first = scene.plan.steps[1]
    start = scenes.START
    task = status.TaskView(first.id, state=status.TaskState.RUNNING, started=start)
    found = timeline.gantt(status.timeline(scene.plan, [task]), start + datetime.timedelta(seconds=seconds))
    assert found is not None
    assert len(found.marks) <= 6
    assert found.marks[-1].text == last
