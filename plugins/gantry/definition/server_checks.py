"""Cross-checks of servers: unique names, existing addresses, tags."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gantry import names
from gantry.definition import models, references, source

LONGEST_HOST_NAME = 63
"""Characters: the limit of a DNS label. A server's name is usable as its host name."""

MOST_SERVERS_IN_ALL = 10_000
"""Maximum servers of a deployment. Their names are generated and compared at every parse of the DAG."""

_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_RESERVED = ("gantry:", "aws:")

Finding = references.Finding


def findings(definition: models.Definition) -> Iterator[Finding]:
    """Yield everything that is wrong between the parts of a definition about servers."""
    total = sum(tier.servers.max for tier in definition.tiers.values())
    if total > MOST_SERVERS_IN_ALL:
        # No names are generated: there would be too many.
        yield ("tiers",), f"{total:,} servers at most in all tiers; possible are {MOST_SERVERS_IN_ALL:,}"
        return
    yield from _names(definition) if definition.server_name == models.SERVER_NAME else _made_names(definition)
    yield from _reserved_tags(("cloud", "tags"), definition.cloud.tags)
    for name, launch in definition.launch_configurations.items():
        yield from _launch_configuration(definition, name, launch)


def _made_names(definition: models.Definition) -> Iterator[Finding]:
    """Yield what is wrong with the template of names, or else with the names.

    Jinja is loaded only if there is a template.
    """
    from gantry import templates  # noqa: PLC0415 - see above
    from gantry.definition import template_checks, template_facts, template_types  # noqa: PLC0415 - see above

    problems = template_checks.problems(
        definition.server_name, template_types.of(template_facts.InServerName)
    )
    for message in problems:
        yield ("server_name",), message
    if not problems:
        try:
            yield from _names(definition)
        except templates.TemplateError as error:
            yield ("server_name",), f"cannot be rendered: {error.reason}"


def _names(definition: models.Definition) -> Iterator[Finding]:
    """Yield names that are not host names, and duplicate names. Raises TemplateError."""
    filled: dict[names.ServerName, tuple[names.TierName, int]] = {}
    for tier, found in definition.tiers.items():
        longest = definition.name_of(tier, found.servers.max)
        if len(longest) > LONGEST_HOST_NAME:
            is_default = definition.server_name == models.SERVER_NAME
            yield (
                ("tiers", tier) if is_default else ("server_name",),
                f"the names of the servers of tier {tier!r}, such as {source.shown(longest)[1:-1]}, would be longer "
                f"than {LONGEST_HOST_NAME} characters",
            )
            continue
        for slot, name in enumerate(definition.names_of(tier), 1):
            if len(name) > LONGEST_HOST_NAME or not _HOST_NAME.fullmatch(name):
                yield (
                    ("server_name",),
                    f"server {slot} of tier {tier!r} would be called {source.shown(name)}, which is not a host name "
                    f"(small letters, digits and dashes, at most {LONGEST_HOST_NAME})",
                )
                return
            if name in filled:
                other, first = filled[name]
                yield (
                    ("server_name",),
                    f"server {first} of tier {other!r} and server {slot} of tier {tier!r} would both be called "
                    f"{name!r}",
                )
                return
            filled[name] = (tier, slot)


def _launch_configuration(
    definition: models.Definition, name: str, launch: models.LaunchConfiguration
) -> Iterator[Finding]:
    here = ("launch_configurations", name)
    if launch.ssh.address == "public" and launch.network.public_address is False:
        yield (
            (*here, "ssh", "address"),
            "the servers get no public address (network.public_address is false) that could be connected to",
        )
    yield from _tags(definition, name, launch, ("tags",), {}, "server")
    yield from _tags(definition, name, launch, ("volume_tags",), launch.volume_tags, "volume")
    yield from _tags(
        definition, name, launch, ("network", "tags"), launch.network.tags or {}, "network interface"
    )


def _tags(
    definition: models.Definition,
    name: str,
    launch: models.LaunchConfiguration,
    key: tuple[str, ...],
    more: dict[str, str],
    what: str,
) -> Iterator[Finding]:
    """Check the tags of servers, or the additional ones of a kind of their resources."""
    here = ("launch_configurations", name, *key)
    own = launch.tags if key == ("tags",) else more
    yield from _reserved_tags(here, own)
    together = {**definition.cloud.tags, **launch.tags, **more}
    if own and len(together) > models.MOST_TAGS:
        yield (
            here,
            f"{len(together)} tags on each {what} of launch configuration {name!r}, with those of cloud.tags; "
            f"possible are {models.MOST_TAGS}",
        )


def _reserved_tags(here: source.Path, tags: dict[str, str]) -> Iterator[Finding]:
    for key in tags:
        if key == "Name":
            yield (*here, key), "the tag Name holds the server's name; see server_name"
        elif key.lower().startswith(_RESERVED):
            yield (
                (*here, key),
                f"tags that begin with {' or '.join(_RESERVED)} are not the definition's to set",
            )
        elif not 0 < len(key) <= models.LONGEST_TAG_KEY:
            yield (
                (*here, key),
                f"the key of a tag has 1 to {models.LONGEST_TAG_KEY} characters, and not {len(key)}",
            )
