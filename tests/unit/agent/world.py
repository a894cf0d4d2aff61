"""A deployment of four servers, as the control plane knows it in the middle of a launch."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

from gantry import definition, inventory, names
from gantry.agent import server_facts, tls

DEFINITION = """\
deployment: bookshop
customer_id: c100
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
    protocol: http
    depends_on: [db.catalog, db]
    custom:
      greeting: "Hello from {{ server.name }}"
      nodes: "{% for each in peers %}{{ each.address }}{% if not loop.last %} {% endif %}{% endfor %}"
      debug: false
load_balancers:
  front: {tier: proxy, service: app, port: 80, name: shop.example.com, aliases: [www.example.com]}
"""

SERVERS = {
    "database-1": "10.0.0.11",
    "application-1": "10.0.0.21",
    "application-2": "10.0.0.22",
    "proxy-1": "10.0.0.31",
}
PASSWORD = "pa=ss wo$rd'\"`\\#&é"


TLS = names.ConnectionId("shop_tls")
CERTIFICATE = tls.Certificate(
    certificate="the certificate\n",
    chain="the chain\n",
    key="the pr1vate key\n",
    names=("shop.example.com",),
    issuer="CN=authority",
    begins=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    ends=datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC),
)


@dataclasses.dataclass(frozen=True)
class World:
    """The deployment, and how to imagine it otherwise."""

    text: str = DEFINITION
    addresses: Mapping[str, str | None] = dataclasses.field(default_factory=lambda: SERVERS)
    password: str = PASSWORD
    replication_password: str = "copy=me"
    certificate: tls.Certificate = CERTIFICATE

    def facts(self) -> server_facts.Facts:
        known = definition.loads(self.text)
        accounts = {
            (service, datasource): server_facts.Account("shopper", self.password, "bookshop")
            for service, each in known.services.items()
            for datasource in each.datasources
        }
        replications = {
            service: server_facts.ReplicationAccount("copier", self.replication_password)
            for service, each in known.services.items()
            if each.replication
        }
        servers = inventory.Inventory(tuple(map(self.server, self.addresses)))
        return server_facts.Facts(known, servers, accounts, replications, {TLS: self.certificate})

    def server(self, short: str) -> inventory.Server:
        """`application-2`"""
        tier, _, slot = short.rpartition("-")
        return inventory.Server(
            name=names.ServerName(f"bookshop-{short}"),
            tier=names.TierName(tier),
            slot=names.Slot(int(slot)),
            instance_id=f"i-{short}",
            state=inventory.InstanceState.RUNNING,
            image="ami-1",
            launched_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
            private_address=self.addresses[short],
        )

    def replicated(self, *, replicants: int = 1) -> World:
        """The same deployment with a replicated database."""
        tier = "database:    {launch_configuration: debian, servers: 1}"
        text = self.text.replace(tier, tier.replace("1}", "{min: 2, max: 4}}"))
        text = text.replace(
            "    datasources:\n", "    replication: {connection: bookshop_replication}\n    datasources:\n"
        )
        more = {f"database-{slot}": f"10.0.0.{10 + slot}" for slot in range(2, 2 + replicants)}
        first = {"database-1": self.addresses["database-1"]}
        return self.but(text=text, addresses={**first, **more, **self.addresses})

    def with_tls(self) -> World:
        """The same deployment with a certificate for the database and one for the balancer."""
        address = "    tls: {connection: shop_tls, address: db.example.com}\n"
        text = self.text.replace("    id: a1001\n", f"    id: a1001\n{address}")
        return self.but(text=text.replace("port: 80,", "tls: {connection: shop_tls},"))

    def but(self, **changes: Any) -> World:
        return dataclasses.replace(self, **changes)
