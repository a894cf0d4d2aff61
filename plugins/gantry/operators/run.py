"""What a task knows about itself: its step, its run, its deployment."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from airflow.sdk import Context

from gantry import inventory, names
from gantry.agent import facts, fetching, jobs, ssh
from gantry.cloud import backups as stored
from gantry.cloud import clients, health, servers
from gantry.cloud.objects import Objects
from gantry.definition import models, source
from gantry.inventory import Server
from gantry.operators import connections, data_renewal, links
from gantry.plan import BEFORE_WORK, Plan, Step, StepKind

LOG = logging.getLogger("gantry")

NO_MOMENT = datetime.datetime.fromtimestamp(0, datetime.UTC)
"""For a run that never takes place."""

CLEAN_UP_TIME = datetime.timedelta(minutes=30)
"""After a run's `dagrun_timeout`, for the task that cleans up behind it. Airflow itself would skip that one."""

_MARK = "life"
"""The key of what tells a run apart from an earlier one of the same id, in the state and the XComs of its turn."""

MACRO = "gantry"
"""The name under which a DAG carries its deployment (a user-defined macro: Airflow does not serialize it)."""


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What a DAG was compiled from; `source` tells where everything in the definition stands, if that is known."""

    definition: models.Definition
    plan: Plan
    source: source.Source | None = None


@dataclasses.dataclass(frozen=True)
class Named:
    """Servers that a person wants replaced.

    Attributes:
        servers: their names, or `TIER-SLOT`; none: all that are found lost.
        anyway: whether even one that is well.
    """

    servers: tuple[str, ...] = ()
    anyway: bool = False


@dataclasses.dataclass(frozen=True)
class Run:
    """One try of one task of one run.

    Attributes:
        id: the run's id in Airflow; runs of two operations can have the same.
        key: what the names of its jobs begin with.
        scaled_to: the sizes that tiers are scaled to, where the run scales; tiers that are left alone are absent.
        by_clock: whether the run is a scheduled one.
        moment: when the run was due.
        backups: those that were asked for; none: all.
        restored: the backup that the run restores, once it is chosen.
        lost: which servers a person wants replaced; None where the run is for something else.
        from_dump: datasources (`SERVICE.DATASOURCE`) that may begin anew from their dump if they are lost.
        from_backup: datasources that begin from their newest backup if nothing is noted of them.
        reload_dump: datasources (`SERVICE.DATASOURCE`) that are loaded from their dump although they hold data.
        renewals: what databases that take the place of lost ones are filled with, once it is known.
        force: whether a termination goes on where a server does not answer.
        final_backup: whether a termination makes all backups first.
        started: asks for the instances (by ids) that were started so lately that the cloud may not list them yet.
        until: when the run's time is up (seconds since 1970), or 0 where Airflow alone sees to that.
        secrets: those that have been read so far, so that none is shown.
        source: where everything in the definition stands, if that is known.
    """

    definition: models.Definition
    plan: Plan
    step: Step
    id: str
    key: jobs.StepKey
    wanted: dict[str, int]
    redeploy: frozenset[str]
    converge: frozenset[str]
    reason: str
    scaled_to: Mapping[names.TierName, int] = dataclasses.field(default_factory=dict)
    by_clock: bool = False
    moment: datetime.datetime = NO_MOMENT
    backups: frozenset[str] = frozenset()
    restored: stored.Stored | None = None
    lost: Named | None = None
    from_dump: frozenset[str] = frozenset()
    from_backup: frozenset[str] = frozenset()
    reload_dump: frozenset[str] = frozenset()
    renewals: data_renewal.Renewals = ()
    force: bool = False
    final_backup: bool = False
    started: Callable[[], frozenset[str]] = frozenset
    until: float = 0.0
    secrets: set[str] = dataclasses.field(default_factory=set, repr=False)
    source: source.Source | None = None

    @functools.cached_property
    def cloud(self) -> servers.Servers:
        """The deployment's servers in the cloud."""
        return servers.Servers(clients.ec2(self.definition.cloud), self.definition, LOG)

    @functools.cached_property
    def health(self) -> health.Health:
        """How the deployment's servers are, as the cloud says and remembers it."""
        return health.Health(clients.ec2(self.definition.cloud), self.definition.cloud.connection)

    @functools.cached_property
    def objects(self) -> Objects:
        """Archives and dumps in the cloud."""
        return self.links.objects

    @functools.cached_property
    def links(self) -> links.CloudLinks:
        """Makes links to them for servers."""
        return links.CloudLinks(self.definition.cloud)

    @functools.cached_property
    def inventory(self) -> inventory.Inventory:
        """The deployment's servers, as they were when first asked for in this task.

        Those that were `started` lately are among them, or it is too soon to tell: then it raises NotListedYetError.
        """
        return self.cloud.find_with(self.started())

    def at(self, step: Step) -> Run:
        """The same try, doing the work of another step on the way."""
        prefix = self.key.step.removesuffix(self.step.id)
        return dataclasses.replace(
            self, step=step, key=dataclasses.replace(self.key, step=f"{prefix}{step.id}")
        )

    @property
    def deployment(self) -> names.DeploymentName:
        """The deployment's own name, also in a drill: what it launches has another one."""
        return names.deployment_of(self.definition.deployment)

    @property
    def digest(self) -> str:
        """What tells the run apart from every other, also from one of the same id that was deleted."""
        return self.key.step.partition(".")[0]

    @property
    def tier(self) -> names.TierName:
        """The tier that the step works on."""
        if self.step.tier is None:
            raise LookupError(f"{self.step.id} works on no tier")
        return self.step.tier

    @property
    def service(self) -> names.ServiceName:
        """The service that the step is about."""
        if self.step.service is None:
            raise LookupError(f"{self.step.id} is about no service")
        return self.step.service

    @property
    def ssh_settings(self) -> models.Ssh:
        """How the step's servers are reached."""
        return self.definition.launch_configuration_of(self.tier).ssh

    @property
    def is_termination(self) -> bool:
        """Whether the run takes the deployment down."""
        return any(step.kind is StepKind.FINISH_TERMINATION for step in self.plan)

    @property
    def backup(self) -> names.BackupName:
        """The backup that the step makes or restores."""
        if self.step.backup is None:
            raise LookupError(f"{self.step.id} is about no backup")
        return self.step.backup

    @property
    def backup_settings(self) -> models.Backups:
        """What the definition says about backups."""
        if self.definition.backups is None:
            raise LookupError(f"{self.definition.deployment} has no backups")
        return self.definition.backups

    @property
    def backed_up(self) -> models.Dependency:
        """What the step's backup is of."""
        return self.backup_settings.of[self.backup]

    def shelf(self, backup: names.BackupName) -> stored.Shelf:
        """The backups of that name."""
        return stored.Shelf(self.objects, self.backup_settings, self.deployment, backup)

    @property
    def backup_object(self) -> str:
        """The name of the object that this run's backup becomes."""
        datasource = self.backed_up.datasource
        suffix = ".tar.gz"
        if datasource is not None:
            # It is loaded as the dump is loaded.
            suffix = fetching.suffix_of(self.definition.services[self.service].datasources[datasource].dump)
        return stored.object_name(self.moment, self.id, suffix)

    def access(self) -> ssh.Access:
        """The login for the step's servers."""
        return connections.access(self.ssh_settings)

    def server(self, name: names.ServerName) -> Server:
        """One of the deployment's servers, which has to be there."""
        found = self.inventory.named(name)
        if found is None:
            raise LookupError(f"{name} is not in the inventory it came from")
        return found

    def download(self, url: str, sha256: str | None, wanted_by: str) -> fetching.Download:
        """An object as it is now. `wanted_by` is what names it, for errors. Raises MissingObjectError, CloudError."""
        found = self.objects.facts(url, f"{wanted_by}, deployment {self.definition.deployment}")
        return fetching.Download(url, found.version, sha256, found.obstacle)

    def facts(self, *services: names.ServiceName) -> facts.Facts:
        """What the files of these services, and of the step's load balancers, are made from.

        Reads only the secrets that they need, and notes them. Raises as `connections.facts_of`.
        """
        balancers: tuple[names.BalancerName, ...] = ()
        if self.step.balancer is not None:
            balancers = (self.step.balancer,)
        elif self.step.kind is StepKind.UPDATE:
            balancers = tuple(self.definition.balancers_before(self.service))
        found = connections.facts_of(self.definition, self.inventory, services, balancers)
        self.secrets.update(account.password for account in found.accounts.values())
        self.secrets.update(account.password for account in found.replications.values())
        return found


