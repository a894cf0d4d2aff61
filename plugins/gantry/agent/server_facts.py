"""Facts about the deployment for each server: the contents of every `enstratus.cfg`.

Facts are generated from the whole deployment, never from the servers of one run, so a partial run omits no server. The
keys up to `dataSource.NAME.servicePassword` are inherited (existing archives read them); `port.N.portName`,
`dependency.NAME.` `service`, `id`, `port`, `port.NAME`, `dataSource` and `database`, `replication.*`,
`balancedServices`, and the keys of the database's side, are ours. None of ours contains an inherited one: existing
scripts search with `grep KEY`, not with `grep '^KEY='`.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping

from gantry import errors, inventory, names
from gantry.agent import addresses, config_file, template_values, tls
from gantry.definition import models


@dataclasses.dataclass(frozen=True)
class Account:
    """The account and the database that belong to a datasource."""

    user: str
    password: str = dataclasses.field(repr=False)
    database: str


@dataclasses.dataclass(frozen=True)
class ReplicationAccount:
    """The account with which replicants copy from their master."""

    user: str
    password: str = dataclasses.field(repr=False)


MASTER = 1
"""The slot of a replicated service's master. The servers of all other slots are replicants."""

Accounts = Mapping[tuple[names.ServiceName, names.DatasourceName], Account]
ReplicationAccounts = Mapping[names.ServiceName, ReplicationAccount]
Certificates = Mapping[names.ConnectionId, tls.Certificate]


class MissingMasterError(errors.GantryError):
    """A replicated service has no server for its master."""

    transient = True

    def __init__(self, service: names.ServiceName, tier: names.TierName) -> None:
        self.service = service
        self.tier = tier
        super().__init__(
            f"service {service}: its master is the server in slot {MASTER} of tier {tier}, and that slot is empty\n"
            f"Fill the slot: run NAME.recover for {tier}-{MASTER}. Where replicants are left that hold data, Gantry "
            f"does not choose one by itself."
        )


class ReplicationAccountError(errors.GantryError):
    """A replication account is also a dependent's account: granting one would revoke the other."""

    def __init__(self, service: names.ServiceName, user: str) -> None:
        self.service = service
        self.user = user
        super().__init__(
            f"service {service}: replication and a datasource have the same account {user!r}\n"
            f"Give one of their Airflow connections another login."
        )


