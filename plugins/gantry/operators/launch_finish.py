"""Last step of a launch: marks the deployment RUNNING and logs where the time went."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

from airflow.sdk import Context

from gantry import errors, status
from gantry.agent import addresses
from gantry.operators import base, server_retirement
from gantry.plan import BEFORE_WORK, Step, StepKind
from gantry.reconcile import data_history, data_placement, step_run
from gantry.runtime import lock_holder, lost_server_report, run_history, xcom
from gantry.state import filled_slots

_LOOKS = frozenset({*BEFORE_WORK, StepKind.FIND_LOST})


class StepsSkippedError(errors.GantryError):
    """Steps of the launch were skipped although it has not found that they have nothing to do."""

    def __init__(self, steps: Sequence[str]) -> None:
        self.steps = tuple(steps)
        super().__init__(
            f"steps of this launch were skipped, so it is not complete: {', '.join(steps)}\n"
            f"Clear {lost_server_report.FIND_LOST} together with its downstream tasks, and they run."
        )


class FinishLaunchOperator(base.StepOperator):
    """Reports what runs where and how long each phase took, and closes the run's record."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Remove leftovers of an interrupted scaling, and summarize the launch."""
        gone = server_retirement.retire_all(context, run, self)
        server_retirement.remember(run)
        now = datetime.datetime.now(tz=datetime.UTC)
        tasks = [*_tasks(context, run)]
        _refuse_skipped(run, tasks)
        # This task itself is the only one still running; for the summary it counts as done.
        tasks.append(
            status.TaskView(run.step.id, -1, status.TaskState.SUCCESS, context["ti"].start_date, now)
        )
        found = status.deployment_status(run.plan, tasks, run.inventory, run_ended=True)
        times = status.timeline(run.plan, tasks)
        for line in summary(run, found, times):
            self.log.info("%s", line)
        store = lock_holder.store(run.definition.deployment)
        _settle(run)
        data_history.note_complete(store, now.isoformat())
        slots = {
            tier: tuple(server.slot for server in run.inventory.of_tier(tier))
            for tier in run.definition.tiers
        }
        store.set(filled_slots.KEY, filled_slots.dump(slots))
        run_history.close_record(context, run, times, ended=[*gone, *_retired(context, run)])
        return xcom.result(context, [], state=found.state.value)


def _tasks(context: Context, run: step_run.StepRun) -> Iterator[status.TaskView]:
    """Yield views of all tasks before this one, also of those that `find_lost` has skipped."""
    looks = xcom.reports(context, lost_server_report.FIND_LOST)
    looked = max((datetime.datetime.fromisoformat(each["ended"]) for each in looks), default=None)
    skipped = frozenset(step for each in looks for step in each.get(xcom.NEEDLESS, ()))
    if any(each.get(xcom.UNCHANGED) for each in looks):
        skipped = frozenset(step.id for step in run.plan if step.kind not in _LOOKS)
    for step in run.plan:
        found = [*_views(context, step)]
        if step.id in skipped:
            # What an earlier try of this run has reported is no longer true; a step that a person has cleared has run.
            found = [each for each in found if looked and each.started and each.started > looked]
            found = found or [status.TaskView(step.id, state=status.TaskState.SKIPPED)]
        if step.id != run.step.id:
            yield from found


def _refuse_skipped(run: step_run.StepRun, tasks: Sequence[status.TaskView]) -> None:
    """Fail if tasks were skipped by anyone but `find_lost`, which would look like a complete launch."""
    done = {each.task_id for each in tasks}
    skipped = [
        step.id
        for step in run.plan
        if step.kind is not StepKind.FINISH_LAUNCH
        and step.skipped is None
        and step.id not in done
        and (step.per_server or step.kind is StepKind.SCALE_UP)
    ]
    if skipped:
        raise StepsSkippedError(skipped)


def _settle(run: step_run.StepRun) -> None:
    """Record that every server has answered and every database has its data: from now on, none counts as new."""
    run.cloud.note_arrived([each for each in run.inventory if each.is_new])
    again = [each for each in run.inventory if each.ailing is not None]
    if again:
        run.health.note_well(again)
    memory = lost_server_report.memory(run)
    for service in data_placement.databases(run.definition):
        for server in run.inventory.of_tier(run.definition.services[service].tier):
            memory.end(service, server)


def summary(run: step_run.StepRun, found: status.DeploymentStatus, times: status.Timeline) -> Iterator[str]:
    """Yield the lines of the summary that is logged at the end of a launch."""
    definition = run.definition
    yield f"deployment {definition.deployment} is {found.state}"
    for server in run.inventory:
        services = " ".join(
            f"{name}={found.services.get((name, server.name), '?')}"
            for name in definition.services_of(server.tier)
        )
        agent = found.agents.get(server.name, "?")
        public = f" public={server.public_address}" if server.public_address else ""
        yield (
            f"  {server.name:<28} {server.private_address or '-':<15} {server.instance_id}{public} agent={agent} "
            f"{services}"
        )
    for name, balancer in definition.load_balancers.items():
        scheme = "https" if balancer.tls else definition.port_behind(balancer).protocol
        for server in run.inventory.of_tier(balancer.tier):
            address = addresses.in_url(server.public_address or server.private_address or "")
            yield f"  load balancer {name}: {scheme}://{address}:{balancer.port}/ for {balancer.name}"
    yield "timeline"
    begun = times.span.started
    idle = {
        each.phase
        for each in times.phases
        if all(step.skipped for step in run.plan if step.phase is each.phase)
    }
    for each in times.phases:
        why = "no launch configuration names it" if each.phase in idle else "nothing has changed"
        yield _phase_line(each, begun, skipped=why if each.phase in found.not_applicable else None)
    total = times.span.duration
    yield f"  {'all phases':<34} {'':>8} {_seconds(total)}"
    path = " → ".join(
        f"{link.step.id} {_seconds(link.span.duration).strip()}" for link in times.critical_path
    )
    yield f"critical path: {path} (between the steps: {_seconds(times.waited).strip()})"


def _phase_line(each: status.PhaseTime, begun: datetime.datetime | None, *, skipped: str | None) -> str:
    title = f"  {each.phase.value} {each.phase.title:<32}"
    if skipped:
        return f"{title} skipped: {skipped}"
    if each.span.started is None or begun is None:
        return f"{title} -"
    return f"{title} {_seconds(each.span.started - begun)} {_seconds(each.span.duration)}"


def _seconds(length: datetime.timedelta | None) -> str:
    return f"{length.total_seconds():6.1f} s" if length is not None else "       -"


def _retired(context: Context, run: step_run.StepRun) -> Iterator[str]:
    """Yield the servers that the steps of a scaling have terminated."""
    for step in run.plan:
        if step.kind is StepKind.RETIRE_SERVERS:
            for report in xcom.reports(context, step.id):
                yield from report["retired"]


def _views(context: Context, step: Step) -> Iterator[status.TaskView]:
    """Yield views of a step's task instances; they all succeeded, otherwise this task would not run."""
    key = "report" if step.kind is StepKind.SCALE_UP else "return_value"
    for index, report in enumerate(xcom.reports(context, step.id, key)):
        yield status.TaskView(
            task_id=step.id,
            map_index=index,
            state=status.TaskState.SUCCESS,
            started=datetime.datetime.fromisoformat(report["started"]),
            ended=datetime.datetime.fromisoformat(report["ended"]),
            servers=tuple(report["servers"]),
        )
