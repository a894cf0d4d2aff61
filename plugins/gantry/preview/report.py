"""Report of what a launch would do now, as typed data: the content of `gantry plan`, and its JSON."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Iterator
from typing import Any

import pydantic

from gantry import names
from gantry.plan import StepKind


class Action(enum.StrEnum):
    """What happens to a server. A launch starts, resumes and keeps servers, and replaces lost ones.

    It removes only servers that a scale-in has chosen.
    """

    START = "start"
    RESUME = "resume"
    KEEP = "keep"
    REPLACE = "replace"
    REMOVE = "remove"


@dataclasses.dataclass(frozen=True)
class ServerPreview:
    """One server after the launch.

    Attributes:
        instance: its EC2 id, or None before it is started.
        address: the address by which others reach it.
        image, size: those of the instance; of the launch configuration if it is to be started.
        unknown: why it is unknown what a launch does on it, or None.
        notes: what the user should know about it, though a launch does nothing about it.
    """

    name: names.ServerName
    tier: names.TierName
    action: Action
    instance: str | None
    address: str
    image: str
    size: str
    unknown: str | None = None
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ScriptCall:
    """An agent script that would be run. Its arguments contain no secrets."""

    script: str
    arguments: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Change:
    """What one step would do on one server.

    Attributes:
        step: the step's id, as in the graph of the launch.
        reasons: why, for people.
        details: what exactly, for people: nodes that join or leave, addresses that are granted access.
        calls: the agent's scripts, in order. None: the step only sends files.
        files: the sent files that stay on the server.
        restarts: whether the service is restarted.
        diff: the change of a configuration file, as a unified diff; secrets are hidden.
    """

    step: str
    kind: StepKind
    server: names.ServerName
    service: names.ServiceName | None = None
    reasons: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    calls: tuple[ScriptCall, ...] = ()
    files: tuple[str, ...] = ()
    restarts: bool = False
    diff: tuple[str, ...] = ()


class ObjectKind(enum.StrEnum):
    """The role of an object in the storage."""

    ARCHIVE = "archive"
    DATASOURCE = "datasource"


@dataclasses.dataclass(frozen=True)
class ChangedObject:
    """An archive or a dump that differs from the one on servers.

    Attributes:
        of: the service, or `SERVICE.DATASOURCE`.
        servers: the servers with another version.
        held: whether it is not loaded there, since the datasource has data.
    """

    kind: ObjectKind
    of: str
    url: str
    servers: tuple[names.ServerName, ...]
    held: bool = False


@dataclasses.dataclass(frozen=True)
class BalancerPreview:
    """What becomes of the configuration of a load balancer's program on one server, `haproxy.cfg` for example.

    Attributes:
        path: the file on the server; empty if it is unknown.
        diff: its change over the whole launch, as a unified diff; secrets are hidden.
        reasons: why the running balancer changes, although its file does not.
        refusal: why the launch would fail there, or None.
        unknown: why it is unknown how the file changes, or None.
        notes: what the user should know about it.
    """

    server: names.ServerName
    path: str = ""
    diff: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    refusal: str | None = None
    unknown: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Return whether something changes, or fails, as far as known."""
        return bool(self.diff or self.reasons) or self.refusal is not None


@dataclasses.dataclass(frozen=True)
class Report:
    """What a launch would do now.

    Attributes:
        changes: the changes, in the order of the launch.
        repeated: what a launch with something to do does besides, without changing anything: known nodes rejoin their
            balancers.
        remarks: what the preflight checks could not determine, and what else the user should know beforehand.
        balancers: how the configurations of the load balancers' programs change.
    """

    deployment: names.DeploymentName
    servers: tuple[ServerPreview, ...]
    objects: tuple[ChangedObject, ...] = ()
    changes: tuple[Change, ...] = ()
    repeated: tuple[Change, ...] = ()
    remarks: tuple[str, ...] = ()
    balancers: tuple[BalancerPreview, ...] = ()

    @property
    def nothing_to_do(self) -> bool:
        """Return whether a launch would change nothing, as far as known.

        Servers of which that is unknown count as changes. Balancers do not: what their steps do is known.
        """
        return not self.changes and not any(each.changes for each in self.balancers) and self.keeps_all

    @property
    def keeps_all(self) -> bool:
        """Return whether all servers are kept, and answer."""
        return all(each.action is Action.KEEP and each.unknown is None for each in self.servers)

    def with_remarks(self, more: Iterable[str]) -> Report:
        """Return the report with more remarks."""
        return dataclasses.replace(self, remarks=(*self.remarks, *more))

    def of(self, action: Action) -> tuple[ServerPreview, ...]:
        """Return the servers with this action."""
        return tuple(each for each in self.servers if each.action is action)

    @property
    def unknown(self) -> Iterator[ServerPreview]:
        """Yield the servers for which it is unknown what a launch does there."""
        return (each for each in self.servers if each.unknown is not None)

    def as_json(self) -> dict[str, Any]:
        """Convert to plain data, including `nothing_to_do`."""
        dumped: dict[str, Any] = pydantic.TypeAdapter(Report).dump_python(self, mode="json")
        return {
            "deployment": dumped.pop("deployment"),
            "nothing_to_do": self.nothing_to_do,
            **dumped,
        }