@dataclasses.dataclass(frozen=True)
class Facts:
    """The deployment, as far as its servers may know it.

    `accounts`, `replications` and `certificates` (by connection) have those that are needed for the requested files,
    and possibly no others.
    """

    definition: models.Definition
    servers: inventory.Inventory
    accounts: Accounts = dataclasses.field(repr=False)
    replications: ReplicationAccounts = dataclasses.field(
        default_factory=lambda: types.MappingProxyType({}), repr=False
    )
    certificates: Certificates = dataclasses.field(
        default_factory=lambda: types.MappingProxyType({}), repr=False
    )

    def certificate(self, wanted: models.ServiceTls | models.BalancerTls | None) -> tls.Certificate | None:
        """Return the certificate that a part of the definition names, if it names one."""
        return None if wanted is None else self.certificates[wanted.connection]

    def is_replicant(self, name: names.ServiceName, server: inventory.Server) -> bool:
        """Return whether a service is a replicant on this server."""
        return self.definition.services[name].replication is not None and server.slot != MASTER

    def service_file(self, name: names.ServiceName, server: inventory.Server) -> bytes:
        """Return the `enstratus.cfg` of a service for one of its servers."""
        service = self.definition.services[name]
        own = addresses.of(server)
        values = {
            **self._identity(name, server),
            "role": self._role(name, server),
            "addresses": own,
            **self._ports(service),
            "dependencies": ",".join(_labels(service).values()),
        }
        for dependency, label in _labels(service).items():
            values.update(self._dependency(dependency, label))
        values.update(self._older_block(name, own))
        values.update(self._replication(name, server))
        return config_file.render(
            config_file.Section("enStratus", values),
            config_file.Section(
                "custom", template_values.custom(self.definition, self.servers, name, server)
            ),
        )

    def datasource_file(
        self, name: names.ServiceName, datasource: names.DatasourceName, server: inventory.Server
    ) -> bytes:
        """Return the file for `installDataSource`: the database that the dump is loaded into."""
        return config_file.render(self._of_datasource(name, datasource, server))

    def restore_file(
        self, name: names.ServiceName, datasource: names.DatasourceName, server: inventory.Server
    ) -> bytes:
        """As `datasource_file`, but the dump is to be loaded even if it was the last one that was loaded."""
        return config_file.render(self._of_datasource(name, datasource, server, {"restore": "yes"}))

    def grant_file(
        self,
        name: names.ServiceName,
        datasource: names.DatasourceName,
        server: inventory.Server,
        dependent: names.ServiceName,
    ) -> bytes:
        """Return the file for `grantDatabaseAccess`: the account to open, for exactly the dependent's addresses."""
        return self._access_file(name, datasource, server, dependent, self.addresses_of(dependent))

    def revoke_file(
        self,
        name: names.ServiceName,
        datasource: names.DatasourceName,
        server: inventory.Server,
        dependent: names.ServiceName,
    ) -> bytes | None:
        """Return the file for `revokeDatabaseAccess`: the account to close for the dependent's leaving servers.

        None if no server leaves: without addresses, access would be revoked for all. Addresses that also belong to a
        staying server are omitted.
        """
        staying = self.addresses_of(dependent)
        leaving = tuple(each for each in self.leaving_addresses_of(dependent) if each not in staying)
        return self._access_file(name, datasource, server, dependent, leaving) if leaving else None

    def _access_file(
        self,
        name: names.ServiceName,
        datasource: names.DatasourceName,
        server: inventory.Server,
        dependent: names.ServiceName,
        who: tuple[str, ...],
    ) -> bytes:
        account = self.accounts[name, datasource]
        more = {
            "user": account.user,
            "password": account.password,
            "grantee": dependent,
            "addresses": ",".join(who),
        }
        return config_file.render(self._of_datasource(name, datasource, server, more))

    def replication_file(self, name: names.ServiceName, server: inventory.Server) -> bytes:
        """Return a master's file for `grantDatabaseAccess`: the account to open, for exactly its replicants.

        The replicants are not in the master's permanent file: an additional one would restart the master.
        """
        account = self._replication_account(name)
        tier = self.servers.of_tier(self.definition.services[name].tier)
        return config_file.render(
            config_file.Section(
                "enStratus",
                {
                    **self._identity(name, server),
                    "role": self._role(name, server),
                    **self._older_ports(self.definition.services[name]),
                    "replication.user": account.user,
                    "replication.password": account.password,
                    "replication.replicants": ",".join(
                        addresses.of(each) for each in tier if self.is_replicant(name, each)
                    ),
                },
            )
        )

    def balancer_file(self, name: names.BalancerName, server: inventory.Server) -> bytes:
        """Return the file for the balancer's helper, written before the first node joins.

        Services on the same servers that are not in `balancedServices` belong to a former load balancer.
        """
        balancer = self.definition.load_balancers[name]
        service = self.definition.services[balancer.service]
        behind = self.definition.port_behind(balancer)
        return config_file.render(
            config_file.Section(
                "enStratus",
                {
                    "serverId": server.name,
                    "serviceId": service.id,
                    "name": name,
                    "addresses": addresses.of(server),
                    "port.1.protocol": behind.protocol,
                    "port.1.publicPort": str(balancer.port),
                    "port.1.privatePort": str(behind.port),
                    "port.1.dnsNames": ",".join((balancer.name, *balancer.aliases)),
                    "balancedServices": ",".join(
                        balanced_as(self.definition, each)
                        for each in self.definition.load_balancers.values()
                        if each.tier == balancer.tier
                    ),
                },
            )
        )

    def addresses_of(self, name: names.ServiceName) -> tuple[str, ...]:
        """Return the addresses of all servers that a service runs on, by slot."""
        return addresses.of_service(self.definition, self.servers, name)

    def leaving_addresses_of(self, name: names.ServiceName) -> tuple[str, ...]:
        """Return the addresses of a service's leaving servers, by slot.

        Those without an address were never announced.
        """
        leaving = self.servers.leaving_of_tier(self.definition.services[name].tier)
        return tuple(each.private_address for each in leaving if each.private_address is not None)

    def primary_address_of(self, name: names.ServiceName) -> str:
        """Return the address of a replicated service's master. Raises MissingMasterError, MissingAddressError."""
        tier = self.definition.services[name].tier
        for server in self.servers.of_tier(tier):
            if server.slot == MASTER:
                return addresses.of(server)
        raise MissingMasterError(name, tier)

    def _hosts(self, name: names.ServiceName) -> tuple[str, str]:
        """Return the hosts where a service is read, and where it is written to."""
        everywhere = ",".join(self.addresses_of(name))
        if self.definition.services[name].replication is None:
            return everywhere, everywhere
        return everywhere, self.primary_address_of(name)

    def _role(self, name: names.ServiceName, server: inventory.Server) -> str:
        return "replicant" if self.is_replicant(name, server) else "master"

    def _replication(self, name: names.ServiceName, server: inventory.Server) -> dict[str, str]:
        """Return the keys of a replicated service; the password only where it is needed permanently."""
        if self.definition.services[name].replication is None:
            return {}
        account = self._replication_account(name)
        password = {"replication.password": account.password} if self.is_replicant(name, server) else {}
        return {"replication.user": account.user, **password}

    def _replication_account(self, name: names.ServiceName) -> ReplicationAccount:
        account = self.replications[name]
        if account.user in {each.user for (service, _), each in self.accounts.items() if service == name}:
            raise ReplicationAccountError(name, account.user)
        return account

    def _of_datasource(
        self,
        name: names.ServiceName,
        datasource: names.DatasourceName,
        server: inventory.Server,
        more: Mapping[str, str] = types.MappingProxyType({}),
    ) -> config_file.Section:
        """Return the keys that both files of the database's side share, and the additional ones of one of them."""
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
        service = self.definition.services[name]
        customer = self.definition.customer_of(service)
        return {
            "serverId": server.name,
            "serviceId": service.id,
            "customerId": customer,
            "name": name,
            "runAsUser": service.run_as_user or customer,
            "userId": self.definition.user_of(service),
        }

    def _ports(self, service: models.Service) -> dict[str, str]:
        """Return `port.1.` and so on: the ports in the definition's order."""
        values: dict[str, str] = {}
        fronts = [
            each
            for each in self.definition.load_balancers.values()
            if self.definition.services[each.service].id == service.id
        ]
        port_names = list(service.ports)
        for index, each in enumerate(service.listens):
            before = [front for front in fronts if self.definition.port_behind(front) == each]
            key = f"port.{index + 1}."
            if port_names:
                values[f"{key}portName"] = port_names[index]
            values[f"{key}protocol"] = each.protocol
            values[f"{key}publicPort"] = str(before[0].port if before else each.port)
            values[f"{key}privatePort"] = str(each.port)
            values[f"{key}dnsNames"] = ",".join(
                host for front in before for host in (front.name, *front.aliases)
            )
        return values

    def _dependency(self, dependency: models.Dependency, label: str) -> Iterator[tuple[str, str]]:
        target = self.definition.services[dependency.service]
        read, write = self._hosts(dependency.service)
        prefix = f"dependency.{label}."
        yield f"{prefix}dependencyType", "DATA_SOURCE" if dependency.datasource else "SERVICE"
        yield f"{prefix}dependencyName", str(dependency)
        yield f"{prefix}service", dependency.service
        yield f"{prefix}id", target.id
        yield f"{prefix}readHosts", read
        yield f"{prefix}writeHosts", write
        if target.main_port is not None:
            yield f"{prefix}port", str(target.main_port)
        for name, each in target.ports.items():
            yield f"{prefix}port.{name}", str(each.port)
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
            "protocol": ports["port.1.protocol"],
            "publicPort": ports["port.1.publicPort"],
            "privatePort": ports["port.1.privatePort"],
            "proxyPort": ports["port.1.privatePort"],
        }

    def _older_block(self, name: names.ServiceName, own: str) -> dict[str, str]:
        """Return the keys for scripts older than `dependency.`.

        The database's side names its data, not its accounts.

        These keys refer to datasources by their bare names. Of two with the same name, the first is used here; both
        are among the dependencies.
        """
        service = self.definition.services[name]
        primary = own if service.replication is None else self.primary_address_of(name)
        values = {**self._older_ports(service), "primaryAddress": primary}
        needed: dict[names.DatasourceName, models.Dependency] = {}
        for each in service.depends_on:
            if each.datasource is not None and each.datasource not in service.datasources:
                needed.setdefault(each.datasource, each)
        values["dataSources"] = ",".join([*service.datasources, *needed])
        for datasource in service.datasources:
            values[f"dataSource.{datasource}.read"] = own
            values[f"dataSource.{datasource}.write"] = primary
        for datasource, each in needed.items():
            account = self.accounts[each.service, datasource]
            read, write = self._hosts(each.service)
            values[f"dataSource.{datasource}.read"] = read
            values[f"dataSource.{datasource}.write"] = write
            values[f"dataSource.{datasource}.serviceUser"] = account.user
            values[f"dataSource.{datasource}.servicePassword"] = account.password
        return values


def balanced_as(definition: models.Definition, balancer: models.LoadBalancer) -> str:
    """Return a balancer's name for what it balances: a service, or a further port of one."""
    service = definition.services[balancer.service]
    if definition.port_behind(balancer) == service.listens[0]:
        return service.id
    return f"{service.id}.{balancer.service_port}"


def _labels(service: models.Service) -> dict[models.Dependency, str]:
    """Return `DATA_SOURCE-1`, `SERVICE-2`, …: a dependency's number is its place in `depends_on`."""
    return {
        each: f"{'DATA_SOURCE' if each.datasource else 'SERVICE'}-{number}"
        for number, each in enumerate(service.depends_on, start=1)
    }
