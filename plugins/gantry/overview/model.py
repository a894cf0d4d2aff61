"""Types of the read model: plain frozen data. Times are in UTC."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Iterable, Mapping

from gantry import errors, names, plan, status
from gantry import inventory as inventories
from gantry.definition import models
from gantry.state import installed_versions, run_records
from gantry.status import labels

RunKey = tuple[str, str]
"""A run: its DAG's id and its own."""

_OWN_TAGS = ("gantry", names.Operation.LAUNCH.value)
"""The tags of every launch DAG. They are ours; the others come from the definition."""


@dataclasses.dataclass(frozen=True)
class LaunchDag:
    """A deployment's launch DAG.

    Attributes:
        description: the definition's; empty if it has none.
        tags: the definition's.
        due: when its next scheduled redeploy is due, or None.
        is_broken: whether Airflow can no longer read its loader or definition.
    """

    id: str
    description: str
    tags: tuple[str, ...]
    due: datetime.datetime | None
    is_paused: bool
    is_broken: bool

    @classmethod
    def of(
        cls,
        dag: str,
        description: str | None,
        tags: Iterable[str],
        due: datetime.datetime | None,
        *,
        is_paused: bool,
        is_broken: bool,
    ) -> LaunchDag:
        """Create from what Airflow has of the DAG: with our tags, a generated description, and a date when paused."""
        generated = plan.OPERATIONS[names.Operation.LAUNCH].describe(dag)
        return cls(
            dag,
            "" if description in (None, generated) else str(description),
            tuple(sorted(each for each in tags if each not in _OWN_TAGS)),
            None if is_paused else due,
            is_paused,
            is_broken,
        )


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of an operation, according to Airflow.

    Attributes:
        dag, id: its identifiers in Airflow.
        state: Airflow's state, such as `running`.
        asked: when it was requested, or was due.
        user: the user who requested it, or None.
        is_scheduled: whether its DAG's schedule requested it.
        reason: the reason from its form. A list of deployments leaves it out.
    """

    dag: str
    id: str
    state: str
    asked: datetime.datetime
    started: datetime.datetime | None = None
    ended: datetime.datetime | None = None
    user: str | None = None
    is_scheduled: bool = False
    reason: str = ""

    @property
    def key(self) -> RunKey:
        """Return a unique key of the run."""
        return self.dag, self.id

    @property
    def operation(self) -> names.Operation | None:
        """Return its operation; None for one that only another version of Gantry knows."""
        return names.operation_of(self.dag)

    @property
    def operation_name(self) -> str:
        """Return the operation's name, even if this Gantry does not know it."""
        return self.dag.partition(".")[2] or names.Operation.LAUNCH.value

    @property
    def noun(self) -> str:
        """Return what to call it."""
        return "run" if self.operation is None else plan.OPERATIONS[self.operation].noun

    @property
    def by(self) -> str:
        """Return the user who requested it, `schedule`, or nothing if that is not known."""
        return self.user or ("schedule" if self.is_scheduled else "")

    @property
    def is_over(self) -> bool:
        """Return whether Airflow has finished it."""
        return self.state in ("success", "failed")


@dataclasses.dataclass(frozen=True)
class RunEnd:
    """A run's state, and when it ended."""

    state: str
    ended: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True)
class PastRun:
    """A run that changes the deployment. `worked` is when it began to work, far in the future if it has not yet."""

    run: Run
    view: status.RunView
    worked: datetime.datetime


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
class FailedTask:
    """A failed task instance, and what stopped it.

    Attributes:
        failures: nothing if it left none, as after a killed process; None if they may not be read.
        is_shortened: whether the failures' details are left out, since they hold text of a log that may not be read.
    """

    instance: TaskInstanceRow
    failures: tuple[errors.Failure, ...] | None
    is_shortened: bool = False

    @property
    def servers(self) -> str:
        """Return the servers that it worked on, as Airflow labels it."""
        return labels.label(self.instance.view.servers) or self.instance.label


@dataclasses.dataclass(frozen=True)
class CompiledDefinition:
    """A deployment's definition, and the plan of an operation."""

    definition: models.Definition
    plan: plan.Plan


@dataclasses.dataclass(frozen=True)
class RunSnapshot:
    """One run of a deployment at one point in time: the content of a run's page.

    Attributes:
        states: the deployment's states; None for a run that does not affect them, such as a backup.
    """

    run: Run
    known: CompiledDefinition
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
class ServerView:
    """A server according to the run and to the cloud.

    Attributes:
        tier: empty if only its versions are known, and not the definition.
        agent: None if no run is known that shows it.
        instance: None if the cloud was not asked, did not answer, or has none.
        installed: the recorded versions by service; empty if they may not be shown.
    """

    name: names.ServerName
    tier: names.TierName
    agent: plan.AgentState | None = None
    services: Mapping[names.ServiceName, plan.ServiceState] = dataclasses.field(default_factory=dict)
    instance: inventories.Server | None = None
    installed: Mapping[names.ServiceName, installed_versions.Installed] = dataclasses.field(
        default_factory=dict
    )

    @property
    def every_service(self) -> tuple[names.ServiceName, ...]:
        """Return the services that the run has here, and those of which only a record is left."""
        return tuple(dict.fromkeys((*self.services, *self.installed)))


@dataclasses.dataclass(frozen=True)
class DeploymentRow:
    """A deployment in the list.

    Attributes:
        last: the run that was requested last.
        worked: the last run that changed it, or one that waits for its turn to.
        is_settled: whether older runs than those read cannot affect `standing` and `worked`.
    """

    dag: LaunchDag
    standing: status.SettledState
    last: Run | None = None
    worked: Run | None = None
    is_settled: bool = True

    @property
    def name(self) -> str:
        """Return the deployment's name."""
        return self.dag.id


@dataclasses.dataclass(frozen=True)
class DeploymentOverview:
    """A deployment and its parts at one point in time.

    Attributes:
        known: the current definition; None if it is not at hand: then only servers with recorded versions are known.
        run: its current run, or the one that determines its state; None before the first one.
        has_begun: whether that run has begun to change anything.
        snapshot: that run in detail; None if its definition is not at hand.
        states: the states derived from that run; None without a snapshot.
        inventory: the cloud's answer, or None.
        history: records of its runs, newest first; None if they may not be read.
        progress: the progress of a run that goes on.
    """

    row: DeploymentRow
    known: CompiledDefinition | None
    run: Run | None = None
    has_begun: bool = False
    snapshot: RunSnapshot | None = None
    states: status.DeploymentStatus | None = None
    tiers: tuple[TierView, ...] = ()
    services: tuple[ServiceView, ...] = ()
    servers: tuple[ServerView, ...] = ()
    inventory: inventories.Inventory | None = None
    history: tuple[run_records.Record, ...] | None = ()
    progress: RunProgress | None = None

    @property
    def awaits_answer(self) -> bool:
        """Return whether its run waits for a person's answer."""
        return self.snapshot is not None and any(each.awaits_answer for each in self.snapshot.instances)

    @property
    def state(self) -> plan.DeploymentState:
        """Return the deployment's state."""
        return self.row.standing.state if self.states is None else self.states.state

    @property
    def failed(self) -> bool:
        """Return whether a run failed at this state."""
        return self.row.standing.failed if self.states is None else self.states.failed is not None

    @property
    def failed_at(self) -> plan.Phase | None:
        """Return the phase that the run failed at."""
        return None if self.states is None else self.states.failed

    @property
    def phase(self) -> plan.Phase | None:
        """Return the current phase."""
        return None if self.states is None else self.states.phase
