"""Environment of the demo: the embedded cloud with the example's archives, and an Airflow that knows both."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import gantry.definition
from gantry import inventory
from gantry.cloud import servers
from gantry.definition import models
from gantry.local import errors
from gantry.local.cloud import behavior, control, regions, state
from gantry.local.demo import airflow_process, cleanup, example, shop
from gantry.rest import client

PORT = 8080
DAG = "bookshop"
SCALE = f"{DAG}.scale"
TERMINATE = f"{DAG}.terminate"
REGION = "BOOKSHOP_REGION"
"""Environment variable with a region for the bookshop's loader that overrides its definition's."""
Say = Callable[[str], None]
_PATIENCE = {
    # After killing a worker to see what happens, a user should not have to wait for five minutes.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}
_log = logging.getLogger(__name__)


class NotInProjectError(errors.LocalCloudError):
    """The demo was started outside of the project."""

    def __init__(self, project: Path) -> None:
        self.project = project
        super().__init__(f"{project} holds no include/bookshop; start the demo in the root of the project")


@dataclasses.dataclass(frozen=True)
class Bookshop:
    """The bookshop on an embedded cloud, whichever Airflow launches it."""

    cloud: state.EmbeddedCloud
    example: example.Example
    definition: gantry.definition.Definition

    @property
    def balancer(self) -> models.LoadBalancer:
        """Return the load balancer in front of the shop."""
        return next(iter(self.definition.load_balancers.values()))

    @property
    def application(self) -> models.Service:
        """Return the service behind the load balancer."""
        return self.definition.services[self.balancer.service]

    def applications(self) -> tuple[inventory.Server, ...]:
        """Return the servers that the shop's pages come from."""
        return self.servers().of_tier(self.application.tier)

    def servers(self) -> inventory.Inventory:
        """Return the bookshop's servers, according to the cloud's tags."""
        return servers.Servers(self.cloud.client("ec2"), self.definition, _log).find()

    def shop(self) -> shop.Shop:
        """Return the shop through its load balancer, by the name in the definition."""
        balancer = self.balancer
        server = next(iter(self.servers().of_tier(balancer.tier)), None)
        if server is None or server.private_address is None:
            raise errors.LocalCloudError(f"tier {balancer.tier} has no server with an address")
        return shop.Shop(f"http://{server.private_address}:{balancer.port}", balancer.name)


@dataclasses.dataclass(frozen=True)
class DemoStage(Bookshop):
    """Everything that a launch of the bookshop needs, running."""

    airflow: airflow_process.AirflowProcess
    api: client.AirflowApi


def start(
    name: str,
    project: Path,
    say: Say,
    port: int | None = None,
    *,
    region: str | None = None,
    wanted: behavior.Manners = behavior.BRISK,
) -> DemoStage:
    """Remove the leftovers of the last environment of that name, and start again.

    Args:
        name: the name of the embedded cloud.
        project: the folder with `include/` and `dags/`.
        say: called with what was done, and how long it took.
        port: Airflow's port; by default 8080, or another one if that is taken.
        wanted: how much like EC2 the cloud behaves.
        region: the region of cloud and deployment; by default the definition's.

    Raises:
        LocalCloudError: something does not start.
        DefinitionError: the definition is invalid, or does not accept the region.
    """
    include, dags = project / "include", project / "dags"
    definition_file = include / DAG / f"{DAG}.yaml"
    if not definition_file.is_file():
        raise NotInProjectError(project)
    if region is not None:
        regions.require(region)
    definition = gantry.definition.load(definition_file, variables={"region": region} if region else None)
    for thing in cleanup.remove(name):
        say(f"removed what an earlier run left: {thing}")
    clock = Clock(say)
    cloud = control.up(name, region=definition.cloud.region, wanted=wanted)
    clock.took(
        f"embedded cloud: EC2 and S3 of {cloud.region} answer on {cloud.endpoint_url}, Chef on {cloud.chef_server_url}"
    )
    folder = cleanup.folder(name)
    prepared = example.prepare(cloud, include, folder / "example")
    clock.took("bookshop: archives and cookbooks uploaded, keys made")
    airflow = start_airflow(name, dags, {**prepared.environment, REGION: cloud.region}, port)
    api = airflow.api()
    clock.took(f"Airflow: {airflow.url}")
    for dag in (DAG, SCALE, TERMINATE):
        api.await_dag(dag)
    clock.took("DAGs: parsed")
    return DemoStage(cloud, prepared, definition, airflow, api)


def start_airflow(
    name: str, dags: Path, environment: Mapping[str, str], port: int | None
) -> airflow_process.AirflowProcess:
    """Start the demo's Airflow, on 8080 unless that is taken. Raises AirflowStartError, PortTakenError."""
    return airflow_process.start(
        cleanup.airflow_home(name), dags, {**environment, **_PATIENCE}, port, preferred_port=PORT
    )


class Clock:
    """Reports the duration of each action."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._since = time.monotonic()

    def took(self, what: str) -> None:
        """Report an action, and the time since the last one."""
        now = time.monotonic()
        self._say(f"{now - self._since:5.1f} s  {what}")
        self._since = now
