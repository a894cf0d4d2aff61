"""The bookshop on an embedded cloud, and a cluster to launch it: begun, looked for, taken away."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import gantry.definition
from gantry.local.cloud import control
from gantry.local.cluster import stage
from gantry.local.demo import cleanup, environment, example
from gantry.rest import client

NAME = "demo-cluster"
"""Of cloud and cluster. There is one at a time: the names of its network are the machine's."""

_CONNECTION = "AIRFLOW_CONN_"


@dataclasses.dataclass(frozen=True)
class ClusterBookshop(environment.Bookshop):
    """The bookshop, and the cluster that launches it.

    Attributes:
        api: the cluster's, as the user `admin`.
    """

    cluster: stage.Cluster
    api: client.AirflowApi


def start(project: Path, say: stage.Say, more: Mapping[str, str] | None = None) -> ClusterBookshop:
    """Remove what the last one left, and start again: the cloud, then the cluster.

    Args:
        project: the folder with `include/` and `dags/`.
        say: called with what has been done, and how long it took.
        more: settings of Airflow that differ from those of the compose file.

    Raises:
        LocalCloudError: something is missing, or does not start.
        DefinitionError: the definition is wrong.
    """
    # Said before the cloud takes its time.
    stage.require()
    file = project / "include" / environment.DAG / f"{environment.DAG}.yaml"
    if not file.is_file():
        raise environment.NotInProjectError(project)
    definition = gantry.definition.load(file)
    remove(NAME)
    clock = environment.Clock(say)
    cloud = control.up(NAME, region=definition.cloud.region)
    clock.took(f"embedded cloud: EC2 and S3 of {cloud.region} answer on {cloud.endpoint_url}")
    prepared = example.prepare(cloud, project / "include", cleanup.folder(NAME) / "example")
    clock.took("bookshop: archives and cookbooks uploaded, keys made")
    connections = {
        name.removeprefix(_CONNECTION).lower(): json.loads(value)
        for name, value in prepared.environment.items()
        if name.startswith(_CONNECTION)
    }
    cluster = stage.start(NAME, connections, project, say, more)
    return ClusterBookshop(cloud, prepared, definition, cluster, cluster.api())


def only_one() -> contextlib.AbstractContextManager[None]:
    """Lock the name of the cluster.

    Raises:
        AlreadyRunningError: another process has it.
    """
    return cleanup.only_one(NAME, ". A machine has one cluster at a time")


@contextlib.contextmanager
def running(
    project: Path, say: stage.Say, more: Mapping[str, str] | None = None
) -> Iterator[ClusterBookshop]:
    """The same inside; ended and removed afterwards, however far it came. No other may run meanwhile.

    Raises:
        AlreadyRunningError: another one runs.
    """
    with only_one():
        try:
            yield start(project, say, more)
        finally:
            remove(NAME)


def remove(name: str) -> list[str]:
    """End and remove everything of it; fine when there is nothing.

    Returns:
        What was there.
    """
    found = stage.left(name)
    stage.remove(name)
    return [*found, *cleanup.remove(name)]


def left(name: str) -> list[str]:
    """What of it exists now."""
    return [*stage.left(name), *cleanup.left(name)]
