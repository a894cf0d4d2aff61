"""Lost servers: finds and reports them, checks what depends on them, and marks them as leaving to free their slots."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import time
from collections.abc import Collection, Iterator, Mapping

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped

from gantry import errors, names, requests
from gantry.operators import base
from gantry.plan import BEFORE_WORK, StepKind
from gantry.preview import unchanged
from gantry.reconcile import (
    data_history,
    data_loss_check,
    data_placement,
    data_renewal,
    replacement,
    server_health,
    step_run,
)
from gantry.runtime import lock_holder, lost_server_report, run_history, xcom
from gantry.state import filled_slots

_PAUSE = 10.0
"""Seconds between two checks of a server that is waited for."""

_LONGEST_WAIT = datetime.timedelta(minutes=10)
"""The longest `recovery_delay` for which a run waits by itself: the wait occupies a worker."""

_SLACK = datetime.timedelta(minutes=1)
"""A check takes a while, and starts some time after the moment that it waits for."""


@dataclasses.dataclass(frozen=True)
class Outlook:
    """What a run will do about lost servers.

    Attributes:
        missing: the slots that it fills, by tier.
        renewals: the data that it restores on them.
    """

    choice: replacement.Choice
    missing: Mapping[names.TierName, Collection[names.Slot]]
    renewals: data_renewal.Renewals


def outlook(
    run: step_run.StepRun,
    findings: server_health.HealthReport,
    memory: data_placement.DataLocations,
    before: replacement.Slots,
    known: data_renewal.DeploymentPast,
) -> Outlook:
    """Return what a run will do about lost servers. Changes only the record of where the data is.

    Raises:
        UnknownServerError, ServerHealthyError, NoServerAnswersError: as `replacement.choose`.
        DataLostError, UnknownDataError, ContradictionError, ReplicantsLeftError: as `data_renewal.renewals`.
    """
    choice = replacement.choose(run.definition, run.inventory, findings, run.lost, before)
    # An explicitly requested number of servers is used unchanged.
    choice = dataclasses.replace(
        choice, slots={tier: slots for tier, slots in choice.slots.items() if tier not in run.scaled_to}
    )
    staying = choice.staying(run.inventory)
    for service in data_placement.databases(run.definition):
        for each in run.inventory.of_tier(run.definition.services[service].tier):
            if each.name in choice.servers and each.host_key is not None:
                # An older Gantry or another Airflow may have filled it, or its record may be lost.
                memory.begin(service, each)
    missing = replacement.missing(run.definition, staying, run.wanted, choice.slots)
    asked = run.asked(requests.LostDataRequest)
    renewals = data_renewal.renewals(
        run.definition,
        staying,
        missing,
        memory,
        lambda name: run.shelf(name).find(""),
        data_renewal.DataEvidence(asked.from_dump, asked.from_backup, known),
    )
    for service in data_placement.databases(run.definition):
        for each in staying.of_tier(run.definition.services[service].tier):
            if not known.is_complete and each.host_key is not None:
                memory.begin(service, each)
    for renewal in renewals:
        for slot in renewal.slots:
            # A person's decision about an unrecorded server also holds for later runs, in case this one fails.
            memory.expect(renewal.service, slot, renewal.from_dump(run.definition))
    return Outlook(choice, missing, renewals)


class FindLostOperator(base.StepOperator):
    """Checks every server, and marks lost ones as leaving: the steps that follow fill their slots again.

    If there are none, the steps of a launch that have nothing to do are skipped.
    """

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Refuse before anything is recorded; a repeated call finds what the first one recorded."""
        lock_holder.secure(context, run)
        memory = lost_server_report.memory(run)
        data_loss_check.before_beginning(run.definition, run.inventory, (run.cloud, run.health), memory)
        run, findings = self._look(run)
        for line in lost_server_report.said(findings):
            self.log.warning("%s", line)
        store = lock_holder.store(run.definition.deployment)
        known = data_history.of(store, run.inventory, functools.partial(lock_holder.ran, run.definition))
        before = filled_slots.load(store.get(filled_slots.KEY))
        found = outlook(run, findings, memory, before, known)
        data_history.note_complete(store, lock_holder.now())
        if run.lost is not None:
            self._end_if_needless(context, run, findings, found)
        data_loss_check.before_giving_up(run, found.choice)
        for server in run.inventory:
            why = found.choice.servers.get(server.name)
            if why is not None:
                self.log.info("%s (%s) is replaced: %s", server.name, server.instance_id, why)
                run.cloud.give_up(server, why, anyway=server.name in found.choice.anyway)
        for renewal in found.renewals:
            for line in told(run, renewal):
                self.log.info("%s", line)
        result = xcom.result(
            context,
            sorted(found.choice.servers),
            slots={tier: list(slots) for tier, slots in found.choice.slots.items()},
        )
        if run.operation is names.Operation.LAUNCH and _is_needless(run, found):
            self._skip(context, run, findings, result)
        return result

    def _skip(
        self,
        context: Context,
        run: step_run.StepRun,
        findings: server_health.HealthReport,
        result: xcom.Result,
    ) -> None:
        """If steps have nothing to do, end this task well, and skip them. Raises DownstreamTasksSkipped then."""
        if {each.name for each in findings.well} < {each.name for each in run.inventory}:
            return
        try:
            forecast = unchanged.look(run)
        except errors.GantryError as error:
            # The step that it concerns fails with the same error, in its own log and with its own retries.
            forecast = unchanged.LaunchForecast(error.failure.headline)
        if forecast.doubt is None:
            for server in run.inventory:
                self.log.info("%s: nothing to do: everything is applied already", server.name)
            self.log.info(
                "nothing has changed: all servers were asked for everything that the steps of this launch apply, so "
                "these are skipped"
            )
            kept = {*BEFORE_WORK, StepKind.FIND_LOST, StepKind.FINISH_LAUNCH}
            skipped = [step.id for step in run.plan if step.kind not in kept]
            report = {**result, xcom.UNCHANGED: True}
        else:
            self.log.info("the steps that follow are needed: %s", forecast.doubt)
            skipped = [step.id for step in run.plan if step.id in forecast.needless]
            if not skipped:
                return
            self.log.info(
                "skipped, since they have nothing to do on any server, and nothing before them has: %s",
                ", ".join(skipped),
            )
            report = {**result, xcom.NEEDLESS: skipped}
        # Airflow keeps no result of a task that ends in this way.
        context["ti"].xcom_push(key="return_value", value=report)
        raise DownstreamTasksSkipped(tasks=skipped)  # type: ignore[no-untyped-call] # Airflow's own signature

    def _look(self, run: step_run.StepRun) -> tuple[step_run.StepRun, server_health.HealthReport]:
        """Check the servers; return the run with their current state, and their health.

        Without a watch, runs may be days apart, and so are their checks. A server that one of them found unhealthy is
        therefore checked here repeatedly until it is healthy or counts as lost: otherwise no run would ever replace
        it.
        """
        findings = self._once(run)
        if run.lost is not None and run.lost.servers:
            return run, findings
        waited = {
            each.server.instance_id: each
            for each in findings.ailing
            if each.was_so_before and run.definition.tiers[each.server.tier].recovery_delay <= _LONGEST_WAIT
        }
        for each in waited.values():
            self.log.warning(
                "%s: %s. The last such report is too old to count. It is checked until %s, or until it is healthy",
                each.server.name, each.what, server_health.told(each.due),
            )  # fmt: skip
        end = time.monotonic() + (_LONGEST_WAIT + _SLACK).total_seconds()
        while any(each.server.instance_id in waited for each in findings.ailing) and time.monotonic() < end:
            time.sleep(_PAUSE)
            # The servers as they are after the wait.
            run = dataclasses.replace(run)
            findings = self._once(run)
        return run, findings

    def _once(self, run: step_run.StepRun) -> server_health.HealthReport:
        findings = server_health.examine(run.definition, run.inventory, run.cloud, run.health)
        lost_server_report.remember(run, findings)
        return findings

    def _end_if_needless(
        self, context: Context, run: step_run.StepRun, findings: server_health.HealthReport, found: Outlook
    ) -> None:
        """Skip a run that would replace no server. Raises NotYetLostError, NotAskedError."""
        if not _is_needless(run, found):
            return
        if findings.ailing:
            raise replacement.NotYetLostError(findings.ailing)
        if findings.unreached:
            raise replacement.NotAskedError(findings.unreached)
        # The run's last step, which would have done this, is skipped too.
        run_history.close_record(context, run)
        raise AirflowSkipException(f"no server of {run.definition.deployment} is lost: nothing to replace")


def _is_needless(run: step_run.StepRun, found: Outlook) -> bool:
    """Return whether a run would start, resume and remove no server."""
    staying = found.choice.staying(run.inventory)
    stopped = replacement.resumed(run.definition, staying, run.wanted, found.choice.slots)
    return not (staying.leaving or stopped or any(found.missing.values()))


def told(run: step_run.StepRun, renewal: data_renewal.Renewal) -> Iterator[str]:
    """Yield lines that say what a lost database is restored from."""
    for slot in renewal.slots:
        name = run.definition.name_of(run.definition.services[renewal.service].tier, slot)
        for datasource in run.definition.services[renewal.service].datasources:
            stored = renewal.backups.get(datasource)
            source = "its dump, as requested" if stored is None else stored.url
            yield f"{name}: {renewal.service}.{datasource} was lost with its server and begins from {source}"
