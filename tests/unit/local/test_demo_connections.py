"""The connections that `gantry demo up` makes: every one that a definition can name."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pydantic
import pytest
from cryptography import x509

from gantry import definition, names
from gantry.local.cloud import certificates, state
from gantry.local.demo import connections

SHOP = """\
deployment: my-shop
cloud: {connection: our_aws, region: eu-central-1}
launch_configurations:
  debian:
    image: ami-1
    ssh: {connection: shop_ssh, jump_connection: bastion}
    chef: {connection: our_chef}
tiers: {data: {launch_configuration: debian, servers: 1}}
services:
  db:
    id: a1001
    tier: data
    archive: s3://shop/db.tar.gz
    datasources:
      catalog: {dump: s3://shop/catalog.sql, connection: shop_catalog}
      orders: {dump: s3://shop/orders.sql, connection: shop_orders}
"""
KEY = "a private key"


@pytest.fixture
def cloud(tmp_path: Path) -> state.EmbeddedCloud:
    for key in ("admin", "chef-validator"):
        (tmp_path / f"{key}.pem").write_text(f"the key of {key}")
    return state.EmbeddedCloud(
        name="unit",
        endpoint_url="http://10.200.0.1:4566",
        region="eu-central-1",
        access_key_id="AKIA",
        secret_access_key="secret",
        ami="ami-1",
        vpc_id="vpc-1",
        subnet_id="subnet-1",
        security_group_id="sg-1",
        network="unit",
        cidr="10.200.0.0/22",
        pid=1,
        state_dir=tmp_path,
        chef_server_url="https://10.200.0.1:4545",
        chef_certificate="a certificate",
        chef_keys=tmp_path,
    )


def made(cloud: state.EmbeddedCloud, text: str = SHOP, **known: connections.Connection) -> connections.Made:
    return connections.make(cloud, [definition.loads(text, "shop.yaml")], KEY, known)


def test_each_connection_is_what_the_definition_needs_it_for(cloud: state.EmbeddedCloud) -> None:
    found = made(cloud)
    kinds = {name: each["conn_type"] for name, each in found.connections.items()}
    assert kinds == {
        "our_aws": "aws",
        "shop_ssh": "ssh",
        "our_chef": "chef",
        "shop_catalog": "mysql",
        "shop_orders": "mysql",
    }
    assert found.connections["our_aws"]["extra"]["endpoint_url"] == cloud.endpoint_url
    assert found.connections["shop_ssh"]["extra"]["private_key"] == KEY
    assert found.connections["shop_orders"]["schema"] == "orders"


def test_accounts_of_one_database_have_names_of_their_own(cloud: state.EmbeddedCloud) -> None:
    found = made(cloud).connections
    assert found["shop_catalog"]["login"] == "my_shop"
    assert found["shop_orders"]["login"] == "shop_orders"
    assert found["shop_catalog"]["password"] != found["shop_orders"]["password"]


def test_a_jump_host_is_left_to_the_person(cloud: state.EmbeddedCloud) -> None:
    assert [need.name for need in made(cloud).left] == ["bastion"]


def test_what_was_made_before_stays_as_it_is(cloud: state.EmbeddedCloud) -> None:
    first = made(cloud)
    again = made(cloud, SHOP.replace("shop_orders", "shop_sales"), **first.connections)
    assert again.connections["shop_catalog"] == first.connections["shop_catalog"]
    assert set(again.connections) - set(first.connections) == {"shop_sales"}


def test_airflow_reads_them_from_one_line_each(cloud: state.EmbeddedCloud) -> None:
    environment = made(cloud).environment
    assert json.loads(environment["AIRFLOW_CONN_SHOP_SSH"])["login"] == connections.SSH_USER
    assert not any("\n" in value for value in environment.values())


def test_the_demos_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "below" / "key"
    text = connections.private_key(file)
    assert connections.private_key(file) == text
    assert file.stat().st_mode & 0o777 == 0o600
    assert asyncssh.import_private_key(text).get_algorithm() == "ssh-ed25519"


SECURE = """\
deployment: secure
cloud: {region: eu-central-1}
launch_configurations: {debian: {image: ami-1, ssh: {connection: x_ssh}}}
tiers:
  web: {launch_configuration: debian, servers: 1}
  data: {launch_configuration: debian, servers: 2}
services:
  page:
    id: a1001
    tier: web
    archive: s3://shop/page.tar.gz
    port: 8443
    tls: {connection: page_tls, address: inside.example.com}
  db:
    id: a1002
    tier: data
    archive: s3://shop/db.tar.gz
    replication: {connection: db_copies}
    datasources: {catalog: {dump: s3://shop/catalog.sql, connection: db_catalog}}
"""


def test_a_certificate_is_for_the_hosts_that_the_deployment_answers_for(cloud: state.EmbeddedCloud) -> None:
    extra = made(cloud, SECURE).connections["page_tls"]["extra"]
    found = x509.load_pem_x509_certificate(extra["certificate"].encode())
    hosts = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert hosts.get_values_for_type(x509.DNSName) == ["inside.example.com"]


def test_copies_of_a_database_have_an_account_of_their_own(cloud: state.EmbeddedCloud) -> None:
    found = made(cloud, SECURE).connections
    assert (found["db_catalog"]["login"], found["db_copies"]["login"]) == ("secure", "db_copies")


def test_a_certificate_can_be_for_addresses_too() -> None:
    text = certificates.self_signed(["shop.example.com", "10.200.0.1"]).certificate
    found = x509.load_pem_x509_certificate(text.encode())
    hosts = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert hosts.get_values_for_type(x509.DNSName) == ["shop.example.com"]
    assert [str(each) for each in hosts.get_values_for_type(x509.IPAddress)] == ["10.200.0.1"]


def models_below(model: type[pydantic.BaseModel]) -> Iterator[type[pydantic.BaseModel]]:
    yield model
    for field in model.model_fields.values():
        yield from (inner for each in parts(field.annotation) for inner in models_below(each))


def parts(annotation: object) -> Iterator[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from parts(part)


def test_every_key_of_the_language_that_names_a_connection_is_known() -> None:
    keys = {
        f"{model.__name__}.{field}"
        for model in models_below(definition.Definition)
        for field in model.model_fields
        if connections.is_connection(field)
    }
    assert {"Cloud.connection", "Ssh.jump_connection", "Datasource.connection"} <= keys
    unknown = {key for key in keys if connections.kind_of(key) is connections.ConnectionPurpose.UNKNOWN}
    assert not unknown, "gantry.local.demo.connections makes the connections of a demo: teach it these"


def test_a_connection_of_an_unknown_kind_would_be_left_to_the_person(
    cloud: state.EmbeddedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_KINDS", {})
    left = {need.name for need in made(cloud).left}
    assert {names.ConnectionId("our_aws"), names.ConnectionId("shop_ssh")} <= left
