"""Triggers that follow jobs on servers to their end, or wait for servers to answer."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pydantic
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from gantry import errors, names
from gantry.agent import fan_out, jobs, ssh
from gantry.cloud import clients, download_links, servers
from gantry.credentials import connections
from gantry.definition import models
from gantry.reconcile import data_placement, installed_archives, output_readers
from gantry.runtime import (
    failures,
    lock_holder,
    server_bootstrap,
    server_notes,
    task_log,
    task_verdict,
    triggerer_log,
)

LOG = logging.getLogger("gantry")
_PROGRESS = pydantic.TypeAdapter(list[jobs.ServerProgress])


def dump(everything: Sequence[jobs.ServerProgress]) -> list[dict[str, Any]]:
    """Convert progress to plain JSON. It contains no secrets: these are in files on the server by now."""
    dumped: list[dict[str, Any]] = _PROGRESS.dump_python(list(everything), mode="json")
    return dumped


def load(dumped: Sequence[Mapping[str, Any]]) -> list[jobs.ServerProgress]:
    """Load progress from JSON, also from an older Gantry's, which had a failure's text only."""
    return _PROGRESS.validate_python([_as_today(each) for each in dumped])


def _as_today(dumped: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(dumped)
    said, transient = found.pop("error", ""), found.pop("transient", found.pop("passing", False))
    if said:
        found["failure"] = errors.Failure.of(said, transient=transient)
    return found


class StepTrigger(BaseTrigger):
    """Finishes what a worker has begun, and ends the task.

    Yields TaskSuccessEvent when every server has succeeded; otherwise one TriggerEvent with the failures, so that a
    worker can fail the task in the usual way, retries included.
    """

    def __init__(self, report: dict[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Airflow's own signature
        self._report = report

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Continue to the end."""
        try:
            found = await self._failures()
        except errors.GantryError as error:
            found = list(error.failures)
        await triggerer_log.written()
        if found:
            yield TriggerEvent(failures.event(found))  # type: ignore[no-untyped-call] # Airflow's own signature
        else:
            ended = datetime.datetime.now(tz=datetime.UTC).isoformat()
            yield TaskSuccessEvent(xcoms={"return_value": {**self._report, "ended": ended}})

    async def _failures(self) -> list[errors.Failure]:
        """Do the work; return the failures."""
        raise NotImplementedError


