"""What a connection of the type `chef` says, in all the shapes that forms and secrets backends give it."""

from __future__ import annotations

import json
from typing import Any

import asyncssh
import pytest
from airflow.sdk import Connection

from gantry.credentials import connections
from gantry.credentials.connection_fields import ConnectionFactError
from gantry.hooks import connection_types
from gantry.provider_info import get_provider_info

KEY = asyncssh.generate_private_key("ssh-rsa", key_size=2048).export_private_key("pkcs1-pem").decode()
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nTUlJQnRlc3Q=\n-----END CERTIFICATE-----\n"
LICENSE = "free-58555821-925e-4a27-8fdc-e79dae5a425b-9763"
URL = "https://chef.example.com/organizations/acme"


def connection(extra: dict[str, Any] | None = None, **fields: Any) -> Connection:
    given = {"host": URL, "login": "acme-validator", "password": KEY, **fields}
    return Connection(conn_id="chef_default", conn_type="chef", extra=json.dumps(extra or {}), **given)


def test_everything_is_read_from_its_field() -> None:
    extra = {
        "environment": "production",
        "trusted_certificate": CERTIFICATE,
        "admin_name": "pivotal",
        "admin_key": KEY,
        "origin": "east",
        "license_key": f" {LICENSE}\n",
        "license_server": "https://one.example.com/ , http://10.0.0.9:8000",
    }
    found = connections.chef_from(connection(extra))
    assert (found.url, found.environment, found.certificate) == (URL, "production", CERTIFICATE)
    assert found.validator is not None
    assert (found.validator.name, found.validator.private_key) == ("acme-validator", KEY)
    assert found.admin is not None
    assert (found.admin.name, found.admin.private_key) == ("pivotal", KEY)
    assert found.origin == "east"
    assert found.license_key == LICENSE
    assert found.license_server == "https://one.example.com,http://10.0.0.9:8000"
    assert LICENSE not in repr(found)


def test_a_url_alone_is_enough_for_known_nodes() -> None:
    found = connections.chef_from(connection(login=None, password=None, host=f"{URL}/"))
    assert (found.url, found.validator, found.admin) == (URL, None, None)
    assert (found.environment, found.certificate) == (None, None)


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "chef.example.com"}, "https://chef.example.com"),
        ({"host": "chef.example.com", "schema": "http", "port": 4545}, "http://chef.example.com:4545"),
        (
            {"host": "chef.example.com/organizations/a", "port": 8443},
            "https://chef.example.com:8443/organizations/a",
        ),
        ({"host": " http://10.0.0.1:4545/ "}, "http://10.0.0.1:4545"),
    ],
)
def test_a_url_may_come_in_parts(fields: dict[str, Any], url: str) -> None:
    assert connections.chef_from(connection(**fields)).url == url


@pytest.mark.parametrize("instead", ["", " ", "\\n"])
def test_line_breaks_that_a_form_has_eaten_come_back(instead: str) -> None:
    eaten = KEY.replace("\n", instead)
    extra = {"trusted_certificate": CERTIFICATE.replace("\n", " "), "admin_name": "a", "admin_key": eaten}
    found = connections.chef_from(connection(extra, password=eaten))
    assert found.validator is not None
    assert found.admin is not None
    assert {found.validator.private_key, found.admin.private_key} == {KEY}
    assert found.certificate == CERTIFICATE


@pytest.mark.parametrize(
    ("fields", "extra", "told"),
    [
        ({"host": None}, {}, "the host is the Chef server's URL"),
        ({"host": "ftp://chef"}, {}, "the host is the Chef server's URL"),
        ({"host": "https://chef'\nsystem('x')"}, {}, "the host is the Chef server's URL"),
        ({"password": None}, {}, "needs both a login (its name) and a password"),
        ({"login": None}, {}, "needs both a login (its name) and a password"),
        ({"password": "secret-no-key"}, {}, "the field password: no usable private key"),
        ({}, {"admin_name": "a"}, "needs both admin_name and admin_key"),
        ({}, {"admin_name": "a", "admin_key": "secret-no-key"}, "the field admin_key: no usable private key"),
        ({}, {"trusted_certificate": "secret-nothing"}, "the field trusted_certificate: no certificate"),
        (
            {},
            {"license_key": "secret key with blanks, so none"},
            "the extra field license_key is not a license key",
        ),
        ({}, {"license_key": "secret-short"}, "the extra field license_key is not a license key"),
        ({}, {"license_key": 12345}, "the extra field license_key has to be text"),
        ({}, {"license_server": "secret.example.com"}, "the extra field license_server holds the URLs"),
        ({}, {"license_server": "https://a'; id; '"}, "the extra field license_server holds the URLs"),
        ({}, {"license_server": "https://a," * 6 + "https://a"}, "5 at most"),
        ({}, {"license_server": "https://a,"}, "the extra field license_server holds the URLs"),
    ],
)
def test_what_is_missing_is_named_without_its_content(
    fields: dict[str, Any], extra: dict[str, str], told: str
) -> None:
    with pytest.raises(ConnectionFactError) as raised:
        connections.chef_from(connection(extra, **fields))
    assert str(raised.value).startswith("Airflow connection 'chef_default': ")
    assert told in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_license_key_is_masked_where_it_is_read_and_where_scripts_are_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    masked: set[str] = set()
    monkeypatch.setattr("airflow.sdk.log.mask_secret", masked.update)
    connections.chef_from(connection({"license_key": LICENSE}))
    assert LICENSE in masked
    masked.clear()
    monkeypatch.setattr(connections, "_get", lambda _: connection({"license_key": f"{LICENSE}\n"}))
    connections.mask(["chef_default"])
    assert LICENSE in masked


def test_the_provider_declares_the_type_and_its_hook() -> None:
    declared = next(
        each for each in get_provider_info()["connection-types"] if each["connection-type"] == "chef"
    )
    assert declared["connection-type"] == connection_types.ChefHook.conn_type
    assert (
        declared["hook-class-name"]
        == f"{connection_types.ChefHook.__module__}.{connection_types.ChefHook.__qualname__}"
    )
    assert declared["conn-fields"]["admin_key"]["schema"]["format"] == "password"
    assert declared["conn-fields"]["license_key"]["schema"]["format"] == "password"


def test_the_test_button_says_what_is_wrong_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = connection_types.ChefHook()
    monkeypatch.setattr(hook, "get_connection", lambda _: connection(password="secret-no-key"))
    works, told = hook.test_connection()
    assert not works
    assert "no usable private key" in told
    assert "secret" not in told
    monkeypatch.setattr(hook, "get_connection", lambda _: connection(login=None, password=None))
    assert hook.test_connection() == (
        False,
        "The connection holds no key: neither a validation client nor an administrator.",
    )
