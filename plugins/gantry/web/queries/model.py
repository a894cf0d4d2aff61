"""View models: plain frozen data, the only input of templates and of the JSON API.

Times are in UTC; the browser converts them to the user's time zone.
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
    """One run of an operation, according to Airflow.

    Attributes:
        dag, id: its identifiers in Airflow.
        state: Airflow's state, such as `running`.
        asked: when it was requested, or was due.
        by: the user who requested it, `schedule`, or empty if unknown.
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
        """Return a unique key of the run."""
        return self.dag, self.id

    @property
    def is_over(self) -> bool:
        """Return whether Airflow has finished it."""
        return self.state in ("success", "failed")

    def took(self, now: datetime.datetime) -> datetime.timedelta | None:
        """Return the duration from its start to its end, or to now; None before it has begun."""
        return None if self.started is None else (self.ended or now) - self.started


@dataclasses.dataclass(frozen=True)
class TaskInstanceRow:
    """A task instance: input of the derived states, and reference to its log.

    Attributes:
        label: Airflow's label for an instance of a mapped task, such as a server's name. Empty for others.
        try_number: the number of its latest try; 0 before the first.
    """

    view: status.TaskView
    label: str = ""
    try_number: int = 0

    @property
    def awaits_answer(self) -> bool:
        """Return whether it waits for a person's answer."""
        return self.view.state is status.TaskState.AWAITING_INPUT


@dataclasses.dataclass(frozen=True)
class Known:
    """A deployment's definition as stored by Airflow, and the plan of an operation."""

    definition: models.Definition
    plan: plan.Plan


@dataclasses.dataclass(frozen=True)
class RunSnapshot:
    """One run of a deployment at one point in time: the content of a run's page.

    Attributes:
        states: the deployment's states; None for a run that does not affect them, such as a backup.
    """

    run: Run
    known: Known
    instances: tuple[TaskInstanceRow, ...]
    states: status.DeploymentStatus | None

    @functools.cached_property
    def timeline(self) -> status.Timeline:
        """Return the run's timeline."""
        return status.timeline(self.known.plan, [each.view for each in self.instances])


@dataclasses.dataclass(frozen=True)
class RunProgress:
    """The progress of a run: the current phase, and how many of the phases with work are done."""

    phase: plan.Phase | None
    done: int
    of: int


@dataclasses.dataclass(frozen=True)
class TierView:
    """The number of a tier's servers that run, and the minimum that is wanted."""

    name: names.TierName
    running: int
    wanted: int


@dataclasses.dataclass(frozen=True)
class ServiceView:
    """A service on all its servers.

    Attributes:
        state: its overall state, or None before the first launch.
        states: its states by server.
        version: the version of the archive that the last successful launch installed; empty if unknown.
        installed: the recorded versions by server; empty if they may not be shown.
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
        """Return whether its servers have different versions, as during an update or after an interrupted one."""
        return len({each.version for each in self.installed.values()}) > 1

    @property
    def by_version(self) -> tuple[tuple[installed_versions.Installed, tuple[names.ServerName, ...]], ...]:
        """Return each installed version with its servers, newest first."""
        found: dict[str | None, list[names.ServerName]] = {}
        for server, each in sorted(self.installed.items(), key=lambda item: item[1].at, reverse=True):
            found.setdefault(each.version, []).append(server)
        return tuple((self.installed[servers[0]], tuple(sorted(servers))) for servers in found.values())


@dataclasses.dataclass(frozen=True)
class DeploymentRow:
    """A deployment in the list.

    Attributes:
        run: the run that was requested last.
        due: when its next scheduled redeploy is due, or None.
        worked: the last run that changed it, or one that waits for its turn to.
        is_settled: whether older runs than those read cannot affect `standing` and `worked`.
        is_paused: whether its launch DAG is paused.
        is_broken: whether Airflow can no longer read its loader or definition.
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
    """Additional data of a deployment on the current page of the list."""

    line: DeploymentRow
    tiers: tuple[TierView, ...] = ()
    services: tuple[ServiceView, ...] = ()
    progress: RunProgress | None = None
    awaits_answer: bool = False


@dataclasses.dataclass(frozen=True)
class ServerView:
    """A server according to the run and to the cloud.

    Attributes:
        instance: None if the cloud was not asked, did not answer, or has none.
        link: URL of the instance in the cloud's console, or None if there is no console.
        installed: the recorded versions by service; empty if they may not be shown.
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
        """Return the services that the run has here, and those of which only a record is left."""
        return tuple(dict.fromkeys((*self.services, *self.installed)))


@dataclasses.dataclass(frozen=True)
class ConfigHistory:
    """The configuration files that a service received on a server, newest first."""

    service: names.ServiceName
    handed: config_history.Handouts


@dataclasses.dataclass(frozen=True)
class DeploymentDetails:
    """The content of a deployment's page.

    Attributes:
        scene: its current run, or the one that determines its state; None before the first one, and if its DAG may not
            be read.
        states: the states derived from that run; None before the first one.
        inventory: the cloud's answer, or None.
        trouble: why the cloud does not answer, if it was asked.
        history: records of its runs, newest first; None if they may not be shown.
        addresses: the URLs of the deployed application, by load balancer.
        operations: the operations that it has a DAG for, and whether that is paused.
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
