"""What a plan says of replicated databases and of certificates, in both orders of steps."""

from __future__ import annotations

import json

import pytest

from gantry.plan import StepKind
from gantry.preview import state
from tests import certificates

from .stages import ADDRESSES, DEFINITION, Story, changed, scripts

COPIER = "c0py-that"
REPLICATED = (
    DEFINITION.replace(
        "database:    {launch_configuration: debian, servers: 1}",
        "database:    {launch_configuration: debian, servers: {min: 2, max: 3}}",
    )
    .replace("    port: 3306\n", "    port: 3306\n    replication: {connection: bookshop_replication}\n")
    .replace(
        "    port: 8000\n", "    port: 8000\n    tls: {connection: shop_tls, address: shop.example.com}\n"
    )
    .replace("port: 80,", "tls: {connection: shop_tls},")
)
CONFIGURE_FIRST = REPLICATED.replace("    port: 3306\n", "    port: 3306\n    order: configure-first\n")
TWO = {**ADDRESSES, "database-2": "10.0.0.12"}
THREE = {**TWO, "database-3": "10.0.0.13"}
BALANCER_FILE = "/enstratus/ws/proxy/a1002/enstratus.cfg"
APP_FILE = "/mnt/services/a1002/cfg/enstratus.cfg"


def certify(monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a new certificate into the connection; its private key."""
    signed = certificates.sign("shop.example.com")
    connection = {
        "conn_type": "tls",
        "password": signed.key_pem,
        "extra": json.dumps({"certificate": signed.pem}),
    }
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_TLS", json.dumps(connection))
    return signed.key_pem


@pytest.fixture(autouse=True)
def key(connections: None, monkeypatch: pytest.MonkeyPatch) -> str:
    copier = {"conn_type": "mysql", "login": "copier", "password": COPIER}
    monkeypatch.setenv("AIRFLOW_CONN_BOOKSHOP_REPLICATION", json.dumps(copier))
    return certify(monkeypatch)


@pytest.mark.parametrize("text", [REPLICATED, CONFIGURE_FIRST])
def test_after_a_launch_a_plan_finds_only_nodes_that_join_again(text: str, key: str) -> None:
    story = Story(text, TWO)
    first = story.walk()
    again = story.walk(first.states)
    told = [each for each in again.changes if each.kind is not StepKind.START_PROXY]
    assert told == []
    said = repr((first.changes, again.changes, again.repeated))
    assert COPIER not in said
    assert not any(line in said for line in key.splitlines()[1:-1])


@pytest.mark.parametrize(
    ("text", "kind"), [(REPLICATED, StepKind.CONFIGURE), (CONFIGURE_FIRST, StepKind.RESTART)]
)
def test_one_more_replicant_is_the_reason_why_the_master_is_opened_again(text: str, kind: StepKind) -> None:
    launched = Story(text, TWO).walk().states
    new = Story(text, THREE).server("database-3").name
    walked = Story(text, THREE).walk({**launched, new: state.ServerState()})
    (opened,) = [
        each
        for each in walked.changes
        if each.server == "bookshop-database-1" and each.kind is not StepKind.GRANT_ACCESS
    ]
    assert opened.kind is kind
    assert [call.script for call in opened.calls] == ["grantDatabaseAccess"]
    assert opened.reasons == ("its replicants, or their account, have changed",)
    assert not opened.restarts


def test_a_renewed_certificate_is_why_its_service_restarts_and_the_nodes_join_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No secret in its file: what a plan shows of it is what is there.
    story = Story(
        REPLICATED.replace("    depends_on: [db.catalog]\n", "").replace(", api_token: sesame", ""), TWO
    )
    launched = story.walk()
    states = launched.states
    for change in launched.changes:
        if change.kind in (StepKind.CONFIGURE, StepKind.START_PROXY) and change.diff:
            path = BALANCER_FILE if change.kind is StepKind.START_PROXY else APP_FILE
            lines = [line[1:] for line in change.diff if line.startswith("+") and not line.startswith("+++")]
            content = "".join(f"{line}\n" for line in lines)
            states = changed(states, change.server.removeprefix("bookshop-"), configs={path: content})
    certify(monkeypatch)
    walked = story.walk(states)
    reasons = {(each.server, each.kind): each.reasons for each in walked.changes if not each.diff}
    assert reasons == {
        ("bookshop-application-1", StepKind.UPDATE): (
            "its certificate, or the address that it is for, has changed",
        ),
        ("bookshop-application-2", StepKind.UPDATE): (
            "its certificate, or the address that it is for, has changed",
        ),
        # They leave, and join again with the new one.
        ("bookshop-proxy-1", StepKind.UPDATE): (),
    }
    assert scripts(walked)["proxy-1"] == ["stopProxy", "awaitDrained", "startProxy"] * 2
