"""Cross-checks of a definition: duplicate ids, ports, cycles. Unknown names: see `references`."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterator

import pydantic

from gantry import names
from gantry.definition import backup_checks, models, references, rule_checks, server_checks, source

_CHEF_ITEM = re.compile(r"(role|recipe)\[[A-Za-z0-9_:.@\-]+\]")

MOST_OF_NAMES = 100_000
"""Maximum length of all names of a load balancer. They are one argument of a script, for which Linux has 131,072
bytes."""

Finding = references.Finding


def findings(definition: models.Definition) -> Iterator[Finding]:
    """Yield everything that is wrong between the parts of a definition."""
    yield from server_checks.findings(definition)
    yield from _tiers(definition)
    yield from _scaling(definition)
    yield from _services(definition)
    yield from _load_balancers(definition)
    yield from backup_checks.findings(definition)
    yield from rule_checks.findings(definition)
    yield from _templates(definition)
    cycle = dependency_cycle(definition)
    if cycle:
        middle = " → ".join(
            cycle if len(cycle) <= source.MOST_LISTED else (*cycle[: source.MOST_LISTED], "…")
        )
        yield (
            ("services", cycle[0], "depends_on"),
            f"the services depend on each other in a circle: {middle}",
        )


def dependency_cycle(definition: models.Definition) -> tuple[names.ServiceName, ...]:
    """Return one cycle of service dependencies, with its first service repeated at the end; empty if there is none."""
    needs = {
        name: tuple(each.service for each in service.depends_on if each.service in definition.services)
        for name, service in definition.services.items()
    }
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        # graphlib lists the dependency first; people expect the dependent first.
        circle: list[names.ServiceName] = list(reversed(error.args[1]))[:-1]
        first = min(range(len(circle)), key=lambda at: list(needs).index(circle[at]))
        return (*circle[first:], *circle[:first], circle[first])
    return ()


def _tiers(definition: models.Definition) -> Iterator[Finding]:
    for name, tier in definition.tiers.items():
        if tier.launch_configuration in definition.launch_configurations:
            yield from _configuration_management(definition, name, tier)


def _scaling(definition: models.Definition) -> Iterator[Finding]:
    for index, entry in enumerate(definition.scaling):
        for tier, count in entry.servers.items():
            place = ("scaling", index, "servers", tier)
            if tier not in definition.tiers:
                continue
            limits = definition.tiers[tier].servers
            if not limits.min <= count <= limits.max:
                yield place, f"tier {tier!r} has {limits.min} to {limits.max} servers, and not {count}"


def _configuration_management(
    definition: models.Definition, name: names.TierName, tier: models.Tier
) -> Iterator[Finding]:
    launch = definition.launch_configuration_of(name)
    if launch.configuration_management is None:
        for key, what in (("run_list", "a run list needs"), ("attributes", "attributes need")):
            if getattr(tier, key):
                yield (
                    ("tiers", name, key),
                    f"{what} configuration management, and launch configuration "
                    f"{tier.launch_configuration!r} names none (chef: or script:)",
                )
    if launch.chef is not None and launch.chef.policy_name is not None and tier.run_list:
        yield (
            ("tiers", name, "run_list"),
            f"the policy {launch.chef.policy_name!r} of launch configuration {tier.launch_configuration!r} has a run "
            f"list of its own",
        )
    elif launch.chef is not None:
        for index, item in enumerate(tier.run_list):
            if not _CHEF_ITEM.fullmatch(item):
                yield (
                    ("tiers", name, "run_list", index),
                    f"{source.shown(item)} is not an item of a run list (role[NAME] or recipe[NAME])",
                )


def _services(definition: models.Definition) -> Iterator[Finding]:
    ids: dict[str, str] = {}
    ports: dict[tuple[str, int], str] = {}
    for name, service in definition.services.items():
        first = ids.setdefault(service.id, name)
        if first != name:
            yield ("services", name, "id"), f"the id {service.id} belongs to service {first!r} already"
        yield from _ports(name, service)
        for place, number in _numbers(service):
            first = ports.setdefault((service.tier, number), name)
            if first != name:
                yield (
                    ("services", name, *place),
                    f"port {number} of tier {service.tier!r} belongs to service {first!r} already",
                )
        if service.tier in definition.tiers:
            yield from _datasources(definition, name, service)
            yield from _update(definition, name, service)


def _ports(name: names.ServiceName, service: models.Service) -> Iterator[Finding]:
    """Yield what is wrong with one service's own ports."""
    if not service.ports:
        return
    if service.port is not None:
        yield ("services", name, "port"), "port and ports mean the same: use one of them"
    if "protocol" in service.model_fields_set:
        yield ("services", name, "protocol"), "with ports, each of them has a protocol of its own"
    used: dict[int, str] = {}
    for key, each in service.ports.items():
        first = used.setdefault(each.port, key)
        if first != key:
            yield ("services", name, "ports", key, "port"), f"port {each.port} is {first!r} already"


