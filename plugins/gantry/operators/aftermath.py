"""After a launch that failed: the servers that it has started are taken away again, if the definition says so."""

from __future__ import annotations

from collections.abc import Sequence

from airflow.sdk import Context, TaskInstanceState
from airflow.sdk.exceptions import AirflowSkipException

from gantry import inventory
from gantry.operators import base, chosen, configuration_management, ledger, termination
from gantry.operators import run as runs


class RemoveNewServersOperator(base.StepOperator):
    """Terminates what this run has started, and nothing else. Skipped where nothing has failed.

    It runs beside the launch's own end, not after it: a run whose last task is this one would read as a success.
    """

    ui_color = "#fbe8e8"

    def perform(self, context: Context, run: runs.Run) -> base.Result:
        """Terminate, wait until they are gone, and let configuration management forget them."""
        failed = failed_steps(context, run)
        if not failed:
            raise AirflowSkipException("nothing has failed: every server stays")
        self.log.info("failed: %s", ", ".join(failed))
        new = run.cloud.started_by(run.digest)
        for server in run.inventory:
            fate = "removed, this run started it" if server in new else "kept, it ran before"
            self.log.info("%s: instance %s, %s: %s", server.name, server.instance_id, server.state, fate)
        if not new:
            self.log.info("this run has started no server that is left")
        # Data that only this run has made; what was lost before it is lost all the same. Before they go: a try that
        # is lost in between would find none of them any more.
        chosen.memory(run).forget(_ids(new))
        run.cloud.terminate(new)
        for tier in dict.fromkeys(server.tier for server in new):
            of_tier = tuple(server for server in new if server.tier == tier)
            termination.await_end(run, tier, _ids(of_tier))
        ledger.forget_versions(run, [server.name for server in new])
        skipped = self._forget(context, run, new)
        return base.result(context, [server.name for server in new], skipped=skipped)

    def _forget(self, context: Context, run: runs.Run, gone: Sequence[inventory.Server]) -> list[str]:
        skipped: list[str] = []
        for tier in dict.fromkeys(server.tier for server in gone):
            settings = run.definition.launch_configuration_of(tier).chef
            if settings is not None:
                gone_names = [server.name for server in gone if server.tier == tier]
                skipped += configuration_management.forget(self, context, settings, gone_names)
        for line in skipped:
            self.log.warning("skipped: %s", line)
        return skipped


def failed_steps(context: Context, run: runs.Run) -> tuple[str, ...]:
    """The steps that failed, in the plan's order; not those that only could not begin."""
    instance = context["ti"]
    states = instance.get_task_states(dag_id=instance.dag_id, run_ids=[run.id]).get(run.id, {})
    failed = {task for task, state in states.items() if state == TaskInstanceState.FAILED}
    # Airflow tells the instances of a mapped task apart by a number behind the task's name.
    tasks = failed | {task.rpartition("_")[0] for task in failed if task.rpartition("_")[2].isdecimal()}
    return tuple(step.id for step in run.plan if step.id in tasks)


def _ids(servers: Sequence[inventory.Server]) -> frozenset[str]:
    return frozenset(server.instance_id for server in servers)
