"""Base operator of steps that run scripts on servers: first followed by the worker, then by the triggerer."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from airflow.sdk import Context

from gantry import names
from gantry.agent import fan_out, jobs, ssh
from gantry.credentials import connections
from gantry.operators import stoppable
from gantry.reconcile import data_placement, output_readers, step_run, step_work
from gantry.runtime import lock_holder, server_notes, task_log, xcom
from gantry.status import labels
from gantry.triggers import server_work


class ServerStepOperator(stoppable.StoppableOperator):
    """Runs a step's jobs on some servers of a tier.

    Args:
        servers: the names of the servers that this task instance works on.
    """

    template_fields: Sequence[str] = ("servers",)

    def __init__(self, *, servers: Any, **kwargs: Any) -> None:  # noqa: ANN401 - a list, or Airflow's stand-in for one
        super().__init__(**kwargs)
        self.servers = servers
        self._driven: tuple[Sequence[jobs.ServerProgress], ssh.Access, jobs.StepKey] | None = None

    @property
    def servers_label(self) -> str:
        """Return the task instance's label in the UI."""
        return labels.label(list(self.servers))

    def decide(self, run: step_run.StepRun) -> fan_out.Decide:
        """Return a function that decides what is left to do on a server.

        Called once per task, the function per server.
        """
        return step_work.decide(run)

    def reader(self, run: step_run.StepRun) -> output_readers.Name | None:  # noqa: ARG002 - for those that have one
        """Return the name of the reader that interprets the scripts' output, if any."""
        return None

    def holding(self, run: step_run.StepRun) -> dict[str, str]:  # noqa: ARG002 - for those that load data
        """Return what is recorded about data when the step is done; see `data_placement.DataLocations.holding`."""
        return {}

    def targets(self, run: step_run.StepRun) -> list[ssh.Target]:
        """Return the servers to work on."""
        return step_run.targets(run.inventory, [names.ServerName(each) for each in self.servers])

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Prepare the servers, run their jobs, and defer to the triggerer what takes longer."""
        found = self.targets(run)
        access = run.access()
        output = task_log.printer(self.log, several=len(found) > 1)
        attend = run.definition.attend_time.total_seconds()
        decide, questions, reader = self.decide(run), step_work.questions(run), self.reader(run)

        notes = server_notes.ServerNotes(context, run, self.log)
        everything = fan_out.begin(found, run.until)
        self._driven = (everything, access, run.key)
        is_prepared = False

        async def work() -> None:
            nonlocal is_prepared
            async with fan_out.Lines() as kept:
                await fan_out.prepare(everything, access, decide, output, questions, notes.witness, kept)
                notes.keep_facts()
                is_prepared = True
                for each in everything:
                    if not each.jobs and each.failure is None and not each.held:
                        output(each.target.name, "nothing to do: everything is applied already")
                await fan_out.carry_out(
                    everything,
                    access,
                    run.key,
                    output,
                    seconds=attend,
                    reader=output_readers.named(reader),
                    links=run.links,
                    kept=kept,
                )

        if not self.follow(work) and not is_prepared:
            raise stoppable.StoppedError
        self._note_well(run, everything)
        notes.keep_versions(everything)
        if not all(each.done for each in everything):
            self._hand_over(context, run, everything, reader, notes.who)
        fan_out.verdict(everything)
        data_placement.settle(lock_holder.store(notes.who.deployment), self.holding(run))
        return xcom.result(
            context, [each.target.name for each in everything], **output_readers.report(reader, everything)
        )

    def _note_well(self, run: step_run.StepRun, everything: Sequence[jobs.ServerProgress]) -> None:
        """Clear the recorded health findings of servers that have worked since."""
        answered = {each.target.instance_id for each in everything if each.failure is None}
        again = [each for each in run.inventory if each.ailing is not None and each.instance_id in answered]
        if again:
            run.health.note_well(again)

    async def end(self, unconfirmed: set[names.ServerName]) -> None:
        """Kill the remote processes."""
        if self._driven is not None:
            await fan_out.kill(*self._driven, unconfirmed)

    def _hand_over(
        self,
        context: Context,
        run: step_run.StepRun,
        everything: list[jobs.ServerProgress],
        reader: output_readers.Name | None,
        author: server_notes.ChangedBy,
    ) -> None:
        self.log.info("the scripts are still running; the triggerer continues to follow them")
        self.defer(
            trigger=server_work.JobsTrigger(
                everything=server_work.dump(everything),
                login=run.ssh_settings.model_dump(mode="json"),
                step=run.key.step,
                epoch=run.key.epoch,
                attempt=run.key.attempt,
                author=server_notes.dump(author),
                holding=self.holding(run),
                reader=reader,
                cloud=run.definition.cloud.model_dump(mode="json"),
                secrets=connections.with_secrets(run.definition),
                report=xcom.result(context, [each.target.name for each in everything]),
            ),
            method_name="resume",
            timeout=_longest(everything, run.ssh_settings.reconnect_for.total_seconds()),
        )


def _longest(everything: Sequence[jobs.ServerProgress], patience: float) -> datetime.timedelta:
    """Return a time limit for the triggerer, well beyond the jobs' own: they must be killed before it fires."""
    seconds = max(sum(job.longest for job in each.jobs[each.index :]) for each in everything)
    return datetime.timedelta(seconds=seconds + 10 * patience)
