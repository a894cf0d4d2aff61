"""What a connection of the type `tls` says: a key, its certificate and chain, or why they cannot be used."""

from __future__ import annotations

import datetime
import itertools
import json
from typing import Any

import pytest
from airflow.sdk import Connection
from cryptography.hazmat.primitives import serialization

from gantry.agent import tls
from gantry.credentials import connection_fields, connections
from gantry.hooks import connection_types
from gantry.provider_info import get_provider_info
from tests import certificates

ROOT = certificates.sign("root")
MIDDLE = certificates.sign("middle", ROOT)
SHOP = certificates.sign("shop.example.com", MIDDLE)
OTHER = certificates.sign("shop.example.com", MIDDLE)
LOCKED = certificates.key_pem(SHOP.key, serialization.BestAvailableEncryption(b"secret"))
PAST = certificates.sign("shop.example.com", MIDDLE, ends=certificates.NOW - datetime.timedelta(hours=1))
FUTURE = certificates.sign("shop.example.com", MIDDLE, begins=certificates.NOW + certificates.DAY)


def connection(password: str | None = SHOP.key_pem, **extra: str) -> Connection:
    given = {"certificate": SHOP.pem, "chain": MIDDLE.pem, **extra}
    return Connection(conn_id="shop_tls", conn_type="tls", password=password, extra=json.dumps(given))


def test_key_certificate_and_chain_are_read_from_their_fields() -> None:
    found = connections.certificate_from(connection())
    assert (found.key, found.certificate, found.chain) == (SHOP.key_pem, SHOP.pem, MIDDLE.pem)
    assert (found.names, found.issuer) == (("shop.example.com",), "CN=middle")
    assert SHOP.key_pem not in repr(found)


def test_what_follows_the_certificate_in_its_field_is_the_chain() -> None:
    whole = connection(certificate=SHOP.pem + MIDDLE.pem + ROOT.pem, chain="")
    assert connections.certificate_from(whole).chain == MIDDLE.pem + ROOT.pem
    assert connections.certificate_from(connection(chain="")).chain == ""


@pytest.mark.parametrize("eaten", ["", " ", "\\n", "\r\n"])
def test_line_breaks_that_a_form_has_eaten_come_back(eaten: str) -> None:
    fields = {name: pem.pem.replace("\n", eaten) for name, pem in (("certificate", SHOP), ("chain", MIDDLE))}
    found = connections.certificate_from(connection(SHOP.key_pem.replace("\n", eaten), **fields))
    assert found == connections.certificate_from(connection())


@pytest.mark.parametrize(
    ("password", "extra", "told"),
    [
        (None, {}, "no private key"),
        ("secret-no-key", {}, "no private key"),
        ("-----BEGIN PRIVATE KEY-----c2VjcmV0-----END PRIVATE KEY-----", {}, "cannot be read"),
        (LOCKED, {}, "it has a passphrase"),
        (OTHER.key_pem, {}, "the private key does not belong to the certificate"),
        (SHOP.key_pem, {"certificate": ""}, "no certificate"),
        (SHOP.key_pem, {"certificate": ROOT.pem.replace("M", "A")}, "a certificate cannot be read"),
        (SHOP.key_pem, {"chain": "secret"}, "the chain contains no certificate"),
        (
            SHOP.key_pem,
            {"chain": ROOT.pem + MIDDLE.pem},
            "the chain is not in order: 'CN=shop.example.com' is",
        ),
        (
            PAST.key_pem,
            {"certificate": PAST.pem},
            f"has expired on {PAST.certificate.not_valid_after_utc:%Y-%m-%d}",
        ),
        (FUTURE.key_pem, {"certificate": FUTURE.pem}, "is not valid before"),
    ],
    # Keys are made anew in each process, and workers compare the names of their tests.
    ids=itertools.count(1),
)
def test_what_is_wrong_is_named_without_its_content(
    password: str | None, extra: dict[str, str], told: str
) -> None:
    with pytest.raises(connection_fields.ConnectionFactError) as raised:
        connections.certificate_from(connection(password, **extra))
    assert str(raised.value).startswith("Airflow connection 'shop_tls': ")
    assert told in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_renewed_certificate_is_another_one_and_the_same_is_not() -> None:
    def read(signed: certificates.Signed) -> tls.Certificate:
        return connections.certificate_from(connection(signed.key_pem, certificate=signed.pem))

    assert read(SHOP).digest == read(SHOP).digest != read(OTHER).digest


def test_the_provider_declares_the_type_and_its_hook() -> None:
    declared: Any = next(
        each for each in get_provider_info()["connection-types"] if each["connection-type"] == "tls"
    )
    assert declared["connection-type"] == connection_types.TlsHook.conn_type
    assert (
        declared["hook-class-name"]
        == f"{connection_types.TlsHook.__module__}.{connection_types.TlsHook.__qualname__}"
    )


def test_the_test_button_says_for_whom_and_until_when_or_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hook = connection_types.TlsHook()
    monkeypatch.setattr(hook, "get_connection", lambda _: connection())
    works, told = hook.test_connection()
    assert works
    assert "for shop.example.com (with its chain), signed by CN=middle. It is valid until" in told
    assert "29 days from now" in told
    monkeypatch.setattr(hook, "get_connection", lambda _: connection(OTHER.key_pem))
    works, told = hook.test_connection()
    assert (works, "does not belong to the certificate" in told) == (False, True)
