"""Restore drill: restores and checks the newest backups on temporary servers, which are always terminated."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator
from typing import Any

from airflow.sdk import Context

from gantry import durations, errors, names
from gantry.agent import ssh
from gantry.operators import backups, base, launch_cleanup, server_step, termination
from gantry.plan import Group, GroupKind, StepKind
from gantry.plan.steps import DEPLOYMENT, step_id
from gantry.reconcile import output_readers, step_run
from gantry.runtime import lost_server_report, run_history, server_notes, xcom


class OldBackupError(errors.GantryError):
    """The newest backup is older than the definition allows."""

    def __init__(
        self, backup: names.BackupName, url: str, age: datetime.timedelta, most: datetime.timedelta
    ) -> None:
        self.backup = backup
        self.age = age
        super().__init__(
            f"the newest backup of {backup!r} is {durations.text(age, exact=False)} old, and max_age is "
            f"{durations.text(most, exact=False)}: {url}\n"
            f"Nothing was restored. Check why no newer one was completed."
        )


class ChooseBackupsOperator(base.StepOperator):
    """Removes the leftovers of an earlier drill, and chooses the newest backups."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Choose once: retries and later backups do not change the choice."""
        gone = termination.remove_drill_servers(context, run, self)
        _forget(run, gone)
        if gone:
            self.log.warning("an earlier drill had left %s", ", ".join(gone))
        now = datetime.datetime.now(tz=datetime.UTC)
        drill = run.backup_settings.drill
        stored = {}
        for name in run.backup_settings.of:
            found = backups.fitting(run, name)
            age = now - found.manifest.time
            if drill is not None and drill.max_age is not None and age > drill.max_age:
                raise OldBackupError(name, found.url, age, drill.max_age)
            self.log.info(
                "backup %s: %s, %s old: %s",
                name,
                found.url,
                durations.text(age, exact=False),
                found.manifest.model_dump_json(),
            )
            stored[name] = found.model_dump(mode="json")
        return xcom.result(context, [], stored=stored)


class CheckBackupOperator(server_step.ServerStepOperator):
    """Runs the definition's check of a restored backup."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's keywords
        super().__init__(servers=(), **kwargs)

    def reader(self, run: step_run.StepRun) -> output_readers.Name | None:  # noqa: ARG002 - as those that ask
        """Return the reader of the last line of output."""
        return "check"

    def targets(self, run: step_run.StepRun) -> list[ssh.Target]:
        """Return the tier's only server."""
        return [step_run.target(each, each.name) for each in backups.running(run, "server")]


class RemoveDrillServersOperator(base.StepOperator):
    """Terminates the temporary servers, whether or not the drill succeeded."""

    ui_color = "#fbe8e8"

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Report failures, if any, and terminate."""
        failed = launch_cleanup.failed_steps(context, run)
        if failed:
            self.log.error("the drill has failed at %s", ", ".join(failed))
        gone = termination.remove_drill_servers(context, run, self)
        _forget(run, gone)
        if not gone:
            self.log.info("the drill has no servers")
        self.log.info("nothing of the drill is left in the cloud")
        return xcom.result(context, gone)


class FinishDrillOperator(base.StepOperator):
    """Reports what was restored from which backup, how long it took, and what the checks printed."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Summarize. Runs only if all earlier steps succeeded."""
        said = []
        for each in outcomes(context, run):
            said.append(dataclasses.asdict(each))
            self.log.info("%s", each)
        self.log.info("the drill of %s has succeeded; nothing of it is left in the cloud", run.deployment)
        run_history.close_record(context, run)
        return xcom.result(context, [], backups=said)


def _forget(run: step_run.StepRun, gone: Iterable[str]) -> None:
    """Delete the state recorded for the temporary servers: otherwise the next drill would find a lost database."""
    lost_server_report.memory(run).forget_all()
    server_notes.forget_versions(run, gone)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of one backup's restore.

    Attributes:
        age: seconds between the creation of the backup and its choice.
        size: bytes.
        took: seconds from the start of the download until the service's check succeeded.
        said: the last line of the definition's check; None if it has no check, or the check printed nothing.
    """

    backup: names.BackupName
    url: str
    age: float
    size: int
    took: float
    said: str | None

    def __str__(self) -> str:
        own = "" if self.said is None else f"; {self.said}"
        age = durations.text(datetime.timedelta(seconds=self.age), exact=False)
        return (
            f"backup {self.backup}: {self.url}, {age} old, {self.size} bytes, restored in {self.took:.1f} s; "
            f"the service's check says OK{own}"
        )


def outcomes(context: Context, run: step_run.StepRun) -> Iterator[Outcome]:
    """Yield the result of each backup, when all restores succeeded."""
    stored = backups.chosen_backups(context, run)
    (choice,) = xcom.reports(context, step_id(DEPLOYMENT, StepKind.CHOOSE_BACKUPS))
    when = datetime.datetime.fromisoformat(choice["ended"])
    for name, found in stored.items():
        yield Outcome(
            backup=name,
            url=found.url,
            age=(when - found.manifest.time).total_seconds(),
            size=found.manifest.size,
            took=_took(context, name),
            said=_said(context, name),
        )


def _took(context: Context, name: names.BackupName) -> float:
    (report,) = xcom.reports(context, step_id(Group(GroupKind.BACKUP, name), StepKind.RESTORE))
    started, ended = (datetime.datetime.fromisoformat(report[key]) for key in ("started", "ended"))
    return (ended - started).total_seconds()


def _said(context: Context, name: names.BackupName) -> str | None:
    for report in xcom.reports(context, step_id(Group(GroupKind.BACKUP, name), StepKind.CHECK_BACKUP)):
        for run in report.get("runs", {}).values():
            return str(run["said"])
    return None
