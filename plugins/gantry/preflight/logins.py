"""Checks of a definition's connections: each is read, its keys are tried, and jump hosts are logged in to."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable, Iterator

from gantry import errors, names
from gantry.agent import ssh
from gantry.credentials import connections
from gantry.definition import models
from gantry.preflight.findings import Ask, CheckOutcome, PreflightCheck, PreflightFinding
from gantry.preflight.requirements import Needs


def read(definition: models.Definition, needs: Needs) -> Iterator[PreflightFinding]:
    """Check every connection except the cloud's and those for SSH, with the same readers as the steps."""
    asked: set[tuple[str, str]] = set()
    for look, ask in (
        *_services(definition, needs),
        *_balancers(definition, needs),
        *_chef(definition, needs),
    ):
        # Several services may share one; any of its places will do.
        if (key := (look.what, _kind(ask))) not in asked:
            asked.add(key)
            yield look.of(ask)


def reached(
    definition: models.Definition, needs: Needs
) -> tuple[list[PreflightFinding], list[Callable[[], PreflightFinding]]]:
    """Return the findings from reading the SSH connections, and the remaining checks of jump hosts."""
    said: list[PreflightFinding] = []
    jumps: dict[tuple[str, str | None], Callable[[], PreflightFinding]] = {}
    asked: set[tuple[str, str | None]] = set()
    for tier in needs.reached:
        name = definition.tiers[tier].launch_configuration
        settings = definition.launch_configurations[name].ssh
        key = (settings.connection, settings.jump_connection)
        if key in asked:
            continue
        asked.add(key)
        place = ("launch_configurations", name, "ssh")
        look = PreflightCheck(f"connection {settings.connection}", (*place, "connection"))
        try:
            access = connections.access(settings)
        except errors.GantryError as error:
            of_jump = getattr(error, "connection", None) == settings.jump_connection
            if of_jump:
                look = PreflightCheck(f"connection {settings.jump_connection}", (*place, "jump_connection"))
            said.append(look.failed(error))
            continue
        said.append(look.well(f"logs in as {access.login.user}"))
        if access.jump is not None:
            jump = PreflightCheck(f"connection {settings.jump_connection}", (*place, "jump_connection"))
            jumps[key] = functools.partial(_greet, jump, access)
    return said, list(jumps.values())


def _greet(look: PreflightCheck, access: ssh.Access) -> PreflightFinding:
    try:
        asyncio.run(ssh.greet_jump_host(access))
    except errors.GantryError as error:
        # Without it no server can be reached, which a handshake would report only after several minutes.
        found = PreflightFinding(
            look.what, str(error), CheckOutcome.WRONG, look.path, transient=error.transient
        )
        return dataclasses.replace(found, said=found.said.removeprefix(f"{ssh.JUMP_HOST}: "))
    return look.well("lets us in, with the host key that it should have")


def _services(definition: models.Definition, needs: Needs) -> Iterator[tuple[PreflightCheck, Ask]]:
    for name in needs.told:
        service = definition.services[name]
        own = {(name, datasource) for datasource in service.datasources}
        others = {
            (each.service, each.datasource) for each in service.depends_on if each.datasource is not None
        }
        for owner, datasource in sorted(own | others):
            settings = definition.services[owner].datasources[datasource]
            look = PreflightCheck(
                f"connection {settings.connection}",
                ("services", owner, "datasources", datasource, "connection"),
            )
            yield look, functools.partial(_account, definition, owner, datasource)
        if service.replication is not None:
            look = PreflightCheck(
                f"connection {service.replication.connection}",
                ("services", name, "replication", "connection"),
            )
            yield look, functools.partial(_replication, service.replication)
        if service.tls is not None:
            look = PreflightCheck(
                f"connection {service.tls.connection}", ("services", name, "tls", "connection")
            )
            yield look, functools.partial(_certificate, service.tls.connection)


def _balancers(definition: models.Definition, needs: Needs) -> Iterator[tuple[PreflightCheck, Ask]]:
    for name in needs.balancers:
        tls = definition.load_balancers[name].tls
        if tls is not None:
            look = PreflightCheck(
                f"connection {tls.connection}", ("load_balancers", name, "tls", "connection")
            )
            yield look, functools.partial(_certificate, tls.connection)


def _chef(definition: models.Definition, needs: Needs) -> Iterator[tuple[PreflightCheck, Ask]]:
    for tier in needs.managed:
        name = definition.tiers[tier].launch_configuration
        chef = definition.launch_configurations[name].chef
        if chef is not None:
            path = ("launch_configurations", name, "chef", "connection")
            yield PreflightCheck(f"connection {chef.connection}", path), functools.partial(_credentials, chef)


def _account(
    definition: models.Definition, service: names.ServiceName, datasource: names.DatasourceName
) -> str:
    (account,) = connections.accounts(definition, {(service, datasource)}).values()
    return f"the account {account.user} of the database {account.database}"


def _replication(wanted: models.Replication) -> str:
    return f"replicants copy as {connections.replication(wanted).user}"


def _certificate(connection: names.ConnectionId) -> str:
    connections.certificate(connection)
    return "a key and the certificate for it, good today"


def _credentials(settings: models.Chef) -> str:
    return f"of the Chef server at {connections.chef_credentials(settings).url}"


def _kind(ask: Ask) -> str:
    return ask.func.__name__ if isinstance(ask, functools.partial) else ""
