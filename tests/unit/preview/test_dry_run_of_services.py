"""What a launch would do about certificates, replicants and names."""

from __future__ import annotations

import json

import pytest

from gantry import names
from gantry.plan import StepKind
from gantry.preview import state
from tests import certificates

from . import stages
from .stages import ADDRESSES, COPIED, DEFINITION, NEW, Story, restarted, scripts
from .test_dry_run import CONFIGURE, INSTALL, whole

TLS = DEFINITION.replace(
    "    depends_on", "    tls: {connection: shop_tls, address: shop.example.com}\n    depends_on"
).replace("name: shop.example.com}", "name: shop.example.com, tls: {connection: shop_tls}}")
REPLICATED = DEFINITION.replace(
    "    port: 3306\n", "    port: 3306\n    replication: {connection: bookshop_replication}\n"
).replace("servers: 1}\n  application", "servers: {min: 2, max: 3}}\n  application")


def hold(monkeypatch: pytest.MonkeyPatch, found: certificates.Signed) -> None:
    """Let the connection `shop_tls` hold a certificate and its key."""
    connection = {"conn_type": "tls", "password": found.key_pem, "extra": {"certificate": found.pem}}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_TLS", json.dumps(connection))


def test_a_renewed_certificate_is_configured_and_joined_with_and_its_key_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = (certificates.sign("shop.example.com") for _ in range(2))
    hold(monkeypatch, first)
    story = Story().but(text=TLS)
    launched = story.walk()
    states = stages.with_files(launched)
    assert story.walk(states).changes == (), "the same certificate is no change"
    hold(monkeypatch, second)
    renewed = story.walk(states)
    assert restarted(renewed) == ["application-1", "application-2"]
    configures = [each for each in renewed.changes if each.restarts]
    assert {each.reasons for each in configures} == {
        ("its certificate, or the address that it is for, has changed",)
    }
    joins = [call for each in renewed.changes for call in each.calls if call.script == "startProxy"]
    assert {len(each.arguments) for each in joins} == {8}, "they join again with the new one"
    for found in (first, second):
        assert found.key_pem.splitlines()[1] not in whole(launched) + whole(renewed)


def test_replicants_have_their_turn_after_the_master_and_one_more_does_not_restart_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account = {"conn_type": "mysql", "login": "copier", "password": COPIED}
    monkeypatch.setenv("AIRFLOW_CONN_BOOKSHOP_REPLICATION", json.dumps(account))
    story = Story().but(text=REPLICATED, addresses={**ADDRESSES, "database-2": "10.0.0.12"})
    launched = story.walk()
    ran = scripts(launched)
    assert ran["database-1"] == [
        *INSTALL, "downloadFile", "installDataSource", *CONFIGURE, "grantDatabaseAccess", "grantDatabaseAccess",
    ]  # fmt: skip
    assert ran["database-2"] == [*INSTALL, *CONFIGURE, "grantDatabaseAccess"]
    states = stages.with_files(launched)
    assert story.walk(states).changes == ()
    assert COPIED not in whole(launched)
    more = story.but(addresses={**story.addresses, "database-3": None})
    walked = more.walk({**states, names.ServerName("bookshop-database-3"): state.ServerState()})
    (opened,) = [
        each
        for each in walked.changes
        if each.kind is StepKind.CONFIGURE and each.server == "bookshop-database-1"
    ]
    assert opened.reasons == ("its replicants, or their account, have changed",)
    assert not opened.restarts
    assert "bookshop-database-3" in {each.server for each in walked.changes if each.restarts}


def test_a_server_that_the_definition_names_otherwise_now_is_renamed_in_the_cloud() -> None:
    states = stages.with_files(Story().walk())
    walked = Story().but(tagged={"proxy-1": "front"}).walk(states)
    (change,) = walked.changes
    assert (change.kind, change.server) == (StepKind.SCALE_UP, "bookshop-proxy-1")
    assert change.details == ("the cloud shows this name, and no longer front",)


def test_a_balancer_that_answers_for_one_more_name_is_told() -> None:
    states = stages.with_files(Story().walk())
    text = DEFINITION.replace(
        "name: shop.example.com}", "name: shop.example.com, aliases: [www.example.com]}"
    )
    walked = Story().but(text=text).walk(states)
    (joins,) = [each for each in walked.changes if each.kind is StepKind.START_PROXY]
    assert joins.reasons == ("its configuration changes",)
    assert "+port.1.dnsNames=shop.example.com,www.example.com" in joins.diff
    assert [call.script for call in joins.calls] == ["startProxy", "startProxy"]
    assert restarted(walked) == ["application-1", "application-2"], "the application is told of its names too"


def test_of_new_servers_no_certificate_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    found = certificates.sign("shop.example.com")
    hold(monkeypatch, found)
    said = whole(Story().but(text=TLS, addresses=NEW).walk())
    assert "PRIVATE KEY" not in said
    assert found.key_pem.splitlines()[1] not in said