def run_of(context: Context) -> Run:
    """The facts of the task that is running."""
    compiled = (context["dag"].user_defined_macros or {})[MACRO]
    instance = context["ti"]
    dag_run = context["dag_run"]
    params = context["params"]
    step = compiled.plan.by_id[instance.task_id]
    scaled_to = _scaled_to(compiled, context) if any_scaling(compiled.plan) else {}
    told_apart = (instance.dag_id, instance.run_id, *_life(context, step))
    run_key = hashlib.sha256(" ".join(told_apart).encode()).hexdigest()[:12]
    return Run(
        definition=compiled.definition,
        plan=compiled.plan,
        step=step,
        id=dag_run.run_id,
        key=jobs.StepKey(
            step=f"{run_key}.{step.id}",
            # Airflow raises max_tries exactly when a person clears the task: tries begin anew from there.
            epoch=str(instance.max_tries),
            attempt=str(instance.try_number),
        ),
        wanted={
            # Where a scaling leaves a tier alone, nobody says a number.
            tier: scaled_to.get(tier) or int(params.get(f"servers_{tier}") or found.servers.min)
            for tier, found in compiled.definition.tiers.items()
        },
        redeploy=frozenset(params.get("redeploy") or ()),
        converge=frozenset(params.get("converge") or ()),
        reason=str(params.get("reason") or ""),
        scaled_to=scaled_to,
        by_clock=dag_run.run_type == _SCHEDULED,
        moment=dag_run.run_after,
        backups=frozenset(params.get("backups") or ()),
        lost=_named(params) if names.operation_of(instance.dag_id) is names.Operation.RECOVER else None,
        from_dump=frozenset(params.get("from_dump") or ()),
        from_backup=frozenset(params.get("from_backup") or ()),
        reload_dump=frozenset(params.get("reload_dump") or ()),
        force=bool(params.get("force")),
        final_backup=bool(params.get("final_backup")),
        until=_until(context, compiled, step),
        source=compiled.source,
    )


