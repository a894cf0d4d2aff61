"""Interface between a launch and a kind of configuration management."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Protocol

import pydantic

from gantry import errors, inventory, names, templates
from gantry.agent import template_values
from gantry.agent.fan_out import Applied, Work
from gantry.definition import models, template_facts

MARK = "configuration-management"
"""The mark on a server for what it was last configured with."""


class Manager(Protocol):
    """One kind of configuration management, for the servers of one tier.

    `files` are the paths on a server whose digests determine the remaining work.
    """

    files: tuple[str, ...]

    def prepare(self, server: inventory.Server, applied: Applied) -> Work:
        """Return what the server needs before the run and does not have yet."""
        ...

    def run(self, server: inventory.Server, applied: Applied, occasion: Occasion) -> Work:
        """Return the run; no work if nothing has changed since the last successful one."""
        ...


class AttributeTemplateError(errors.GantryError):
    """A template among a tier's attributes cannot be rendered."""

    def __init__(self, tier: names.TierName, path: str, reason: str) -> None:
        self.tier = tier
        self.path = path
        super().__init__(
            f"tiers.{tier}.attributes{path}: {reason}\n"
            f"A template may use deployment, tier and server, which are plain data, and Jinja's filters."
        )


def first_boot(definition: models.Definition, server: inventory.Server) -> bytes:
    """Return `first-boot.json`: the tier's run list, and its attributes with their templates rendered.

    The same facts give the same bytes.

    Raises:
        AttributeTemplateError: a template uses something that does not exist.
    """
    tier = definition.tiers[server.tier]
    known = template_facts.InAttributes(
        deployment=template_values.deployment_facts(definition),
        tier=template_facts.TemplateTier(name=server.tier),
        server=template_values.server_facts(server),
    ).known()

    def rendered(value: pydantic.JsonValue, path: str) -> pydantic.JsonValue:
        if isinstance(value, dict):
            return {key: rendered(part, f"{path}.{key}") for key, part in value.items()}
        if isinstance(value, list):
            return [rendered(part, f"{path}[{index}]") for index, part in enumerate(value)]
        if not isinstance(value, str):
            return value
        try:
            return templates.render(value, known)
        except templates.TemplateError as error:
            raise AttributeTemplateError(server.tier, path, error.reason) from error

    attributes = {key: rendered(value, f".{key}") for key, value in tier.attributes.items()}
    chef = definition.launch_configuration_of(server.tier).chef
    content: dict[str, pydantic.JsonValue] = {**attributes}
    # A policy has a run list of its own, which one from here would override.
    if chef is None or chef.policy_name is None:
        content["run_list"] = list(tier.run_list)
    return as_json(content)


def as_json(content: Mapping[str, pydantic.JsonValue]) -> bytes:
    """Return the bytes of `first-boot.json`. The same facts give the same bytes."""
    return f"{json.dumps(content, indent=2, sort_keys=True, allow_nan=False)}\n".encode()


def digest(*parts: bytes | str) -> str:
    """Return a fingerprint of everything that a run depends on."""
    sums = [hashlib.sha256(part.encode() if isinstance(part, str) else part).hexdigest() for part in parts]
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Occasion:
    """Why a run is requested.

    Attributes:
        step: the requesting step of the launch, the same for all its tries.
        forced: whether a person wants the run in any case.
    """

    step: str
    forced: bool = False

    def wants(self, applied: Applied, wanted: str, converge: models.Converge) -> bool:
        """Return whether a server has to be configured (again).

        Also true if an earlier try of this very step has done it: its job exists, and reports what it did.
        """
        done, _, by = applied.marks.get(MARK, "").partition(" ")
        return self.forced or converge == "always" or done != wanted or by == self.step

    def mark(self, wanted: str) -> tuple[str, str]:
        """Return the mark on the server after a successful run."""
        return MARK, f"{wanted} {self.step}"


def differs(digests: Mapping[str, str], path: str, content: bytes) -> bool:
    """Return whether a file on the server is missing or differs. An empty file counts as missing."""
    return digests.get(path, _EMPTY) != hashlib.sha256(content).hexdigest()


_EMPTY = hashlib.sha256(b"").hexdigest()
