"""Cleanup after a failed launch: terminates the servers that it started, if the definition says so."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

from airflow.sdk import Context, TaskInstanceState
from airflow.sdk.exceptions import AirflowSkipException

from gantry import inventory, names
from gantry.operators import base, configuration_management, termination
from gantry.reconcile import data_placement, step_run
from gantry.runtime import lost_server_report, server_notes, xcom


class RemoveNewServersOperator(base.StepOperator):
    """Terminates new servers only; see `kept`. Skipped if nothing has failed.

    It runs in parallel to the launch's last task, not after it: if this were the run's last task, a failed run would
    count as a success.
    """

    ui_color = "#fbe8e8"

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Remove the servers from configuration management, terminate them, and wait until they are gone."""
        failed = failed_steps(context, run)
        if not failed:
            raise AirflowSkipException("nothing has failed: all servers are kept")
        self.log.info("failed: %s", ", ".join(failed))
        everything = run.cloud.everything(run.started())
        memory = lost_server_report.memory(run)
        reasons = kept(run, everything, memory)
        for server in everything.everything:
            fate = reasons.get(server.instance_id)
            told = "removed, this run started it" if fate is None else f"kept, {fate}"
            self.log.info("%s: instance %s, %s: %s", server.name, server.instance_id, server.state, told)
        new = [each for each in everything.everything if each.instance_id not in reasons]
        if not new:
            self.log.info("this run has left no new server")
        # Forget data that only this run has created; data that was lost before stays lost. This happens before the
        # termination, since after a crash in between, the next try would no longer find the servers. The same applies
        # to Chef.
        memory.forget(_ids(new))
        names_kept = {each.name for each in everything if each.instance_id in reasons}
        skipped = self._forget(context, run, [each for each in new if each.name not in names_kept])
        run.cloud.terminate(new)
        for tier in dict.fromkeys(server.tier for server in new):
            of_tier = tuple(server for server in new if server.tier == tier)
            termination.await_end(run, tier, _ids(of_tier))
        server_notes.forget_versions(run, [server.name for server in new])
        return xcom.result(context, [server.name for server in new], skipped=skipped)

    def _forget(self, context: Context, run: step_run.StepRun, gone: Sequence[inventory.Server]) -> list[str]:
        skipped: list[str] = []
        for tier in dict.fromkeys(server.tier for server in gone):
            settings = run.definition.launch_configuration_of(tier).chef
            if settings is not None:
                gone_names = [server.name for server in gone if server.tier == tier]
                skipped += configuration_management.forget(self, context, settings, gone_names)
        for line in skipped:
            self.log.warning("skipped: %s", line)
        return skipped


def kept(
    run: step_run.StepRun, everything: inventory.Inventory, memory: data_placement.DataLocations
) -> dict[str, str]:
    """Return why servers are kept, by instance id; new servers that are to be terminated are absent.

    A server is new if the run itself started it and the deployment was never RUNNING with it. A database is terminated
    only together with all its dependents: the data that others have written to it exists nowhere else.
    """
    reasons: dict[str, str] = {}
    ending = inventory.InstanceState.SHUTTING_DOWN
    slots = collections.Counter((each.tier, each.slot) for each in everything if each.state is not ending)
    for server in everything.everything:
        if server.started_by != run.digest:
            reasons[server.instance_id] = "it ran before"
        elif not server.is_new:
            reasons[server.instance_id] = "the deployment has been RUNNING with it"
        elif server.unreadable is not None or server.tier not in run.definition.tiers:
            reasons[server.instance_id] = "its tags do not say which server of the definition it is"
        elif server in everything.servers and slots[server.tier, server.slot] > 1:
            reasons[server.instance_id] = (
                "another instance has the same slot; Gantry does not choose between them"
            )
    staying = {each.tier for each in everything if each.instance_id in reasons}
    for service in data_placement.databases(run.definition):
        tier = run.definition.services[service].tier
        if staying.isdisjoint(_dependents(run, service)):
            continue
        for server in everything.everything:
            note = memory.of(service, server.slot) if server.tier == tier else None
            if note is not None and note.instance == server.instance_id:
                reasons.setdefault(
                    server.instance_id,
                    f"it holds the data of service {service}, to which servers that are kept may have written",
                )
    return reasons


def _dependents(run: step_run.StepRun, service: names.ServiceName) -> Iterator[names.TierName]:
    """Yield the tiers of the services that depend on a service."""
    for each in run.definition.services.values():
        if any(dependency.service == service for dependency in each.depends_on):
            yield each.tier


def failed_steps(context: Context, run: step_run.StepRun) -> tuple[str, ...]:
    """Return the steps that failed, in the plan's order, without those whose upstream failed."""
    instance = context["ti"]
    states = instance.get_task_states(dag_id=instance.dag_id, run_ids=[run.id]).get(run.id, {})
    failed = {task for task, state in states.items() if state == TaskInstanceState.FAILED}
    # Airflow distinguishes the instances of a mapped task by a number after the task's name.
    tasks = failed | {task.rpartition("_")[0] for task in failed if task.rpartition("_")[2].isdecimal()}
    return tuple(step.id for step in run.plan if step.id in tasks)


def _ids(servers: Sequence[inventory.Server]) -> frozenset[str]:
    return frozenset(server.instance_id for server in servers)
