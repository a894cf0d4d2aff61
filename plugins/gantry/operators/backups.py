"""Backup operators: create, upload and record backups in object storage; choose and restore them."""

from __future__ import annotations

import dataclasses
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from gantry import errors, inventory, names, requests
from gantry.agent import server_facts, ssh
from gantry.cloud import backups
from gantry.operators import base, server_step
from gantry.plan import Group, GroupKind, StepKind
from gantry.plan.steps import step_id
from gantry.reconcile import output_readers, step_run
from gantry.runtime import run_history, xcom
from gantry.state import run_records


class NothingRunsError(errors.GantryError):
    """A tier has no running server to back up from, or to restore to."""

    def __init__(self, tier: names.TierName, service: names.ServiceName, who: str) -> None:
        self.tier = tier
        self.service = service
        super().__init__(
            f"tier {tier} has no running {who} with a completed handshake: service {service} can neither be backed up "
            f"nor restored\nLaunch the deployment first; to skip backups while it is stopped, pause their DAG."
        )


class NoFinalBackupError(errors.GantryError):
    """A final backup is impossible because the existing servers do not run or are given up: data would be lost."""

    def __init__(self, backup: names.BackupName, there: tuple[inventory.Server, ...]) -> None:
        self.backup = backup
        told = ", ".join(
            f"{each.name} is {each.state}" if each.lost is None else f"{each.name} is given up ({each.lost})"
            for each in there
        )
        super().__init__(
            f"the final backup {backup} cannot be made: {told}\nNothing was stopped or terminated. Launch the "
            f"deployment first, which resumes stopped servers and replaces lost ones; or terminate without the "
            f"final backup."
        )


class NoSumError(errors.GantryError):
    """A server uploaded a backup without reporting its checksum."""

    def __init__(self, step: str) -> None:
        super().__init__(
            f"{step} did not report the backup's size and sum, so it is not considered complete\nClear {step}: the "
            f"backup is then made again. Does a script of your own in /enstratus/custom/bin replace uploadBackup?"
        )


class OtherKindError(errors.GantryError):
    """A datasource's backup was requested for a service, or a service's for a datasource."""

    def __init__(self, url: str, backup: names.BackupName, wanted: str, found: str) -> None:
        self.url = url
        super().__init__(
            f"{url} holds {found}, and backup {backup!r} is of {wanted}: nothing was changed\nName an object that fits."
        )