def begin_life(context: Context) -> None:
    """Tell the run's tasks what tells it apart from an earlier run of the same id. For the task that takes the turn.

    It lasts as long as Airflow's row of the run: clears and retries find it again, a run that is made anew does not. A
    run that an older Gantry has begun has none, and keeps its jobs' names.
    """
    from airflow.sdk.execution_time.context import NEVER_EXPIRE  # noqa: PLC0415 - not for DAG files

    store = context["task_state_store"]
    life = store.get(_MARK)
    if life is None:
        if context["dag_run"].clear_number:
            return
        life = uuid.uuid4().hex
        store.set(_MARK, life, retention=NEVER_EXPIRE)
    context["ti"].xcom_push(key=_MARK, value=life)


def _life(context: Context, step: Step) -> tuple[str, ...]:
    if step.kind in BEFORE_WORK:
        # These have no jobs, and start no servers.
        return ()
    found = context["ti"].xcom_pull(task_ids=StepKind.TURN.value, key=_MARK)
    return (str(found),) if found else ()


def _until(context: Context, compiled: Compiled, step: Step) -> float:
    """Only a run that is cleaned up behind ends by itself: Airflow would skip the task that does it."""
    limit, began = compiled.definition.dagrun_timeout, context["dag_run"].start_date
    aftermath = compiled.plan.aftermath
    if limit is None or began is None or aftermath is None or step.id == aftermath.id:
        return 0.0
    if names.operation_of(context["ti"].dag_id) is not names.Operation.LAUNCH:
        return 0.0
    return float((began + limit).timestamp())


def _named(params: Mapping[str, Any]) -> Named:
    return Named(tuple(params.get("servers") or ()), bool(params.get("anyway")))


_SCHEDULED = "scheduled"


def any_scaling(plan: Plan) -> bool:
    """Whether a plan makes tiers larger or smaller."""
    return any(step.kind is StepKind.CHOOSE_SERVERS for step in plan)


def _scaled_to(compiled: Compiled, context: Context) -> dict[names.TierName, int]:
    """What the clock says, and over it what the form says."""
    definition, dag_run = compiled.definition, context["dag_run"]
    found: dict[names.TierName, int] = {}
    if dag_run.run_type == _SCHEDULED and dag_run.logical_date is not None:
        found |= definition.scaled_at(dag_run.logical_date)
    params = context["params"]
    asked = {tier: params.get(f"servers_{tier}") for tier in definition.tiers}
    return found | {tier: int(count) for tier, count in asked.items() if count is not None}


def targets(found: inventory.Inventory, wanted: list[names.ServerName]) -> list[ssh.Target]:
    """The SSH side of servers that have shaken hands.

    Raises:
        LostServerError: one of them is not there any more, or (KeyNotShownError) its host key is not known yet.
        NoAddressError: one of them lacks the address that it is reached by.
    """
    return [target(found.named(name), name) for name in wanted]


def target(server: inventory.Server | None, name: names.ServerName) -> ssh.Target:
    """The SSH side of one server. Raises as `targets` does."""
    if server is None or server.state is not inventory.InstanceState.RUNNING:
        raise servers.LostServerError(name, None if server is None else server.state)
    if server.host_key is None:
        raise servers.KeyNotShownError(name)
    if server.ssh_address is None:
        raise servers.NoAddressError(server)
    return ssh.Target(
        name=server.name,
        instance_id=server.instance_id,
        address=server.ssh_address,
        host_key=server.host_key,
    )
