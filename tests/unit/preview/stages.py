"""Deployments to rehearse: servers that the cloud is said to have, objects that the storage is said to hold."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any, cast

from gantry import definition, inventory, names, requests
from gantry.cloud import objects
from gantry.plan import launch_plan
from gantry.preview import dry_run, placeholders, scaling, state
from gantry.preview.report import Action

DEFINITION = """\
deployment: bookshop
cloud: {region: eu-central-1}
launch_configurations:
  debian: {image: ami-1, size: t3.small, ssh: {connection: bookshop_ssh}}
tiers:
  database:    {launch_configuration: debian, servers: 1}
  application: {launch_configuration: debian, servers: {min: 2, max: 6}}
  proxy:       {launch_configuration: debian, servers: 1}
services:
  db:
    id: a1001
    tier: database
    archive: s3://bookshop/dbService.tar.gz
    port: 3306
    datasources:
      catalog: {dump: s3://bookshop/datasource.sql, connection: bookshop_catalog}
  app:
    id: a1002
    tier: application
    archive: s3://bookshop/appService.tar.gz
    port: 8000
    depends_on: [db.catalog]
    custom: {greeting: "Hello from {{ server.name }}", api_token: sesame}
load_balancers:
  front: {tier: proxy, service: app, port: 80, name: shop.example.com}
"""
ADDRESSES = {
    "database-1": "10.0.0.11",
    "application-1": "10.0.0.21",
    "application-2": "10.0.0.22",
    "proxy-1": "10.0.0.31",
}
PASSWORD = "pa=ss wo$rd"
COPIED = "copied pa$$word"
NEW = dict.fromkeys(ADDRESSES)
Found = dict[str, list[str]]
States = Mapping[names.ServerName, state.ServerState]


class Storage:
    """S3 as far as a launch asks it: each object's version."""

    def __init__(self, versions: Mapping[str, str]) -> None:
        self._versions = versions

    def head_object(self, **wanted: str) -> dict[str, Any]:
        return {"ETag": f'"{self._versions.get(wanted["Key"], "1")}"', "ContentLength": 1}

    def generate_presigned_url(self, *_: object, **__: object) -> str:
        return "https://link.example.com/?X-Amz-Signature=s3cr3t"


@dataclasses.dataclass(frozen=True)
class Story:
    """A deployment before a launch. Servers without an address are to be started."""

    text: str = DEFINITION
    addresses: Mapping[str, str | None] = dataclasses.field(default_factory=lambda: ADDRESSES)
    request: requests.LaunchRequest = dataclasses.field(default_factory=requests.LaunchRequest)
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tagged: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def but(self, **changes: Any) -> Story:
        return dataclasses.replace(self, **changes)

    def walk(self, states: States | None = None) -> dry_run.Walked:
        """Rehearse the launch; without states every server is a new one."""
        servers = [self.server(short) for short in self.addresses]
        known = definition.loads(self.text)
        stage = dry_run.DryRunContext(
            known,
            launch_plan(known),
            self.request,
            scaling.Scaled(
                inventory.Inventory(tuple(servers)),
                {
                    each.name: Action.START if self.addresses[short] is None else Action.KEEP
                    for short, each in zip(self.addresses, servers, strict=True)
                },
                {},
            ),
            objects.Objects(cast("Any", Storage(self.versions)), names.ConnectionId("aws_default")),
        )
        return dry_run.walk(
            stage, {each.name: state.ServerState() for each in servers} if states is None else states
        )

    def server(self, short: str) -> inventory.Server:
        tier, _, slot = short.rpartition("-")
        name = names.ServerName(f"bookshop-{short}")
        found = placeholders.server(name, names.TierName(tier), names.Slot(int(slot)))
        address = self.addresses[short]
        if address is None:
            return found
        return dataclasses.replace(
            found,
            instance_id=f"i-{short}",
            state=inventory.InstanceState.RUNNING,
            launched_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
            private_address=address,
            host_key="ssh-ed25519 AAAA",
            tagged_name=self.tagged.get(short, name),
        )


def scripts(walked: dry_run.Walked) -> Found:
    """What would run where: scripts by server, without the deployment's name."""
    found: Found = {}
    for change in walked.changes:
        short = change.server.removeprefix("bookshop-")
        found.setdefault(short, []).extend(call.script for call in change.calls)
    return found


def with_files(walked: dry_run.Walked) -> dict[names.ServerName, state.ServerState]:
    """The servers after that launch, with what it has told their services and balancers."""
    configs: dict[names.ServerName, dict[str, str]] = {each: {} for each in walked.states}
    for change in walked.changes:
        if change.diff:
            path = change.diff[1].removeprefix("+++ ")
            shown = "\n".join(line[1:] for line in change.diff[3:])
            # On the servers they stand as they are.
            for key, secret in (("replication.password", COPIED), ("assword", PASSWORD), ("token", "sesame")):
                shown = shown.replace(f"{key}=(secret)", f"{key}={secret}")
            configs[change.server][path] = shown
    return {name: dataclasses.replace(each, configs=configs[name]) for name, each in walked.states.items()}


def changed(states: States, short: str, **facts: Any) -> dict[names.ServerName, state.ServerState]:
    """The same servers, one of them otherwise."""
    name = names.ServerName(f"bookshop-{short}")
    return {**states, name: dataclasses.replace(states[name], **facts)}


def restarted(walked: dry_run.Walked) -> list[str]:
    """The servers on which a service would be restarted."""
    return [each.server.removeprefix("bookshop-") for each in walked.changes if each.restarts]
