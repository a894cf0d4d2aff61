"""Whatever stands in a connection is usable, or is one message that names the connection: no traceback, no secret."""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Callable
from typing import Any

import asyncssh
import pytest
from airflow.sdk import BaseHook, Connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gantry import definition, errors, names
from gantry.cloud import clients
from gantry.credentials import connections
from gantry.definition import models
from tests import certificates

ID = "shop_connection"
MARK = "5eCr3tM4rk"
"""Stands in all that is a secret here, and must stand in no message."""

ED25519 = asyncssh.generate_private_key("ssh-ed25519")
RSA = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
SIGNED = certificates.sign("shop.example.com")
KEYS = [
    ED25519.export_private_key().decode(),
    ED25519.export_private_key(passphrase=MARK, rounds=1).decode(),
    RSA.export_private_key("pkcs1-pem").decode(),
    RSA.export_private_key("pkcs1-pem", MARK, cipher_name="aes128-cbc").decode(),
    RSA.export_private_key("pkcs8-pem", MARK).decode(),
    base64.b64encode(RSA.export_private_key("pkcs8-der")).decode(),
    SIGNED.key_pem,
    SIGNED.pem,
    ED25519.export_public_key().decode(),
    f"PuTTY-User-Key-File-2: ssh-rsa\nComment: {MARK}\n",
]
LINES = [line for key in KEYS[:7] for line in key.splitlines() if len(line) > 16 and " " not in line]
HOST_KEYS = [ED25519.export_public_key().decode(), f"bastion {RSA.export_public_key().decode()}", "ssh-rsa"]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A key as forms, editors and copying leave it."""
    text = draw(st.sampled_from([*KEYS, *HOST_KEYS]))
    begin = draw(st.integers(0, len(text)))
    end = draw(st.integers(begin, min(len(text), begin + 40)))
    put = draw(st.sampled_from(["", " ", "\n", "\\n", "\\\\r\\n", "\0", "é", MARK, "=", "-----"]))
    text = text[:begin] + put + text[end:]
    return draw(st.sampled_from(LEAVINGS))(text)


def _packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


LEAVINGS: list[Callable[[str], str]] = [str, str.strip, lambda each: each.replace("\n", "\\n"), _packed]

plain: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 70000),
    st.floats(allow_nan=False),
    st.sampled_from(
        ["", " ", MARK, f"~/{MARK}", f"https://{MARK}.example.com/organizations/a", "deploy", "22"]
    ),
    st.text(max_size=12),
    st.sampled_from([*KEYS, *HOST_KEYS]),
    damaged(),
)
value = st.one_of(
    plain, plain, plain, st.lists(plain, max_size=3), st.dictionaries(st.text(max_size=4), plain)
)
FIELDS = (
    "private_key", "key_file", "private_key_passphrase", "host_key", "admin_name", "admin_key", "environment",
    "trusted_certificate", "certificate", "chain", "config_kwargs", "endpoint_url", "session_kwargs",
    "aws_session_token", "region_name",
)  # fmt: skip
extras = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), value, max_size=6).map(json.dumps),
    st.dictionaries(st.sampled_from(FIELDS[:3]), plain, min_size=1, max_size=3).map(json.dumps),
    st.sampled_from(["", "{", "[]", "null", "7", json.dumps(f'{{"private_key": "{MARK}"}}'), f"{{{MARK}}}"]),
)
whole = st.fixed_dictionaries(
    {
        "login": st.one_of(st.just("deploy"), value),
        "password": value,
        "host": st.one_of(st.just("https://chef.example.com"), value),
        "schema": value,
        "port": st.one_of(st.none(), st.integers(-1, 70000)),
        "extra": extras,
    }
)
SSH = models.Ssh.model_validate({"connection": ID, "jump_connection": ID})
SHOP = definition.loads(f"""\
deployment: shop
cloud: {{region: eu-central-1, connection: {ID}}}
launch_configurations: {{debian: {{image: ami-1, ssh: {{connection: {ID}}}}}}}
tiers: {{database: {{launch_configuration: debian, servers: 1}}}}
services:
  db:
    id: a1001
    tier: database
    archive: s3://shop/db.tar.gz
    datasources: {{catalog: {{dump: s3://shop/catalog.sql, connection: {ID}}}}}
""")
READERS: dict[str, Callable[[], object]] = {
    "ssh": lambda: connections.access(SSH),
    "chef": lambda: connections.chef_credentials(models.Chef.model_validate({"connection": ID})),
    "tls": lambda: connections.certificate(names.ConnectionId(ID)),
    "account": lambda: connections.accounts(
        SHOP, {(names.ServiceName("db"), names.DatasourceName("catalog"))}
    ),
    "mask": lambda: connections.mask([ID]),
    "aws": lambda: clients.hook(names.ConnectionId(ID), "eu-central-1", "ec2").config,
}


def read_by(reader: str) -> None:
    """Read the connection; what goes wrong has to be one message for a person."""
    told: errors.GantryError | None = None
    try:
        READERS[reader]()
    except errors.GantryError as error:
        told = error
    if told is None:
        return
    assert repr(ID) in str(told)
    assert not told.transient, "nobody tries that again"
    # Airflow logs an error with all that has led to it.
    logged = "".join(traceback.format_exception(told))
    assert MARK not in logged
    assert not any(line in logged for line in LINES)


@pytest.mark.parametrize("reader", READERS)
def test_a_connection_of_any_shape_is_usable_or_told(reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(whole)
    def read(fields: dict[str, Any]) -> None:
        found = Connection(conn_id=ID, conn_type="aws" if reader == "aws" else "generic", **fields)
        monkeypatch.setattr(BaseHook, "get_connection", staticmethod(lambda _: found))
        read_by(reader)

    read()


uris = st.one_of(
    st.sampled_from(
        [
            f"ssh://deploy:{MARK}/x@host",
            f"ssh://deploy:{MARK}#x@host:22",
            f"ssh://deploy:x@host:{MARK}",
            f"ssh://a://{MARK}://b",
            f"ssh://[{MARK}",
            f'{{"password": "{MARK}", "port": "{MARK}"}}',
            f'{{"password": "{MARK}",}}',
            f'{{"login": "deploy", "{MARK}": 1}}',
            f'["{MARK}"]',
            MARK,
        ]
    ),
    st.dictionaries(st.sampled_from(["login", "password", "port", "extra", "conn_type", "hots"]), value).map(
        json.dumps
    ),
)


@pytest.mark.parametrize("reader", READERS)
def test_a_connection_as_a_variable_is_usable_or_told(reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through Airflow's own parser of URIs and JSON."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")

    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(uris)
    def read(written: str) -> None:
        def get(_: str) -> Connection:
            if written.startswith(("{", "[")):
                return Connection.from_json(written, conn_id=ID)
            return Connection.from_uri(written, conn_id=ID)

        monkeypatch.setattr(BaseHook, "get_connection", staticmethod(get))
        read_by(reader)

    read()
