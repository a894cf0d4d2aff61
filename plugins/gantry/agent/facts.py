"""What servers are told of each other: the contents of every `enstratus.cfg`.

Facts are made from the whole deployment, never from the servers of one run, so a partial run forgets nobody.
The keys up to `dataSource.NAME.servicePassword` are inherited (existing archives read them); `dependency.NAME.`
`service`, `serviceId`, `port`, `dataSource` and `database`, and the keys of the database's side, are ours.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping

from gantry import errors, inventory, names, templates
from gantry.agent import config_file
from gantry.definition import models, template_facts


@dataclasses.dataclass(frozen=True)
class Account:
    """The account and the database that belong to a datasource."""

    user: str
    password: str = dataclasses.field(repr=False)
    database: str


Accounts = Mapping[tuple[names.ServiceName, names.DatasourceName], Account]


class CustomFactError(errors.GantryError):
    """A template under `custom:` that cannot be rendered."""

    def __init__(self, service: names.ServiceName, key: str, reason: str) -> None:
        self.service = service
        self.key = key
        super().__init__(
            f"services.{service}.custom.{key}: {reason}\n"
            f"A template may use deployment, tier, service, server, dependencies and peers, which are plain data, "
            f"and Jinja's filters."
        )


class MissingAddressError(errors.GantryError):
    """A server that others must know has no address yet."""

    passing = True

    def __init__(self, server: names.ServerName) -> None:
        self.server = server
        super().__init__(f"{server}: the cloud has given it no private address yet")


@dataclasses.dataclass(frozen=True)
class Facts:
    """The deployment as its servers may know it."""

    definition: models.Definition
    servers: inventory.Inventory
    accounts: Accounts = dataclasses.field(repr=False)

    def service_file(self, name: names.ServiceName, server: inventory.Server) -> bytes:
        """`enstratus.cfg` of a service on one of its servers."""
        service = self.definition.services[name]
        own = address(server)
        values = {
            **self._identity(name, server),
            "role": "master",
            "addresses": own,
            **self._ports(service),
            "dependencies": ",".join(_labels(service).values()),
        }
        for dependency, label in _labels(service).items():
            values.update(self._dependency(dependency, label))
        values.update(self._older_block(service, own))
        return config_file.render(
            config_file.Section("enStratus", values),
            config_file.Section("custom", self._custom(name, server)),
        )

    def datasource_file(
        self, name: names.ServiceName, datasource: names.DatasourceName, server: inventory.Server
    ) -> bytes:
        """What `installDataSource` is told: which database the dump becomes."""
        return config_file.render(self._of_datasource(name, datasource, server))

    def grant_file(
        self,
        name: names.ServiceName,
        datasource: names.DatasourceName,
        server: inventory.Server,
        dependent: names.ServiceName,
    ) -> bytes:
        """What `grantDatabaseAccess` is told: the account to open, for exactly the dependent's addresses."""
        account = self.accounts[name, datasource]
        more = {
            "user": account.user,
            "password": account.password,
            "grantee": dependent,
            "addresses": ",".join(self.addresses_of(dependent)),
        }
        return config_file.render(self._of_datasource(name, datasource, server, more))

    def balancer_file(self, name: names.BalancerName, server: inventory.Server) -> bytes:
        """What the balancer's helper is told before the first node joins."""
        balancer = self.definition.load_balancers[name]
        service = self.definition.services[balancer.service]
        return config_file.render(
            config_file.Section(
                "enStratus",
                {
                    "serverId": server.name,
                    "serviceId": service.id,
                    "name": name,
                    "addresses": address(server),
                    "port.1.protocol": service.protocol,
                    "port.1.publicPort": str(balancer.port),
                    "port.1.privatePort": str(service.port),
                    "port.1.dnsNames": ",".join((balancer.name, *balancer.aliases)),
                },
            )
        )

    def addresses_of(self, name: names.ServiceName) -> tuple[str, ...]:
        """The addresses of all servers that a service runs on, by slot."""
        return tuple(address(server) for server in self.servers.of_tier(self.definition.services[name].tier))

    def _of_datasource(
        self,
        name: names.ServiceName,
        datasource: names.DatasourceName,
        server: inventory.Server,
        more: Mapping[str, str] = types.MappingProxyType({}),
    ) -> config_file.Section:
        """What both files of the database's side say, and what one of them says more."""
        return config_file.Section(
            "enStratus",
            {
                **self._identity(name, server),
                **self._older_ports(self.definition.services[name]),
                "dataSource": datasource,
                "database": self.accounts[name, datasource].database,
                **more,
            },
        )

    def _identity(self, name: names.ServiceName, server: inventory.Server) -> dict[str, str]:
        return {
            "serverId": server.name,
            "serviceId": self.definition.services[name].id,
            "customerId": self.definition.customer_id,
            "name": name,
            "runAsUser": self.definition.customer_id,
            "userId": self.definition.user_id,
        }

    def _ports(self, service: models.Service) -> dict[str, str]:
        if service.port is None:
            return {}
        fronts = [
            each
            for each in self.definition.load_balancers.values()
            if self.definition.services[each.service].id == service.id
        ]
        return {
            "port.1.protocol": service.protocol,
            "port.1.publicPort": str(fronts[0].port if fronts else service.port),
            "port.1.privatePort": str(service.port),
            "port.1.dnsNames": ",".join(host for each in fronts for host in (each.name, *each.aliases)),
        }

    def _dependency(self, dependency: models.Dependency, label: str) -> Iterator[tuple[str, str]]:
        target = self.definition.services[dependency.service]
        hosts = ",".join(self.addresses_of(dependency.service))
        prefix = f"dependency.{label}."
        yield f"{prefix}dependencyType", "DATA_SOURCE" if dependency.datasource else "SERVICE"
        yield f"{prefix}dependencyName", str(dependency)
        yield f"{prefix}service", dependency.service
        yield f"{prefix}serviceId", target.id
        yield f"{prefix}readHosts", hosts
        yield f"{prefix}writeHosts", hosts
        if target.port is not None:
            yield f"{prefix}port", str(target.port)
        if dependency.datasource:
            account = self.accounts[dependency.service, dependency.datasource]
            yield f"{prefix}databaseType", "VM_DYNAMIC"
            yield f"{prefix}dataSource", dependency.datasource
            yield f"{prefix}database", account.database
            yield f"{prefix}user", account.user
            yield f"{prefix}password", account.password

    def _older_ports(self, service: models.Service) -> dict[str, str]:
        ports = self._ports(service)
        if not ports:
            return {}
        return {
            "protocol": service.protocol,
            "publicPort": ports["port.1.publicPort"],
            "privatePort": ports["port.1.privatePort"],
            "proxyPort": ports["port.1.privatePort"],
        }

    def _older_block(self, service: models.Service, own: str) -> dict[str, str]:
        """What scripts from before `dependency.` read. The database's side names its data, not its accounts.

        This block knows datasources by their bare names. Of two that share one, the first stands here; both
        stand among the dependencies.
        """
        values = {**self._older_ports(service), "primaryAddress": own}
        needed: dict[names.DatasourceName, models.Dependency] = {}
        for each in service.depends_on:
            if each.datasource is not None and each.datasource not in service.datasources:
                needed.setdefault(each.datasource, each)
        values["dataSources"] = ",".join([*service.datasources, *needed])
        for datasource in service.datasources:
            values[f"dataSource.{datasource}.read"] = own
            values[f"dataSource.{datasource}.write"] = own
        for datasource, each in needed.items():
            account = self.accounts[each.service, datasource]
            hosts = ",".join(self.addresses_of(each.service))
            values[f"dataSource.{datasource}.read"] = hosts
            values[f"dataSource.{datasource}.write"] = hosts
            values[f"dataSource.{datasource}.serviceUser"] = account.user
            values[f"dataSource.{datasource}.servicePassword"] = account.password
        return values

    def _custom(self, name: names.ServiceName, server: inventory.Server) -> dict[str, str]:
        service = self.definition.services[name]
        known = self._template_facts(name, server).known()
        rendered: dict[str, str] = {}
        for key, value in service.custom.items():
            try:
                text = str(value).lower() if isinstance(value, bool) else str(value)
                rendered[key] = templates.render(text, known)
            except templates.TemplateError as error:
                raise CustomFactError(name, key, error.reason) from error
        return rendered

    def _template_facts(self, name: names.ServiceName, server: inventory.Server) -> template_facts.InCustom:
        """What templates may use."""
        service = self.definition.services[name]
        return template_facts.InCustom(
            deployment=deployment_facts(self.definition),
            tier=template_facts.Tier(name=service.tier),
            service=template_facts.Service(name=name, id=service.id, port=service.port),
            server=server_facts(server),
            peers=tuple(server_facts(each) for each in self.servers.of_tier(service.tier)),
            dependencies={
                each.service: template_facts.Dependency(
                    addresses=self.addresses_of(each.service),
                    port=self.definition.services[each.service].port,
                )
                for each in service.depends_on
            },
        )


def address(server: inventory.Server) -> str:
    """The address by which other servers reach it.

    Raises:
        MissingAddressError: it has none yet.
    """
    if server.private_address is None:
        raise MissingAddressError(server.name)
    return server.private_address


def deployment_facts(definition: models.Definition) -> template_facts.Deployment:
    """What templates may know of the deployment."""
    return template_facts.Deployment(name=definition.deployment, description=definition.description)


def server_facts(server: inventory.Server) -> template_facts.Server:
    """What templates may know of a server. Raises MissingAddressError."""
    return template_facts.Server(
        name=server.name, slot=server.slot, address=address(server), id=server.instance_id
    )


def _labels(service: models.Service) -> dict[models.Dependency, str]:
    """`DATA_SOURCE-1`, `SERVICE-2`, …: a dependency's number is its place in `depends_on`."""
    return {
        each: f"{'DATA_SOURCE' if each.datasource else 'SERVICE'}-{number}"
        for number, each in enumerate(service.depends_on, start=1)
    }