def _numbers(service: models.Service) -> Iterator[tuple[source.Path, int]]:
    """Yield a service's ports: path relative to the service, and number."""
    if service.port is not None:
        yield ("port",), service.port
    for key, each in service.ports.items():
        yield ("ports", key, "port"), each.port


def _datasources(
    definition: models.Definition, name: names.ServiceName, service: models.Service
) -> Iterator[Finding]:
    most = definition.tiers[service.tier].servers.max
    if service.replication is not None:
        if not service.datasources:
            yield (
                ("services", name, "replication"),
                "replication is for datasources, and the service has none",
            )
        for datasource, each in service.datasources.items():
            if each.connection == service.replication.connection:
                # Accounts are opened for exactly the addresses of one of the two.
                yield (
                    ("services", name, "replication", "connection"),
                    f"datasource {datasource!r} has this account already; replication needs an account of its own",
                )
    elif service.datasources and most > 1:
        # Without replication, two masters with the same dump would silently diverge.
        yield (
            ("services", name, "datasources"),
            f"a service with datasources runs on one server unless it has replication; "
            f"tier {service.tier!r} allows {most}",
        )


def _update(
    definition: models.Definition, name: names.ServiceName, service: models.Service
) -> Iterator[Finding]:
    """Yield impossible settings of a service's update."""
    if service.update is None:
        return
    if service.datasources:
        yield (
            ("services", name, "update"),
            "a service with datasources is not updated in batches: its servers have different roles",
        )
    elif definition.update_of(name) is None:
        yield (
            ("services", name, "update"),
            f"no load balancer is in front of service {name!r}: there is nothing to take its servers out of",
        )
    fewest = definition.tiers[service.tier].servers.min
    if service.update.min_healthy is not None and service.update.healthy_of(fewest) >= fewest:
        yield (
            ("services", name, "update", "min_healthy"),
            f"this cannot be kept during an update: tier {service.tier!r} may have {fewest} "
            f"{'server' if fewest == 1 else 'servers'}, and one of them has to be updated",
        )


def _load_balancers(definition: models.Definition) -> Iterator[Finding]:
    fronts: dict[tuple[str, int, str], str] = {}
    services: dict[tuple[str, str, int], str] = {}
    kinds: dict[tuple[str, int], tuple[str, str]] = {}
    for name, balancer in definition.load_balancers.items():
        yield from _balanced(definition, name, balancer, services, kinds)
        for other, service in definition.services.items():
            if service.tier == balancer.tier and balancer.port in {each.port for each in service.listens}:
                yield (
                    ("load_balancers", name, "port"),
                    f"port {balancer.port} of tier {balancer.tier!r} belongs to service {other!r} already",
                )
        told = sum(len(each) + 1 for each in (balancer.name, *balancer.aliases))
        if told > MOST_OF_NAMES:
            yield (
                ("load_balancers", name, "aliases"),
                f"these are {len(balancer.aliases) + 1} names of {told} characters together, and a server accepts "
                f"{MOST_OF_NAMES}: divide them among several load balancers",
            )
        places: list[tuple[str, source.Path]] = [(balancer.name, ("name",))]
        places.extend((alias, ("aliases", index)) for index, alias in enumerate(balancer.aliases))
        for host, place in places:
            first = fronts.setdefault((balancer.tier, balancer.port, host), name)
            if first != name:
                yield (
                    ("load_balancers", name, *place),
                    f"{host}:{balancer.port} on tier {balancer.tier!r} belongs to {first!r} already",
                )


