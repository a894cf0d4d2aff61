"""What a launch would do now, as typed facts: what `gantry plan` shows, and its JSON."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from typing import Any

import pydantic

from gantry import names
from gantry.plan import StepKind


class Action(enum.StrEnum):
    """What becomes of a server. A launch starts, resumes and keeps; it replaces what is lost.

    It removes those alone that a scale in has chosen.
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
        address: how others reach it.
        image, size: of the instance; of the launch configuration if it is to be started.
        unknown: why nobody can say what a launch does on it, or None.
        notes: what a person should know of it, though a launch does nothing about it.
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
    """An agent script that would be run. Its arguments hold no secrets."""

    script: str
    arguments: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Change:
    """What one step would do on one server.

    Attributes:
        step: the step's id, as in the graph of the launch.
        reasons: why, for a person.
        details: what exactly, for a person: nodes that join or leave, addresses that are let in.
        calls: the agent's scripts, in their order. None: the step only sends files.
        files: those that it sends and that stay.
        restarts: whether the service is restarted.
        diff: a configuration file as it is and as it would be, as a unified diff; secrets are hidden.
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
    """What an object in the storage is to a deployment."""

    ARCHIVE = "archive"
    DATASOURCE = "datasource"


@dataclasses.dataclass(frozen=True)
class ChangedObject:
    """An archive or a dump that is another one now than what servers have.

    Attributes:
        of: the service, or `SERVICE.DATASOURCE`.
        servers: those that have another version.
        held: it is not loaded there, since the datasource holds data.
    """

    kind: ObjectKind
    of: str
    url: str
    servers: tuple[names.ServerName, ...]
    held: bool = False


@dataclasses.dataclass(frozen=True)
class Report:
    """What a launch would do now.

    Attributes:
        changes: in the order of the launch.
        repeated: what every launch does and what changes nothing: nodes that a balancer knows join again.
        remarks: what the look before a launch could not find out.
    """

    deployment: names.DeploymentName
    servers: tuple[ServerPreview, ...]
    objects: tuple[ChangedObject, ...] = ()
    changes: tuple[Change, ...] = ()
    repeated: tuple[Change, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def nothing_to_do(self) -> bool:
        """Whether a launch would change nothing, as far as can be known; what is unknown is no such promise."""
        return not self.changes and all(
            each.action is Action.KEEP and each.unknown is None for each in self.servers
        )

    def of(self, action: Action) -> tuple[ServerPreview, ...]:
        """The servers that this becomes of."""
        return tuple(each for each in self.servers if each.action is action)

    @property
    def unknown(self) -> Iterator[ServerPreview]:
        """The servers of which nobody can say what a launch does there."""
        return (each for each in self.servers if each.unknown is not None)

    def as_json(self) -> dict[str, Any]:
        """As plain data, with `nothing_to_do` in it."""
        dumped: dict[str, Any] = pydantic.TypeAdapter(Report).dump_python(self, mode="json")
        return {
            "deployment": dumped.pop("deployment"),
            "nothing_to_do": self.nothing_to_do,
            **dumped,
        }
