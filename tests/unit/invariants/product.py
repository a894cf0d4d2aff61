"""Where the simulation touches the product: each thing that reaches out of a process is replaced here, and only here.

What the product calls in one of these places is what `World` answers. A change of the product that moves such a place
is followed here, and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import Connection
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from gantry import definition, names, preflight
from gantry.agent import errors, session, ssh
from gantry.cloud import clients, pace, sources
from gantry.credentials import connections
from gantry.dag import compile as compiling
from gantry.dag.operations import RECIPES
from gantry.definition import models
from gantry.operators import base
from gantry.runtime import asset_state
from gantry.triggers import server_work

from . import servers
from .stage import Policy, Stage, Time, datetime_module

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from .world import World

TEXT = """\
deployment: shop
customer_id: c100
cloud: {region: eu-central-1}
retries: 1
retry_delay: 1s
attend_time: 20s
on_failure: ON_FAILURE
timeouts: {handshake: 3m, scale_up: 2m}
launch_configurations:
  debian: {image: ami-1, size: t3.small, ssh: {connection: shop_ssh, reconnect_for: 30s}}
tiers:
  database:    {launch_configuration: debian, servers: 1, recovery_delay: 5m}
  application: {launch_configuration: debian, servers: {min: 1, max: 3}, recovery_delay: 5m}
services:
  db:
    id: a1001
    tier: database
    archive: s3://shop/db.tar.gz
    port: 3306
    datasources:
      catalog: {dump: s3://shop/catalog.sql, connection: shop_catalog}
  app:
    id: a1002
    tier: application
    archive: s3://shop/app.tar.gz
    port: 8000
    depends_on: [db.catalog]
backups: {of: {catalog: db.catalog}, to: s3://backups/, keep: 2, final: false}
watch: {every: 1m}
"""
DEPLOYMENT = names.DeploymentName("shop")
DATA_TIER = "database"
RECOVERY_DELAY = 300.0
"""Seconds for which a server has to be silent before it is lost."""
SERVICE_ID = "a1001"
DATASOURCE = "catalog"
PART = "db.catalog"
DUMP = "s3://shop/catalog.sql"
ARCHIVES = ("s3://shop/db.tar.gz", "s3://shop/app.tar.gz")
BACKUPS = "s3://backups/shop/catalog/"


@functools.cache
def known(on_failure: str) -> models.Definition:
    return definition.loads(TEXT.replace("ON_FAILURE", on_failure))


@functools.cache
def dags(on_failure: str) -> dict[str, DAG]:
    """The deployment's DAGs, as Airflow has them."""
    found = known(on_failure)
    made = [
        compiling.operation_dag(found, operation)
        for operation, recipe in RECIPES.items()
        if recipe.needed(found)
    ]
    return {each.dag_id: each for each in made}


@functools.cache
def _private_key() -> str:
    import asyncssh  # noqa: PLC0415 - as the product does

    return asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()


def _connection(connection: str) -> Connection:
    if connection == "shop_ssh":
        return Connection(
            conn_id=connection,
            conn_type="ssh",
            login="root",
            extra=json.dumps({"private_key": _private_key()}),
        )
    return Connection(
        conn_id=connection, conn_type="mysql", login="shopper", password="secret5", schema="shop"
    )


class Stored:
    """The state of an asset: each call is a request to Airflow."""

    def __init__(self, world: World, asset: str) -> None:
        self._world = world
        self._asset = asset

    @property
    def _rows(self) -> dict[str, Any]:
        return self._world.asset_state.setdefault(self._asset, {})

    def get(self, key: str, default: Any = None) -> Any:
        self._world.stage.effect()
        return self._rows.get(key, default)

    def set(self, key: str, value: Any, **_: Any) -> None:
        self._world.stage.effect()
        self._rows[key] = value

    def delete(self, key: str) -> None:
        self._world.stage.effect()
        self._rows.pop(key, None)


class _Quiet:
    """A log that nobody reads: writing it would take most of the time."""

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda *_, **__: None


def kept(world: World) -> Stored:
    """What a context has for `asset_state_store`: the state of the asset that a launch updates."""
    return Stored(world, names.asset(DEPLOYMENT))


def _keep_time(patch: pytest.MonkeyPatch, stage: Callable[[], Stage]) -> None:
    """Have all modules of the product read the stage's clock."""
    replaced = {"time": Time(stage), "datetime": datetime_module(stage)}
    for name, module in list(sys.modules.items()):
        if name.startswith("gantry."):
            for what, other in replaced.items():
                if getattr(module, what, None) is sys.modules[what]:
                    patch.setattr(module, what, other)


@contextlib.contextmanager
def connected(current: Callable[[], World]) -> Iterator[None]:
    """Have the product's code reach the current world, and nothing else."""
    patch = pytest.MonkeyPatch()
    stage = lambda: current().stage  # noqa: E731 - one expression

    @contextlib.asynccontextmanager
    async def connect(
        target: ssh.Target, _: ssh.Access, progress: Any = None
    ) -> AsyncIterator[servers.Machine]:
        machine = current().ec2.machines.get(target.instance_id)
        if progress is not None:
            progress.tried = True
        if machine is None:
            raise errors.ConnectionLostError(target.name, target.address, "there is no such server")
        async with servers.connect(machine, target):
            if progress is not None:
                progress.logged_in = True
            yield machine

    def opened(machine: servers.Machine, target: ssh.Target, _: str) -> servers.Session:
        return servers.Session(machine, target)

    async def inline(function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        return function(*given, **named)

    def count(dag_id: str, **asked: Any) -> int:
        return current().airflow.count(dag_id, **asked)

    def count_tasks(dag_id: str, **asked: Any) -> int:
        return current().airflow.count_tasks(dag_id, **asked)

    before = asyncio.get_event_loop_policy()
    try:
        asyncio.set_event_loop_policy(Policy(stage))
        patch.setattr(asyncio, "to_thread", inline)
        patch.setattr(ExecutorSafeguard, "test_mode", True)
        patch.setattr(RuntimeTaskInstance, "get_dr_count", staticmethod(count))
        patch.setattr(RuntimeTaskInstance, "get_ti_count", staticmethod(count_tasks))
        patch.setattr(clients, "ec2", lambda _: current().ec2)
        # Each call is of another process, at any time of any world.
        patch.setattr(pace, "of", lambda *_: pace.Pace())
        patch.setattr(sources.S3Access, "client", property(lambda _: current().s3))
        # It only looks, and has tests of its own; what it looks at is in no danger here.
        patch.setattr(preflight, "examine", lambda *_: iter(()))
        patch.setattr(sources.S3Access, "linking", lambda *_: current().s3)
        patch.setattr(connections, "_get", _connection)
        patch.setattr(connections, "_mask", lambda _: None)
        patch.setattr(asset_state, "_place", lambda asset: Stored(current(), asset))
        patch.setattr(ssh, "connect", connect)
        patch.setattr(session, "Session", opened)
        patch.setattr(ssh.Login, "authorized_key", lambda _: "ssh-ed25519 AAAA")
        _keep_time(patch, stage)
        for logs in (base.StepOperator, server_work.StepTrigger):
            patch.setattr(logs, "log", _Quiet(), raising=False)
        logging.disable(logging.CRITICAL)
        yield
    finally:
        logging.disable(logging.NOTSET)
        patch.undo()
        asyncio.set_event_loop_policy(before)
