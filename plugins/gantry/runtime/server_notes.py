"""Records of what a step writes to servers and installs there, in the state of the deployment's asset.

They can be read through Airflow without rights in the cloud and without SSH access to the servers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pydantic
from airflow.sdk import Context

from gantry import names
from gantry.agent import config_diff, config_snapshot, fan_out, jobs, layout, session, ssh
from gantry.reconcile import installed_archives, step_run
from gantry.runtime import lock_holder
from gantry.state import config_history, installed_versions

if TYPE_CHECKING:
    from airflow.sdk.types import Logger


@dataclasses.dataclass(frozen=True)
class ChangedBy:
    """The author of a change. Plain JSON, so that the triggerer can continue where a worker stopped.

    Attributes:
        services: names by id.
    """

    deployment: str
    operation: str
    run: str
    services: Mapping[names.ServiceId, names.ServiceName]


_AUTHOR = pydantic.TypeAdapter(ChangedBy)


def author(context: Context, run: step_run.StepRun) -> ChangedBy:
    """Return the current run as the author."""
    definition = run.definition
    return ChangedBy(
        definition.deployment,
        lock_holder.asker(context, run).operation.value,
        run.id,
        {service.id: name for name, service in definition.services.items()},
    )


def dump(who: ChangedBy) -> dict[str, pydantic.JsonValue]:
    """Convert to JSON."""
    dumped: dict[str, pydantic.JsonValue] = _AUTHOR.dump_python(who, mode="json")
    return dumped


def load(dumped: object) -> ChangedBy:
    """Convert from JSON."""
    return _AUTHOR.validate_python(dumped)


class ServerNotes:
    """One task's records. `witness` is a callback for `fan_out.prepare`; the other methods store what was collected."""

    def __init__(self, context: Context, run: step_run.StepRun, log: Logger) -> None:
        self._run = run
        self._log = log
        self._who = author(context, run)
        self._targets: dict[names.ServerName, ssh.Target] = {}
        self._marks: dict[names.ServerName, installed_archives.Archives] = {}
        self._handed: dict[tuple[names.ServerName, names.ServiceId], config_snapshot.ConfigChange] = {}

    @property
    def who(self) -> ChangedBy:
        """Return the author of the records."""
        return self._who

    async def witness(
        self, server: session.Session, target: ssh.Target, applied: fan_out.Applied, wanted: fan_out.Work
    ) -> None:
        """Look at what is on a server before it is replaced."""
        self._targets[target.name] = target
        if self._run.step.facts.installs:
            # A record may have been lost, or the server may be older than the first records.
            self._marks[target.name] = installed_archives.in_marks(applied.marks)
        for each in await config_snapshot.handed(server, wanted):
            self._handed[target.name, each.service] = each

    def keep_facts(self) -> None:
        """Store the configuration that servers receive. Called before it is written, so a crash loses nothing."""
        store = lock_holder.store(self._who.deployment)
        for (server, service), each in self._handed.items():
            name = self._who.services.get(service)
            if name is None:
                continue
            new = self._handout(self._targets[server], each)
            key = config_history.PLACES.key(name, server)
            kept = config_history.load(store.get(key))
            store.set(key, config_history.dump(config_history.added(kept, new)))
            self._log.info(
                "facts of service %s for %s: hash %s, %d lines of difference",
                name, server, new.digest[: installed_versions.SHORT], len(new.diff),
            )  # fmt: skip
        self._handed.clear()

    def keep_versions(self, everything: Iterable[jobs.ServerProgress]) -> None:
        """Store which archives are on the servers now."""
        for each in everything:
            found = {**self._marks.pop(each.target.name, {}), **installed_archives.changed(each)}
            keep_versions(self._who, each.target, found)

    def _handout(
        self, target: ssh.Target, each: config_snapshot.ConfigChange
    ) -> config_history.ConfigDelivery:
        secrets = self._run.secrets
        path = layout.service_config(each.service)
        diff: tuple[str, ...] = (f"no diff: {path} {config_snapshot.UNREADABLE}",)
        if each.readable:
            diff = config_diff.unified(path, each.before, each.after, secrets)
        return config_history.ConfigDelivery(
            operation=self._who.operation,
            run=self._who.run,
            at=lock_holder.now(),
            instance=target.instance_id,
            digest=config_diff.digest(each.after, secrets),
            diff=diff,
        )


def keep_versions(who: ChangedBy, target: ssh.Target, found: installed_archives.Archives) -> None:
    """Store which archives are on a server, if that has changed. Blocks for some requests to Airflow."""
    store = lock_holder.store(who.deployment)
    for service, version in found.items():
        name = who.services.get(service)
        if name is None:
            continue
        key = installed_versions.PLACES.key(name, target.name)
        kept = installed_versions.load(store.get(key))
        if kept is not None and (kept.version, kept.instance) == (version, target.instance_id):
            continue
        new = installed_versions.Installed(
            version, target.instance_id, who.operation, who.run, lock_holder.now()
        )
        store.set(key, installed_versions.dump(new))


def forget_versions(run: step_run.StepRun, servers: Iterable[str]) -> None:
    """Delete the records of servers that are gone: another server may have received the same name."""
    store = lock_holder.store(run.definition.deployment)
    there = {each.name for each in run.cloud.everything()}
    for server in sorted(set(servers) - there):
        for service in run.definition.services:
            store.delete(installed_versions.PLACES.key(service, names.ServerName(server)))
