"""Current state of a demo, for `gantry demo status`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pydantic

from gantry.local import errors
from gantry.local.cloud import control, state
from gantry.local.demo import background, cleanup, machine


@dataclasses.dataclass(frozen=True)
class DemoInstance:
    """An instance of the embedded cloud."""

    name: str
    instance_id: str
    state: str
    address: str | None


@dataclasses.dataclass(frozen=True)
class DemoReport:
    """The state of a demo.

    Attributes:
        stands: whether all of it runs.
        gone: parts that should run and do not.
        endpoint, chef_server: None without an embedded cloud.
        left: processes, containers, networks and folders that belong to it.
    """

    name: str
    stands: bool
    project: Path | None = None
    airflow: str | None = None
    user: str | None = None
    endpoint: str | None = None
    chef_server: str | None = None
    gone: tuple[str, ...] = ()
    servers: tuple[DemoInstance, ...] = ()
    buckets: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    def json(self) -> pydantic.JsonValue:
        """Convert for programs."""
        found: pydantic.JsonValue = _FORMAT.dump_python(self, mode="json")
        return found


_FORMAT = pydantic.TypeAdapter(DemoReport)


def look(name: str) -> DemoReport:
    """Inspect all parts of a demo. A demo that does not exist is not an error."""
    machine.require_libraries()
    if not machine.engine_runs():
        return DemoReport(name, stands=False, gone=("the Docker Engine",))
    left = tuple(cleanup.left(name))
    found = background.find(name)
    cloud = _cloud(name)
    gone = []
    if cloud is None:
        gone.append("the embedded cloud")
    if found is None or not background.answers(found):
        gone.append("Airflow")
    return DemoReport(
        name=name,
        stands=not gone,
        project=found.root if found else None,
        airflow=found.url if found else None,
        user=found.user if found else None,
        endpoint=cloud.endpoint_url if cloud else None,
        chef_server=cloud.chef_server_url if cloud else None,
        gone=tuple(gone) if found or left else (),
        servers=tuple(_servers(cloud)) if cloud else (),
        buckets=tuple(each["Name"] for each in cloud.client("s3").list_buckets()["Buckets"]) if cloud else (),
        left=left,
    )


def _cloud(name: str) -> state.EmbeddedCloud | None:
    try:
        cloud = state.load(name)
    except errors.CloudNotRunningError:
        return None
    return cloud if cloud.pid in control.processes(name) else None


def _servers(cloud: state.EmbeddedCloud) -> list[DemoInstance]:
    found = []
    for page in cloud.client("ec2").get_paginator("describe_instances").paginate():
        for instance in (one for reservation in page["Reservations"] for one in reservation["Instances"]):
            if instance["State"]["Name"] == "terminated":
                continue
            tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
            found.append(
                DemoInstance(
                    tags.get("Name", ""),
                    instance["InstanceId"],
                    instance["State"]["Name"],
                    instance.get("PrivateIpAddress"),
                )
            )
    return sorted(found, key=lambda server: server.name)


def lines(found: DemoReport, stands: background.DemoState | None) -> list[str]:
    """Format for people; includes Airflow's password, which is used only by the demo."""
    if not found.left and stands is None:
        return [f"no demo {found.name!r} is running here; `gantry demo up` starts one"]
    told = []
    if stands is not None:
        told.append(f"project   {stands.root}")
        told.append(f"Airflow   {stands.url}   user {stands.user}   password {stands.password}")
        told.append(f"pages     {stands.url}/plugin/deployments")
    if found.endpoint:
        told.append(f"cloud     {found.endpoint}   Chef {found.chef_server}")
    told += [
        f"server    {each.name or each.instance_id}   {each.address}   {each.state}" for each in found.servers
    ]
    told += [f"bucket    {each}" for each in found.buckets]
    told += [f"missing   {each}" for each in found.gone]
    if stands is None:
        told += [f"left      {each}" for each in found.left]
    if found.gone:
        told.append("`gantry demo up` starts what is missing, `gantry demo down` removes everything")
    return told