class JobsTrigger(StepTrigger):
    """Follows the jobs of a step to their end.

    `secrets` are the connections whose secrets the scripts have received and may print; `author` is recorded with the
    versions that they install, `holding` has the records about data to write at the end, `cloud` is the connection for
    links.
    """

    def __init__(  # noqa: PLR0913 - its state, each part by its name
        self,
        *,
        everything: list[dict[str, Any]],
        login: dict[str, Any],
        step: str,
        epoch: str,
        attempt: str,
        report: dict[str, Any],
        author: dict[str, Any] | None = None,
        holding: dict[str, str] | None = None,
        reader: output_readers.Name | None = None,
        secrets: Sequence[str] = (),
        cloud: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(report)
        self._author = author
        self._holding = holding or {}
        self._reader = reader
        self._secrets = list(secrets)
        self._cloud = cloud
        self._everything = everything
        self._login = login
        self._key = jobs.StepKey(step, epoch, attempt)
        self._driven: tuple[Sequence[jobs.ServerProgress], ssh.Access] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the trigger's class and keywords."""
        return (
            "gantry.triggers.server_work.JobsTrigger",
            {
                "everything": self._everything,
                "login": self._login,
                "step": self._key.step,
                "epoch": self._key.epoch,
                "attempt": self._key.attempt,
                "report": self._report,
                "author": self._author,
                "holding": self._holding,
                "reader": self._reader,
                "secrets": self._secrets,
                "cloud": self._cloud,
            },
        )

    async def _failures(self) -> list[errors.Failure]:
        # Airflow (3.3.2) creates the API client of triggers at a process's first request, which takes many seconds on
        # a busy machine. `on_kill` does not have that time.
        self._first_question = asyncio.create_task(self._ask_once())
        everything, access = self._driven = await self._reach()
        await asyncio.to_thread(connections.mask, self._secrets)
        output = task_log.printer(self.log, several=len(everything) > 1)
        # A worker of an older Gantry has written all links itself.
        cloud = (
            None
            if self._cloud is None
            else download_links.CloudLinks(models.Cloud.model_validate(self._cloud))
        )
        await fan_out.carry_out(
            everything, access, self._key, output, reader=output_readers.named(self._reader), links=cloud
        )
        self._report |= output_readers.report(self._reader, everything)
        # The task may have been started by a worker of an older Gantry.
        if self._author is not None:
            who = server_notes.load(self._author)
            for each in everything:
                await asyncio.to_thread(
                    server_notes.keep_versions, who, each.target, installed_archives.changed(each)
                )
            if not fan_out.failures(everything):
                await asyncio.to_thread(
                    data_placement.settle, lock_holder.store(who.deployment), self._holding
                )
        return fan_out.failures(everything)

    async def _ask_once(self) -> None:
        if self.task_instance is not None:
            with contextlib.suppress(Exception):
                await asyncio.to_thread(task_verdict.verdict, self.task_instance, task_verdict.IN_TRIGGERER)

    async def _reach(self) -> tuple[list[jobs.ServerProgress], ssh.Access]:
        """Return the servers' progress, and the login for them. Raises GantryError."""
        access = await asyncio.to_thread(connections.access, models.Ssh.model_validate(self._login))
        return load(self._everything), access

    async def on_kill(self) -> None:
        """Kill the remote processes if a person marked or cleared the task, or its run has ended.

        Airflow also calls this when this triggerer stalled for a while and another one has the trigger now.
        """
        try:
            await self._end_if_over()
        finally:
            await triggerer_log.written()

    async def _end_if_over(self) -> None:
        if self.task_instance is None:
            return
        try:
            why = await asyncio.to_thread(task_verdict.verdict, self.task_instance, task_verdict.IN_TRIGGERER)
        except Exception as error:  # noqa: BLE001 - whatever it is: Airflow cannot be asked
            self.log.warning("Airflow does not report the state of this task: %s", error)
            return
        if why is None:
            self.log.info("the task continues in another process; the scripts on the servers keep running")
            return
        self.log.warning("%s: ending what runs on the servers", why)
        everything, access = self._driven or await self._reach()
        unconfirmed: set[names.ServerName] = set()
        try:
            await fan_out.kill(everything, access, self._key, unconfirmed)
        finally:
            if unconfirmed:
                self.log.warning(
                    "not confirmed: %s. A script that was not reached is ended by its server's agent after its "
                    "timeout; a new try of this task finds it",
                    ", ".join(sorted(unconfirmed)),
                )


class HandshakeTrigger(StepTrigger):
    """Waits for servers to answer, installs the agent, and ends the task. See `gantry.runtime.server_bootstrap`.

    `deployment` is the name in the servers' tags; a drill's name is not valid in a definition.
    """

    def __init__(  # noqa: PLR0913 - its state, each part by its name
        self,
        *,
        definition: dict[str, Any],
        deployment: str | None = None,
        login: dict[str, Any],
        wanted: list[str],
        deadline: float,
        report: dict[str, Any],
        asked: float | None = None,
        limit: str = "timeouts.handshake",
    ) -> None:
        super().__init__(report)
        self._definition = definition
        self._deployment = deployment
        self._login = login
        self._wanted = wanted
        self._deadline = deadline
        # A worker of an older Gantry did not pass the start of its wait.
        self._asked = time.time() if asked is None else asked
        self._limit = limit

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the trigger's class and keywords."""
        return (
            "gantry.triggers.server_work.HandshakeTrigger",
            {
                "definition": self._definition,
                "deployment": self._deployment,
                "login": self._login,
                "wanted": self._wanted,
                "deadline": self._deadline,
                "asked": self._asked,
                "limit": self._limit,
                "report": self._report,
            },
        )

    async def _failures(self) -> list[errors.Failure]:
        written = models.Definition.model_validate(self._definition)
        # A task started by a worker of an older Gantry, which had no drills.
        definition = written.model_copy(update={"deployment": self._deployment or written.deployment})
        access = await asyncio.to_thread(connections.access, models.Ssh.model_validate(self._login))
        cloud = servers.Servers(await asyncio.to_thread(clients.ec2, definition.cloud), definition, LOG)
        greeter = server_bootstrap.Bootstrapper(
            cloud, access, task_log.printer(self.log, several=len(self._wanted) > 1)
        )
        everyone = server_bootstrap.everyone(self._wanted)
        await greeter.greet(everyone, server_bootstrap.Limit(self._asked, self._deadline, self._limit))
        return server_bootstrap.failures(everyone)