class BackUpOperator(server_step.ServerStepOperator):
    """Backs up a service on one server, the running one with the lowest slot, and uploads the backup."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's keywords
        super().__init__(servers=(), **kwargs)

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Run the jobs as any server step does, if this backup is requested."""
        chosen = run.asked(requests.BackupRequest).backups
        if chosen and run.backup not in chosen:
            raise AirflowSkipException(f"backup {run.backup} was not requested")
        if run.is_termination:
            return self._perform_last(context, run)
        return super().perform(context, run)

    def _perform_last(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Back up before a termination; a service whose servers never existed does not block the termination."""
        if not run.asked(requests.TerminateRequest).final_backup:
            raise AirflowSkipException("no final backup was requested")
        there = [each for each in run.inventory.of_tier(run.tier) if each.host_key is not None]
        given_up = tuple(
            each
            for each in run.inventory.leaving_of_tier(run.tier)
            if each.lost is not None and each.host_key is not None
        )
        if not there and given_up:
            raise NoFinalBackupError(run.backup, given_up)
        if not there:
            raise AirflowSkipException(f"tier {run.tier} has no server with a completed handshake")
        if all(each.state is not inventory.InstanceState.RUNNING for each in there):
            raise NoFinalBackupError(run.backup, tuple(there))
        found = super().perform(context, run)
        if not found["runs"]:
            raise AirflowSkipException(f"service {run.service} is not installed: there is nothing to back up")
        return found

    def reader(self, run: step_run.StepRun) -> output_readers.Name | None:  # noqa: ARG002 - as those that ask
        """Read size, checksum and archive from the output."""
        return "backup"

    def targets(self, run: step_run.StepRun) -> list[ssh.Target]:
        """Return the running server with the lowest slot. In a replicated service, that is its master, if it exists."""
        return [step_run.target(each, each.name) for each in running(run, "server")[:1]]


class KeepBackupOperator(base.StepOperator):
    """Verifies that a backup is complete, records it, and removes the oldest ones."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Write the manifest once the stored object matches what the server reported."""
        made = step_id(Group(GroupKind.BACKUP, run.backup), StepKind.BACK_UP)
        said = [each for report in xcom.reports(context, made) for each in report.get("runs", {}).values()]
        if not said:
            raise NoSumError(made)
        shelf, part, name = run.shelf(run.backup), run.backed_up, run.backup_object
        manifest = backups.Manifest(
            object=name,
            deployment=run.definition.deployment,
            backup=run.backup,
            service=part.service,
            datasource=part.datasource,
            size=said[0]["size"],
            sha256=said[0]["sha256"],
            time=run.moment,
            archive=said[0]["archive"],
        )
        removed = shelf.keep(manifest)
        url = shelf.url(name)
        self.log.info("backup %s is complete: %s, %d bytes", run.backup, url, manifest.size)
        for each in removed:
            self.log.info("removed: %s", shelf.url(each))
        return xcom.result(context, [], object=url, removed=list(removed), **said[0])


class ConfirmRestoreOperator(base.StepOperator):
    """Checks before a restore that the deployment's name was typed in and that the backups exist."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Compare the typed name and choose the backups once: retries and later backups do not change the choice."""
        asked = run.asked(requests.RestoreRequest)
        asked.require_confirmation(run.definition.deployment)
        name = names.BackupName(asked.backup)
        found = fitting(run, name, asked.object)
        self.log.info("%s will be restored: %s", found.url, found.manifest.model_dump_json())
        return xcom.result(context, [], stored={name: found.model_dump(mode="json")})


class RestoreOperator(server_step.ServerStepOperator):
    """Restores the chosen backup: a datasource on its master, a service on all servers of its tier."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's keywords
        super().__init__(servers=(), **kwargs)

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Run the jobs as any server step does, if this backup is to be restored."""
        chosen = chosen_backups(context, run)
        if run.backup not in chosen:
            raise AirflowSkipException(f"backup {' and '.join(chosen)} is restored instead of {run.backup}")
        found = chosen[run.backup]
        # A failed launch must not remove what a person has restored.
        run.cloud.note_arrived([each for each in run.inventory.of_tier(run.tier) if each.is_new])
        return super().perform(context, dataclasses.replace(run, restored=found))

    def targets(self, run: step_run.StepRun) -> list[ssh.Target]:
        """Return the servers to restore on. A replicated datasource is never restored on a replicant."""
        if run.backed_up.datasource is None:
            found = running(run, "server")
        elif run.definition.services[run.service].replication is None:
            found = running(run, "server")[:1]
        else:
            found = [each for each in running(run, "master") if each.slot == server_facts.MASTER]
            if not found:
                raise NothingRunsError(run.tier, run.service, "master")
        return [step_run.target(each, each.name) for each in found]


class KeepRecordOperator(base.StepOperator):
    """Closes the record of a backup run or of a restore."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Record what was backed up or restored."""
        found = run_history.made(context, run) | _restored(context, run)
        if not found:
            raise AirflowSkipException("nothing was created or restored")
        for name, each in found.items():
            self.log.info("%s: %s, %d bytes, %.1f s", name, each.url, each.size, each.seconds)
        run_history.close_record(context, run, objects=found)
        return xcom.result(context, [])


def _restored(context: Context, run: step_run.StepRun) -> dict[str, run_records.Object]:
    """Return the objects that the run restored; empty if it is not a restore."""
    return {
        name: run_records.Object(
            stored.url,
            stored.manifest.size,
            run_history.seconds(context, Group(GroupKind.BACKUP, name), StepKind.RESTORE),
        )
        for name, stored in chosen_backups(context, run).items()
    }


def chosen_backups(context: Context, run: step_run.StepRun) -> dict[names.BackupName, backups.Stored]:
    """Return the backups that the run restores, as chosen by an earlier step."""
    kinds = (StepKind.CONFIRM_RESTORE, StepKind.CHOOSE_BACKUPS)
    return {
        names.BackupName(name): backups.Stored.model_validate(stored)
        for step in run.plan
        if step.kind in kinds
        for report in xcom.reports(context, step.id)
        for name, stored in report["stored"].items()
    }


def fitting(run: step_run.StepRun, name: names.BackupName, wanted: str = "") -> backups.Stored:
    """Return a backup that can be restored to what the definition says the name belongs to; by default the newest.

    Raises:
        OtherKindError: the backup is a datasource's and the target a service, or the reverse.
        NoBackupError, StrangeBackupError, ManifestError: no usable backup exists.
    """
    found = run.shelf(name).find(wanted)
    here, there = run.backup_settings.of[name].datasource, found.manifest.datasource
    if (here is None) != (there is None):
        raise OtherKindError(found.url, name, _kind(here), _kind(there))
    return found


def running(run: step_run.StepRun, who: str) -> list[inventory.Server]:
    """Return the tier's usable servers, by slot. Raises NothingRunsError."""
    found = [
        each
        for each in run.inventory.of_tier(run.tier)
        if each.state is inventory.InstanceState.RUNNING and each.host_key is not None
    ]
    if not found:
        raise NothingRunsError(run.tier, run.service, who)
    return sorted(found, key=lambda each: each.slot)


def _kind(datasource: names.DatasourceName | None) -> str:
    return "a service's folder" if datasource is None else "a datasource"
