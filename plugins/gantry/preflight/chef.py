"""Checks of a tier's Chef server: whether it answers, accepts our login, and has the items of the run list.

The checks are made from here, not from the servers: a server may reach it even if this machine does not.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from gantry import errors, names
from gantry.configuration_management import chef, chef_server
from gantry.credentials import connections
from gantry.definition import models, source
from gantry.preflight.findings import CheckOutcome, PreflightCheck, PreflightFinding
from gantry.preflight.requirements import Needs

_ITEM = re.compile(r"(?P<kind>role|recipe)\[(?P<name>[^\]@]+)(@[^\]]*)?\]")
_PATIENCE = 5.0
"""Seconds for one answer. A Chef server that only servers can reach does not answer at all."""

_NOT_FOUND = 404
_UNKNOWN_ACTOR = 401
_DEFAULT = "_default"
_MOST_ROLES = 200
"""Maximum number of nested roles that are followed."""


def looks(
    definition: models.Definition, needs: Needs, tiers: frozenset[names.TierName]
) -> Iterator[Callable[[], list[PreflightFinding]]]:
    """Yield the checks for these tiers. Unusable connections have already been reported."""
    for tier in needs.managed:
        settings = definition.launch_configuration_of(tier).chef
        if tier not in tiers or settings is None:
            continue
        try:
            credentials = connections.chef_credentials(settings)
        except errors.GantryError:
            continue
        yield functools.partial(_look, definition, tier, settings, credentials)


def _look(
    definition: models.Definition,
    tier: names.TierName,
    settings: models.Chef,
    credentials: chef.Credentials,
) -> list[PreflightFinding]:
    name = definition.tiers[tier].launch_configuration
    look = PreflightCheck(
        f"tier {tier}: Chef server {credentials.url}", ("launch_configurations", name, "chef", "connection")
    )
    found = [_validator(look, credentials)]
    actor = credentials.admin or credentials.validator
    if found[0].standing is not CheckOutcome.WELL or actor is None:
        return found
    library = _Library(chef_server.ChefServer(credentials.url, actor, credentials.certificate, _PATIENCE))
    if settings.policy_name is not None and settings.policy_group is not None:
        place = ("launch_configurations", name, "chef", "policy_name")
        what = f"tier {tier}: policy {settings.policy_name} of the group {settings.policy_group}"
        url = f"/policy_groups/{_word(settings.policy_group)}/policies/{_word(settings.policy_name)}"
        return found + library.look(what, place, url)
    environment = settings.environment or credentials.environment or _DEFAULT
    if environment != _DEFAULT:
        place = ("launch_configurations", name, "chef", "environment")
        found += library.look(
            f"tier {tier}: environment {environment}", place, f"/environments/{_word(environment)}"
        )
    for index, item in enumerate(definition.tiers[tier].run_list):
        found += library.item(f"tier {tier}", ("tiers", tier, "run_list", index), item, environment)
    return found


def _validator(look: PreflightCheck, credentials: chef.Credentials) -> PreflightFinding:
    """Check whether servers can register, which they do as the validation client."""
    actor = credentials.validator or credentials.admin
    if actor is None:
        return look.unknown("no user to ask it with; only servers that are registered already can run")
    try:
        chef_server.ChefServer(credentials.url, actor, credentials.certificate, _PATIENCE).check()
    except chef_server.ChefServerRefusedError as error:
        # A wrong clock is this machine's problem, and servers do not use an administrator's key.
        is_certain = actor is credentials.validator and error.status == _UNKNOWN_ACTOR and not error.by_clock
        return look.failed(error) if is_certain else look.unknown(str(error))
    except errors.GantryError as error:
        return look.unknown(f"{error}\nServers may reach it all the same.")
    return look.well(f"answers, and knows {actor.name}")


@dataclasses.dataclass
class _Library:
    """The contents of a Chef server. `asked` has what was already checked."""

    server: chef_server.ChefServer
    asked: set[str] = dataclasses.field(default_factory=set)

    def item(self, whose: str, path: source.Path, item: str, environment: str) -> list[PreflightFinding]:
        """Check an item of a run list; for a role, also the items that it contains."""
        matched = _ITEM.fullmatch(item)
        if matched is None or len(self.asked) > _MOST_ROLES:
            return []
        if matched["kind"] == "recipe":
            cookbook = matched["name"].partition("::")[0]
            return self.look(f"{whose}: cookbook {cookbook}", path, f"/cookbooks/{_word(cookbook)}")
        role: dict[str, Any] = {}
        what = f"{whose}: role {matched['name']}"
        found = self.look(what, path, f"/roles/{_word(matched['name'])}", role)
        listed = role.get("env_run_lists", {}).get(environment) or role.get("run_list", [])
        for each in listed:
            # Chef writes a recipe of a role with and without the word `recipe`.
            text = str(each) if "[" in str(each) else f"recipe[{each}]"
            found += self.item(what, path, text, environment)
        return found

    def look(
        self, what: str, path: source.Path, url: str, content: dict[str, Any] | None = None
    ) -> list[PreflightFinding]:
        """Check whether an object exists, unless already checked. `content` receives its content."""
        if url in self.asked:
            return []
        self.asked.add(url)
        look = PreflightCheck(what, path)
        try:
            said = self.server.get(url)
        except chef_server.ChefServerError as error:
            if error.status == _NOT_FOUND:
                return [look.failed(MissingOnChefError(self.server.url, url))]
            return [look.unknown(str(error))]
        except errors.GantryError as error:
            return [look.unknown(str(error))]
        if content is not None and isinstance(said, dict):
            content.update(said)
        return [look.well("is there")]


class MissingOnChefError(errors.GantryError):
    """The Chef server lacks a role, cookbook, environment or policy that a definition names."""

    def __init__(self, server: str, path: str) -> None:
        self.path = path
        super().__init__(f"is not on the Chef server ({server}{path})\nUpload it, or correct the definition.")


def _word(name: str) -> str:
    return quote(name, safe="")
