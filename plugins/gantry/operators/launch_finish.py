"""Last step of a launch: marks the deployment RUNNING and logs where the time went."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from airflow.sdk import Context

from gantry import status
from gantry.agent import addresses
from gantry.operators import base, server_retirement
from gantry.plan import Step, StepKind
from gantry.reconcile import data_history, data_placement, step_run
from gantry.runtime import lock_holder, lost_server_report, run_history, xcom
from gantry.state import filled_slots


class FinishLaunchOperator(base.StepOperator):
    """Reports what runs where and how long each phase took, and closes the run's record."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Remove leftovers of an interrupted scaling, and summarize the launch."""
        gone = server_retirement.retire_all(context, run, self)
        server_retirement.remember(run)
        tasks = [view for step in run.plan for view in _views(context, step)]
        now = datetime.datetime.now(tz=datetime.UTC)
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
    for each in times.phases:
        yield _phase_line(each, begun, skipped=each.phase in found.not_applicable)
    total = times.span.duration
    yield f"  {'all phases':<34} {'':>8} {_seconds(total)}"
    path = " → ".join(
        f"{link.step.id} {_seconds(link.span.duration).strip()}" for link in times.critical_path
    )
    yield f"critical path: {path} (between the steps: {_seconds(times.waited).strip()})"


def _phase_line(each: status.PhaseTime, begun: datetime.datetime | None, *, skipped: bool) -> str:
    title = f"  {each.phase.value} {each.phase.title:<32}"
    if skipped:
        return f"{title} skipped: no launch configuration names it"
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
