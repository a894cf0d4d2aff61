from __future__ import annotations

import json

import asyncssh
import pytest

from . import stages


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bookshop's account, as Airflow finds it in the environment."""
    account = {"conn_type": "mysql", "login": "shopper", "password": stages.PASSWORD, "schema": "catalog"}
    monkeypatch.setenv("AIRFLOW_CONN_BOOKSHOP_CATALOG", json.dumps(account))


@pytest.fixture(scope="session")
def pem() -> str:
    """A private key."""
    return asyncssh.generate_private_key("ssh-rsa", key_size=2048).export_private_key("pkcs1-pem").decode()