def _templates(definition: models.Definition) -> Iterator[Finding]:
    """Yield what is wrong with templates. Jinja is loaded only if there are any."""
    written = [*_custom_texts(definition), *_attribute_texts(definition)]
    if not written:
        return
    from gantry.definition import template_checks, template_facts, template_types  # noqa: PLC0415 - see above

    for path, text in written:
        section, name = path[:2]
        if section == "services":
            service = names.ServiceName(str(name))
            if any(
                each.service not in definition.services for each in definition.services[service].depends_on
            ):
                # Already reported, and the available names depend on it.
                continue
            known = template_types.in_custom(definition, service)
        else:
            known = template_types.of(template_facts.InAttributes)
        for message in template_checks.problems(text, known):
            yield path, message


def _custom_texts(definition: models.Definition) -> Iterator[tuple[source.Path, str]]:
    for name, service in definition.services.items():
        for key, value in service.custom.items():
            if isinstance(value, str) and "{" in value:
                yield ("services", name, "custom", key), value


def _attribute_texts(definition: models.Definition) -> Iterator[tuple[source.Path, str]]:
    for name, tier in definition.tiers.items():
        yield from _texts(tier.attributes, ("tiers", name, "attributes"))


def _texts(value: pydantic.JsonValue, path: source.Path) -> Iterator[tuple[source.Path, str]]:
    """Yield the texts within a value that may be templates."""
    if isinstance(value, str):
        if "{" in value:
            yield path, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _texts(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _texts(part, (*path, index))


def _balanced(
    definition: models.Definition,
    name: names.BalancerName,
    balancer: models.LoadBalancer,
    services: dict[tuple[str, str, int], str],
    kinds: dict[tuple[str, int], tuple[str, str]],
) -> Iterator[Finding]:
    """Yield what is wrong with a load balancer's target. `services` and `kinds` accumulate those of all balancers."""
    service = definition.services.get(balancer.service)
    if service is None:
        return
    if not service.listens:
        yield (
            ("load_balancers", name, "service"),
            f"service {balancer.service!r} has no port that traffic could be sent to",
        )
        return
    if balancer.service_port is not None and balancer.service_port not in service.ports:
        rather = source.or_rather(balancer.service_port, service.ports)
        yield (
            ("load_balancers", name, "service_port"),
            f"service {balancer.service!r} has no port {balancer.service_port!r}{rather}",
        )
        return
    behind = definition.port_behind(balancer)
    first = services.setdefault((balancer.tier, balancer.service, behind.port), name)
    if first != name:
        yield (
            ("load_balancers", name, "service"),
            f"tier {balancer.tier!r} balances service {balancer.service!r} already ({first!r})",
        )
    kind = "HTTPS" if balancer.tls else "HTTP" if behind.protocol == "http" else "TCP"
    other, before = kinds.setdefault((balancer.tier, balancer.port), (name, kind))
    if kind != before:
        yield (
            ("load_balancers", name, "port"),
            f"port {balancer.port} of tier {balancer.tier!r} is {before} for {other!r}, and {kind} here",
        )
    elif kind == "TCP" and other != name:
        yield (
            ("load_balancers", name, "port"),
            f"port {balancer.port} of tier {balancer.tier!r} belongs to {other!r}: over TCP, the requested name "
            f"is not known",
        )
