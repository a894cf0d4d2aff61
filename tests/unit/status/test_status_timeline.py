"""How long everything took, and what it was that took so long."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from typing import Protocol

import pytest

from gantry import plan, status
from gantry.plan import Phase
from gantry.status import Progress, TaskState, TaskView

START = datetime.datetime(2026, 11, 20, 4, tzinfo=datetime.UTC)


class Moment(Protocol):
    tasks: tuple[TaskView, ...]


def seconds(number: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=number)


def after(number: float) -> datetime.datetime:
    return START + seconds(number)


def test_phases_last_from_their_first_start_to_their_last_end(launch: plan.Plan, running: Moment) -> None:
    found = status.timeline(launch, running.tasks)
    scale_up = found.phase(Phase.SCALE_UP)
    assert scale_up is not None
    assert scale_up.span == status.Span(after(1), after(47))
    assert scale_up.span.duration == seconds(46)
    assert [each.phase for each in found.phases] == list(Phase)
    before = found.phase(Phase.PRE_LAUNCH)
    assert before is not None
    # The recording is older than the wait for the turn.
    assert (before.progress, before.span) == (status.Progress.NOT_APPLICABLE, status.Span())
    assert found.span.duration == seconds(215.5)


def test_a_step_lasts_from_its_first_instance_to_its_last(launch: plan.Plan, running: Moment) -> None:
    dependents = status.timeline(launch, running.tasks).phase(Phase.CONFIGURE_DEPENDENTS)
    assert dependents is not None
    assert {each.step.id: each.span.duration for each in dependents.steps} == {
        "service-app.grant_access_on_db": seconds(1.6),
        # The recorded run is older than this step.
        "service-app.update": None,
        "service-app.configure": seconds(12.6),
    }


def test_the_critical_path_names_the_steps_that_decided_the_end(launch: plan.Plan, running: Moment) -> None:
    found = status.timeline(launch, running.tasks)
    assert [link.step.id for link in found.critical_path] == [
        "tier-database.scale_up",
        "tier-database.handshake",
        "tier-database.prepare_configuration_management",
        "tier-database.execute_configuration_management",
        "tier-database.install_services",
        "service-db.install_datasources",
        "service-db.configure",
        "service-app.grant_access_on_db",
        "service-app.configure",
        "balancer-front.start_proxy",
        "finish_launch",
    ]
    assert found.critical_path[0].waited == seconds(0)
    assert found.critical_path[1].waited == seconds(0.3)
    worked = sum((link.span.duration or seconds(0) for link in found.critical_path), seconds(0))
    assert worked + found.waited == found.span.duration


def test_of_several_upstream_steps_the_one_that_ended_last_was_decisive(
    launch: plan.Plan, running: Moment
) -> None:
    late = {"tier-application.install_services": after(230), "service-app.configure": after(260)}
    tasks = [
        dataclasses.replace(task, ended=late[task.task_id]) if task.task_id in late else task
        for task in running.tasks
        if task.task_id in launch.by_id and launch.by_id[task.task_id].phase is not Phase.START_PROXY
    ]
    path = [link.step.id for link in status.timeline(launch, tasks).critical_path]
    assert path[-2:] == ["tier-application.install_services", "service-app.configure"]
    assert path[0] == "tier-application.scale_up"


def test_what_has_not_ended_has_no_duration(launch: plan.Plan, composed: tuple[Moment, ...]) -> None:
    found = status.timeline(launch, composed[12].tasks)
    dependents = found.phase(Phase.CONFIGURE_DEPENDENTS)
    proxy = found.phase(Phase.START_PROXY)
    assert dependents is not None
    assert dependents.progress is Progress.IN_PROGRESS
    assert (dependents.span, dependents.span.duration) == (status.Span(after(199.4), None), None)
    assert proxy is not None
    assert proxy.span == status.Span()
    assert found.span.ended is None
    assert found.critical_path[-1].step.id == "service-app.grant_access_on_db"


def test_before_anything_has_begun_there_is_nothing_to_tell(launch: plan.Plan) -> None:
    found = status.timeline(launch, ())
    assert (found.span, found.critical_path, found.waited) == (status.Span(), (), seconds(0))


def test_a_run_that_failed_ends_with_what_ended_last(
    launch: plan.Plan, failing_at: Callable[[str], tuple[TaskView, ...]]
) -> None:
    found = status.timeline(launch, failing_at("service-db.configure"))
    assert found.critical_path[-1].step.id == "service-db.configure"
    dependencies = found.phase(Phase.CONFIGURE_DEPENDENCIES)
    assert dependencies is not None
    assert dependencies.progress is Progress.FAILED
    assert dependencies.span.duration == seconds(26.6)


@pytest.mark.parametrize("has_times", [True, False])
def test_steps_with_nothing_to_do_are_seen_through(
    launch: plan.Plan, running: Moment, *, has_times: bool
) -> None:
    idle = {Phase.PREPARE_CONFIGURATION_MANAGEMENT, Phase.EXECUTE_CONFIGURATION_MANAGEMENT}
    without = dataclasses.replace(
        launch,
        steps=tuple(
            dataclasses.replace(step, skipped="nothing to do") if step.phase in idle else step
            for step in launch
        ),
    )
    tasks = [
        task
        if has_times or without.by_id[task.task_id].skipped is None
        else TaskView(task.task_id, state=TaskState.SUCCESS)
        for task in running.tasks
    ]
    found = status.timeline(without, tasks)
    path = [link.step.id for link in found.critical_path]
    assert path[1:3] == ["tier-database.handshake", "tier-database.install_services"]
    assert found.critical_path[2].waited == seconds(165.4 - 41)
    assert [each.progress for each in found.phases if each.phase in idle] == [Progress.NOT_APPLICABLE] * 2


def test_a_cleared_step_that_ended_after_its_successor_costs_no_negative_wait(
    launch: plan.Plan, running: Moment
) -> None:
    tasks = [
        dataclasses.replace(task, ended=after(215)) if task.task_id == "service-app.configure" else task
        for task in running.tasks
    ]
    assert min(link.waited for link in status.timeline(launch, tasks).critical_path) == seconds(0)
