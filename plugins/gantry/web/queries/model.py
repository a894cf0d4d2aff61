"""What pages show, as plain frozen facts: templates and the JSON API are made of nothing else.

Times are in UTC; pages hand them to the browser, which shows them in the zone of who looks.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Mapping

from gantry import inventory as inventories
from gantry import names, plan, status
from gantry.definition import models
from gantry.state import config_history, installed_versions, run_records


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of an operation, as Airflow knows it.

    Attributes:
        dag, id: what Airflow calls it by.
        state: in Airflow's own words, such as `running`.
        asked: when it was asked for, or was due.
        by: the user who asked for it, `schedule`, or empty where nobody knows.
    """

    dag: str
    id: str
    operation: names.Operation
    state: str
    asked: datetime.datetime
    started: datetime.datetime | None = None
    ended: datetime.datetime | None = None
    by: str = ""
    reason: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What no other run has."""
        return self.dag, self.id

    @property
    def is_over(self) -> bool:
        """Whether Airflow has finished it."""
        return self.state in ("success", "failed")

    def took(self, now: datetime.datetime) -> datetime.timedelta | None:
        """From its start to its end, or to now; None before it has begun."""
        return None if self.started is None else (self.ended or now) - self.started


@dataclasses.dataclass(frozen=True)
class TaskInstanceRow:
    """A task instance: what states are derived from, and what leads to its log.

    Attributes:
        label: what Airflow calls an instance of a mapped task, such as a server's name. Empty for others.
        try_number: of its latest try; 0 before the first.
    """

    view: status.TaskView
    label: str = ""
    try_number: int = 0

    @property
    def awaits_answer(self) -> bool:
        """Whether it goes on when a person has answered."""
        return self.view.state is status.TaskState.AWAITING_INPUT


@dataclasses.dataclass(frozen=True)
class Known:
    """A deployment's definition as Airflow keeps it, and what it makes of an operation."""

    definition: models.Definition
    plan: plan.Plan


@dataclasses.dataclass(frozen=True)
class RunSnapshot:
    """One run of a deployment at one moment: what a run's page is drawn from.

    Attributes:
        states: of the deployment; None for a run that leaves them alone, such as a backup.
    """

    run: Run
    known: Known
    instances: tuple[TaskInstanceRow, ...]
    states: status.DeploymentStatus | None

    @functools.cached_property
    def timeline(self) -> status.Timeline:
        """When what was done."""
        return status.timeline(self.known.plan, [each.view for each in self.instances])


@dataclasses.dataclass(frozen=True)
class RunProgress:
    """How far a run has come: the phase that works, and how many of all phases that have work are done."""

    phase: plan.Phase | None
    done: int
    of: int


@dataclasses.dataclass(frozen=True)
class TierView:
    """How many servers of a tier run, and how many are wanted at least."""

    name: names.TierName
    running: int
    wanted: int


@dataclasses.dataclass(frozen=True)
class ServiceView:
    """A service on all its servers.

    Attributes:
        state: on all of them together, or None before the first launch.
        states: by server.
        version: the archive's, that the last successful launch installed; empty where nothing says so.
        installed: what was noted by server; of no server where it may not be shown.
    """

    name: names.ServiceName
    id: names.ServiceId
    tier: names.TierName
    state: plan.ServiceState | None = None
    states: Mapping[names.ServerName, plan.ServiceState] = dataclasses.field(default_factory=dict)
    version: str = ""
    installed: Mapping[names.ServerName, installed_versions.Installed] = dataclasses.field(
        default_factory=dict
    )

    @property
    def differs(self) -> bool:
        """Whether its servers have several versions, as while an update goes on or after it has stopped."""
        return len({each.version for each in self.installed.values()}) > 1

    @property
    def by_version(self) -> tuple[tuple[installed_versions.Installed, tuple[names.ServerName, ...]], ...]:
        """Each version that is installed and where, the newest first."""
        found: dict[str | None, list[names.ServerName]] = {}
        for server, each in sorted(self.installed.items(), key=lambda item: item[1].at, reverse=True):
            found.setdefault(each.version, []).append(server)
        return tuple((self.installed[servers[0]], tuple(sorted(servers))) for servers in found.values())


@dataclasses.dataclass(frozen=True)
class DeploymentRow:
    """A deployment in the list.

    Attributes:
        run: the one that was asked for last.
        due: when its next redeploy is due by schedule, or None.
        worked: of the runs that change it, the one that worked last or waits for its turn.
        is_settled: whether older runs than were looked at cannot matter to `standing` and `worked`.
        is_paused: its launch DAG is paused.
        is_broken: Airflow cannot read its loader or definition any more.
    """

    name: str
    description: str
    tags: tuple[str, ...]
    standing: status.SettledState
    run: Run | None = None
    due: datetime.datetime | None = None
    is_paused: bool = False
    is_broken: bool = False
    worked: Run | None = None
    is_settled: bool = True


@dataclasses.dataclass(frozen=True)
class DeploymentExcerpt:
    """More of a deployment in the list, for those that are in sight."""

    line: DeploymentRow
    tiers: tuple[TierView, ...] = ()
    services: tuple[ServiceView, ...] = ()
    progress: RunProgress | None = None
    awaits_answer: bool = False


@dataclasses.dataclass(frozen=True)
class ServerView:
    """A server: what the run says of it, and what the cloud does.

    Attributes:
        instance: None where the cloud was not asked, did not answer, or has none.
        link: to the instance in the cloud's console, or None where the cloud has none.
        installed: what was noted by service; of none where it may not be shown.
    """

    name: names.ServerName
    tier: names.TierName
    agent: plan.AgentState | None
    services: Mapping[names.ServiceName, plan.ServiceState]
    instance: inventories.Server | None = None
    link: str | None = None
    installed: Mapping[names.ServiceName, installed_versions.Installed] = dataclasses.field(
        default_factory=dict
    )

    @property
    def every_service(self) -> tuple[names.ServiceName, ...]:
        """Those that the run knows here, and those of which only what was noted is left."""
        return tuple(dict.fromkeys((*self.services, *self.installed)))


@dataclasses.dataclass(frozen=True)
class ConfigHistory:
    """The files that a service was handed on a server, the newest first."""

    service: names.ServiceName
    handed: config_history.Handouts


@dataclasses.dataclass(frozen=True)
class DeploymentDetails:
    """Everything that a deployment's page shows.

    Attributes:
        scene: its run that is going on, or the one that made it what it is; None before the first one, and where its
            DAG may not be read.
        states: what follows from that run; None before the first one.
        inventory: what the cloud says, or None.
        trouble: why the cloud says nothing, if it was asked.
        history: records of its runs, the newest first; None where they may not be shown.
        addresses: where people reach it, by load balancer.
        operations: those that it has a DAG for, and whether that is paused.
    """

    line: DeploymentRow
    known: Known
    scene: RunSnapshot | None
    states: status.DeploymentStatus | None
    tiers: tuple[TierView, ...]
    services: tuple[ServiceView, ...]
    servers: tuple[ServerView, ...]
    inventory: inventories.Inventory | None = None
    trouble: str = ""
    history: tuple[run_records.Record, ...] | None = ()
    addresses: Mapping[names.BalancerName, str] = dataclasses.field(default_factory=dict)
    operations: Mapping[names.Operation, bool] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class LogLine:
    """A line of a task's log."""

    time: datetime.datetime | None
    level: str
    text: str
