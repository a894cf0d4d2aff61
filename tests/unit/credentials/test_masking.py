"""What scripts are told is masked line by line, in the worker and in the triggerer that goes on reading."""

from __future__ import annotations

import asyncio
import importlib
import json
import pathlib
import re
import types
from collections.abc import Iterator
from typing import Any, cast

import asyncssh
import pytest
from airflow.sdk import Connection
from airflow.sdk._shared.secrets_masker import _secrets_masker, secrets_masker
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.log import mask_secret

from gantry import definition, errors, plan
from gantry.credentials import connections, key_masks
from gantry.local.demo import airflow_process
from gantry.operators import base
from gantry.runtime import task_run
from gantry.triggers import server_work
from tests import certificates
from tests.unit.agent.world import World

SHOP = certificates.sign("shop.example.com")


@pytest.fixture(autouse=True)
def unmasked() -> Iterator[None]:
    masker: Any = _secrets_masker()
    masker.reset_masker()
    yield
    masker.reset_masker()


def printed(text: str) -> list[str]:
    """What a log shows of a text that a script prints."""
    return [str(_secrets_masker().redact(f"cat: {line}")) for line in text.splitlines()]


@pytest.mark.parametrize("eaten", ["\n", " ", "\\n"])
def test_a_private_key_that_a_script_prints_is_masked_in_every_line(eaten: str) -> None:
    extra = json.dumps({"certificate": SHOP.pem})
    key = SHOP.key_pem.replace("\n", eaten)
    connections.certificate_from(Connection(conn_id="shop_tls", conn_type="tls", password=key, extra=extra))
    begin, *body, end = printed(SHOP.key_pem)
    assert set(body) == {"cat: ***"}
    assert begin.startswith("cat: -----BEGIN")
    assert end.startswith("cat: -----END")
    assert printed(SHOP.pem)[1] == f"cat: {SHOP.pem.splitlines()[1]}", "a certificate is no secret"


@pytest.mark.parametrize(("adapter", "most"), [(None, len(SHOP.key_pem.splitlines())), (key_masks.of, 1)])
def test_the_lines_of_a_key_are_compiled_at_once(
    adapter: Any, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow compiles all masks for each new one, unless they come from its adapter."""
    compiled: list[str] = []

    def compile_(pattern: str) -> re.Pattern[str]:
        compiled.append(pattern)
        return re.compile(pattern)

    monkeypatch.setattr(secrets_masker, "re", types.SimpleNamespace(compile=compile_, escape=re.escape))
    monkeypatch.setattr(_secrets_masker(), "secret_mask_adapter", adapter)
    connections._mask(SHOP.key_pem)
    assert 1 <= len(compiled) <= most
    assert (len(compiled) > 1) == (adapter is None)
    assert set(printed(SHOP.key_pem)[1:-1]) == {"cat: ***"}


def test_the_demo_has_keys_masked_at_once(tmp_path: pathlib.Path) -> None:
    settings = airflow_process._environment(tmp_path, tmp_path, 1, tmp_path / "passwords")
    module, _, function = settings["AIRFLOW__LOGGING__SECRET_MASK_ADAPTER"].rpartition(".")
    assert getattr(importlib.import_module(module), function) is key_masks.of


def test_the_adapter_adds_nothing_to_what_is_no_key() -> None:
    assert (
        list(key_masks.of('{"region_name": "eu-central-1",\n "endpoint_url": "http://127.0.0.1:4566"}')) == []
    )


def test_the_triggerer_masks_what_the_worker_has_read(monkeypatch: pytest.MonkeyPatch) -> None:
    login = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    for name, fields in {
        "bookshop_ssh": {"login": "launcher", "extra": json.dumps({"private_key": login})},
        "bookshop_catalog": {"login": "shopper", "password": "hunter2hunter2", "schema": "bookshop"},
        "bookshop_replication": {"login": "copier", "password": "c0py-that-again"},
        "shop_tls": {"password": SHOP.key_pem, "extra": json.dumps({"certificate": SHOP.pem})},
    }.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps({"conn_type": "generic", **fields}))
    known = definition.loads(World().replicated().with_tls().text)
    trigger = server_work.JobsTrigger(
        everything=[],
        login=known.launch_configurations[next(iter(known.launch_configurations))].ssh.model_dump(
            mode="json"
        ),
        step="s",
        epoch="1",
        attempt="1",
        report={},
        secrets=connections.with_secrets(known),
    )
    path, keywords = trigger.serialize()
    assert "hunter2" not in json.dumps(keywords)
    again = server_work.JobsTrigger(**keywords)
    assert path.endswith(type(again).__name__)
    assert asyncio.run(again._failures()) == []
    assert printed("hunter2hunter2\nc0py-that-again") == ["cat: ***", "cat: ***"]
    assert set(printed(SHOP.key_pem)[1:-1]) == {"cat: ***"}


def test_the_worker_that_tells_of_a_failure_in_the_triggerer_masks_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account = {"conn_type": "mysql", "login": "shopper", "password": "hunter2hunter2", "schema": "bookshop"}
    monkeypatch.setenv("AIRFLOW_CONN_BOOKSHOP_CATALOG", json.dumps(account))
    known = definition.loads(World().text)
    steps = plan.launch_plan(known)
    run = types.SimpleNamespace(definition=known, step=steps.by_id["service-db.configure"])
    monkeypatch.setattr(task_run, "run_of", lambda _: run)
    told: Any = {"failures": [("db-1: configureService failed: password=hunter2hunter2", False)]}
    with pytest.raises(AirflowFailException) as failed:
        base.StepOperator(task_id="configure").resume(cast("Any", {}), told)
    assert printed(str(failed.value)) == ["cat: db-1: configureService failed: password=***"]


def test_what_the_triggerer_hands_back_to_the_database_is_masked_too() -> None:
    class Failing(server_work.StepTrigger):
        def serialize(self) -> tuple[str, dict[str, Any]]:
            return "", {}

        async def _failures(self) -> list[errors.Failure]:
            mask_secret("hunter2hunter2")
            said = "db-1: configureService failed. The end of its output:\npassword=hunter2hunter2\nMend it."
            return [errors.Failure.of(said, transient=True)]

    async def events() -> list[Any]:
        return [each.payload async for each in Failing({}).run()]

    (told,) = asyncio.run(events())
    said = "db-1: configureService failed. The end of its output:\npassword=***\nMend it."
    assert told == {
        "structured": [errors.Failure.of(said, transient=True).dump()],
        "failures": [(said, True)],
    }


def test_a_connection_that_is_gone_meanwhile_has_nothing_to_be_masked() -> None:
    connections.mask(["nobody_knows_it"])
