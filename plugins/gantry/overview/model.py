"""Types of the read model: plain frozen data. Times are in UTC."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping

from gantry import errors, names, plan, status
from gantry import inventory as inventories
from gantry.definition import models
from gantry.state import installed_versions
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
        bundle: the DAG bundle that Airflow has read it from last; empty if that is not known.
    """

    id: str
    description: str
    tags: tuple[str, ...]
    due: datetime.datetime | None
    is_paused: bool
    is_broken: bool
    bundle: str = ""

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
        bundle: str | None = None,
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
            bundle or "",
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
    def deployment(self) -> str:
        """Return the name of its deployment."""
        return self.dag.partition(".")[0]

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

    def view(self, tasks: Iterable[status.TaskView]) -> status.RunView:
        """Return it as input for the deployment's history."""
        # A scaling goes through a launch's steps, and ends as one.
        is_termination = self.operation is names.Operation.TERMINATE
        kind = status.RunKind.TERMINATION if is_termination else status.RunKind.LAUNCH
        farthest: dict[str, status.TaskState] = {}
        for each in tasks:
            # This is used only for whether anything of a task has begun, and whether its only instance has succeeded.
            if each.task_id not in farthest or each.started is not None:
                farthest[each.task_id] = each.state
        return status.RunView(kind, self.is_over, farthest)


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
    def key(self) -> tuple[str, int]:
        """Return its task's id and its map index."""
        return self.instance.view.task_id, self.instance.view.map_index

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
