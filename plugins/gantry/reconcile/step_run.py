"""Context of a task: its step, its run, its deployment."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from gantry import inventory, names, requests
from gantry.agent import downloads, jobs, server_facts, ssh
from gantry.cloud import backups as stored
from gantry.cloud import clients, download_links, health, servers
from gantry.cloud.objects import Objects
from gantry.credentials import connections
from gantry.definition import models, source
from gantry.inventory import Server
from gantry.plan import Plan, Step, StepKind
from gantry.reconcile import data_renewal

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

LOG = logging.getLogger("gantry")

R = TypeVar("R", bound=requests.OperationRequest)

NO_MOMENT = datetime.datetime.fromtimestamp(0, datetime.UTC)
"""The time of a run that never takes place."""


@dataclasses.dataclass(frozen=True)
class DagPayload:
    """The inputs that a DAG was compiled from; `source` has the positions in the definition file, if known.

    Airflow does not store them: each task's process compiles its DAG again.
    """

    definition: models.Definition
    plan: Plan
    operation: names.Operation
    source: source.DefinitionData | None = None


@dataclasses.dataclass(frozen=True)
class StepRun:
    """One try of one task of one run.

    Attributes:
        id: the run's id in Airflow; runs of two operations can have the same.
        operation: the operation of its DAG, whose plan `plan` is.
        key: the beginning of the names of its jobs.
        params: the values of its trigger form; `asked` reads them.
        wanted: the wanted number of servers of each tier.
        scaled_to: the sizes to scale tiers to, if the run scales; unchanged tiers are absent.
        by_clock: whether the run is a scheduled one.
        moment: when the run was due.
        restored: the backup that the run restores, once it is chosen.
        lost: the servers to be replaced on request; None if the run has another purpose.
        renewals: what databases that replace lost ones are filled with, once it is known.
        started: returns the ids of instances that were started so recently that the cloud may not list them yet.
        until: when the run's time is up (seconds since 1970), or 0 if only Airflow enforces that.
        secrets: the secrets read so far, so that they are masked.
        source: the positions in the definition file, if known.
        bundle: the DAG bundle that the run began in; empty if that is not known.
    """

    definition: models.Definition
    plan: Plan
    step: Step
    id: str
    key: jobs.StepKey
    wanted: dict[str, int]
    operation: names.Operation = names.Operation.LAUNCH
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scaled_to: Mapping[names.TierName, int] = dataclasses.field(default_factory=dict)
    by_clock: bool = False
    moment: datetime.datetime = NO_MOMENT
    restored: stored.Stored | None = None
    lost: requests.RecoverRequest | None = None
    renewals: data_renewal.Renewals = ()
    started: Callable[[], frozenset[str]] = frozenset
    until: float = 0.0
    secrets: set[str] = dataclasses.field(default_factory=set, repr=False)
    source: source.DefinitionData | None = None
    bundle: str = ""

    def asked(self, request: type[R]) -> R:
        """Return what the run is asked for. Each step reads the request that its work belongs to.

        A scaling's steps of a launch, for example, read a launch's: those fields are empty then.
        """
        return request.read(self.params)

    @functools.cached_property
    def cloud(self) -> servers.Servers:
        """Return the deployment's servers in the cloud."""
        return servers.Servers(self._ec2, self.definition, LOG)

    @functools.cached_property
    def health(self) -> health.Health:
        """Return the health records of the deployment's servers in the cloud."""
        return health.Health(self._ec2, self.definition.cloud.connection)

    @functools.cached_property
    def _ec2(self) -> EC2Client:
        """One client for all calls: creating one costs as much as several calls."""
        return clients.ec2(self.definition.cloud)

    @functools.cached_property
    def objects(self) -> Objects:
        """Return the archives and dumps in the cloud."""
        return self.links.objects

    @functools.cached_property
    def links(self) -> download_links.CloudLinks:
        """Return the factory of download links for servers."""
        return download_links.CloudLinks(self.definition.cloud)

    @functools.cached_property
    def inventory(self) -> inventory.Inventory:
        """Return the deployment's servers, as of the first call in this task.

        Includes the recently `started` ones; raises NotListedYetError while the cloud does not list them yet.
        """
        return self.cloud.find_with(self.started())

    def at(self, step: Step) -> StepRun:
        """Return the same try, executing the work of another step."""
        prefix = self.key.step.removesuffix(self.step.id)
        return dataclasses.replace(
            self, step=step, key=dataclasses.replace(self.key, step=f"{prefix}{step.id}")
        )

    @property
    def deployment(self) -> names.DeploymentName:
        """Return the deployment's own name, also in a drill, whose servers have another one."""
        return names.deployment_of(self.definition.deployment)

    @property
    def digest(self) -> str:
        """Return a digest that distinguishes the run from all others, also from a deleted one with the same id."""
        return self.key.step.partition(".")[0]

    @property
    def tier(self) -> names.TierName:
        """Return the tier that the step works on."""
        if self.step.tier is None:
            raise LookupError(f"{self.step.id} works on no tier")
        return self.step.tier

    @property
    def service(self) -> names.ServiceName:
        """Return the service that the step is about."""
        if self.step.service is None:
            raise LookupError(f"{self.step.id} is about no service")
        return self.step.service

    @property
    def ssh_settings(self) -> models.Ssh:
        """Return the SSH settings of the step's servers."""
        return self.definition.launch_configuration_of(self.tier).ssh

    @property
    def is_termination(self) -> bool:
        """Return whether the run terminates the deployment."""
        return any(step.kind is StepKind.FINISH_TERMINATION for step in self.plan)

    @property
    def backup(self) -> names.BackupName:
        """Return the backup that the step creates or restores."""
        if self.step.backup is None:
            raise LookupError(f"{self.step.id} is about no backup")
        return self.step.backup

    @property
    def backup_settings(self) -> models.Backups:
        """Return the definition's settings for backups."""
        if self.definition.backups is None:
            raise LookupError(f"{self.definition.deployment} has no backups")
        return self.definition.backups

    @property
    def backed_up(self) -> models.Dependency:
        """Return what the step's backup is of."""
        return self.backup_settings.of[self.backup]

    def shelf(self, backup: names.BackupName) -> stored.Shelf:
        """Return the backups of that name."""
        return stored.Shelf(self.objects, self.backup_settings, self.deployment, backup)

    @property
    def backup_object(self) -> str:
        """Return the name of the object that this run's backup will have."""
        datasource = self.backed_up.datasource
        suffix = ".tar.gz"
        if datasource is not None:
            # It is loaded in the same way as the dump.
            suffix = downloads.suffix_of(self.definition.services[self.service].datasources[datasource].dump)
        return stored.object_name(self.moment, self.id, suffix)

    def access(self) -> ssh.Access:
        """Return the login for the step's servers."""
        return connections.access(self.ssh_settings)

    def server(self, name: names.ServerName) -> Server:
        """Return a server of the deployment, which must exist."""
        found = self.inventory.named(name)
        if found is None:
            raise LookupError(f"{name} is not in the inventory it came from")
        return found

    def download(self, url: str, sha256: str | None, wanted_by: str) -> downloads.Download:
        """Return the current state of an object.

        `wanted_by` names the user of it in errors. Raises MissingObjectError, CloudError.
        """
        found = self.objects.facts(url, f"{wanted_by}, deployment {self.definition.deployment}")
        return downloads.Download(url, found.version, sha256, found.obstacle)

    def facts(self, *services: names.ServiceName) -> server_facts.Facts:
        """Return the facts for the files of these services and of the step's load balancers.

        Reads only the secrets that they need, and registers them. Raises as `connections.facts_of`.
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


def any_scaling(plan: Plan) -> bool:
    """Return whether a plan changes the size of tiers."""
    return any(step.kind is StepKind.CHOOSE_SERVERS for step in plan)


def targets(found: inventory.Inventory, wanted: list[names.ServerName]) -> list[ssh.Target]:
    """Return the SSH targets of servers whose handshake is complete.

    Raises:
        LostServerError: one of them no longer exists, or (KeyNotShownError) its host key is not known yet.
        NoAddressError: one of them lacks the address that it is reached by.
    """
    return [target(found.named(name), name) for name in wanted]


def target(server: inventory.Server | None, name: names.ServerName) -> ssh.Target:
    """Return the SSH target of one server. Raises as `targets` does."""
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
