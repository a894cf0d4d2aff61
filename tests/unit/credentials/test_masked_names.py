"""A secret that is an ordinary word: Airflow blanks it in names too, and the launch says which one does that."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from airflow.sdk import BaseHook, Connection
from airflow.sdk._shared.secrets_masker import SecretsMasker

from gantry import definition
from gantry.credentials import masked_names
from gantry.web.views import log_lines

SHOP = definition.loads("""\
deployment: bookshop
cloud: {region: eu-central-1}
launch_configurations:
  debian: {image: ami-1, ssh: {connection: bookshop_ssh, jump_connection: bastion}}
tiers:
  database: {launch_configuration: debian, servers: 1}
services:
  db:
    id: a1001
    tier: database
    archive: s3://bookshop/db.tar.gz
    datasources: {catalog: {dump: s3://bookshop/catalog.sql, connection: bookshop_catalog}}
""")


@pytest.mark.parametrize(
    ("secret", "kinds"),
    [
        ("bookshop", "its own, servers"),
        ("database", "tiers, servers"),
        ("catalog", "datasources"),
        ("shop", ""),  # Airflow masks no secret as short as that
        ("xK2-b00kshop", ""),
    ],
)
@pytest.mark.parametrize(
    ("connection", "field", "place"),
    [
        ("bookshop_catalog", "password", "services.db.datasources.catalog.connection"),
        ("bastion", "private_key_passphrase", "launch_configurations.debian.ssh.jump_connection"),
    ],
)
def test_the_launch_tells_which_secret_hides_names_and_not_what_it_is(
    monkeypatch: pytest.MonkeyPatch, connection: str, field: str, place: str, secret: str, kinds: str
) -> None:
    def read(name: str) -> Connection:
        found = Connection(conn_id=name, password="hunter2-hunter2", extra="{}")
        if name == connection and field == "password":
            found.password = secret
        elif name == connection:
            found.extra = json.dumps({field: secret})
        return found

    monkeypatch.setattr(BaseHook, "get_connection", read)
    told = list(masked_names.warnings(SHOP))
    if not kinds:
        assert told == []
        return
    (line,) = told
    assert line.startswith(
        f"the {field} of the Airflow connection {connection!r} ({place}) is a part of names"
    )
    assert f" of this deployment ({kinds}). " in line


def test_a_connection_that_cannot_be_read_is_for_others_to_complain_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(_: str) -> Connection:
        raise ValueError("no such connection")

    monkeypatch.setattr(BaseHook, "get_connection", read)
    assert list(masked_names.warnings(SHOP)) == []


def test_lines_of_a_batch_keep_their_servers_behind_the_mask() -> None:
    masker = cast("Any", SecretsMasker)()
    masker.add_mask("bookshop")
    masker.enable_log_masking()
    said = ["[bookshop-database-1] $ startService a1001", "[bookshop-database-2] $ stopService a1001"]
    said += ["[bookshop-database-1] started"]
    shown = log_lines.lines([log_lines.Event(str(masker.redact(line))) for line in said])
    assert [(line.server, line.script) for line in shown] == [
        ("***-database-1", "startService"),
        ("***-database-2", "stopService"),
        ("***-database-1", "startService"),
    ]
