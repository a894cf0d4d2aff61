"""The embedded cloud has a Chef server, which trusts nobody without a key."""

from __future__ import annotations

import stat
import types
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

import gantry.definition
from gantry import local
from gantry.configuration_management import chef_server
from gantry.local.demo import verify

from .conftest import Account

if TYPE_CHECKING:
    from gantry.local.demo import environment as demo_stage

BOOKSHOP = Path(__file__).parents[2] / "include/bookshop/bookshop.yaml"

pytestmark = pytest.mark.docker


def test_its_administrator_may_do_everything_and_its_validator_register_only(
    cloud: local.EmbeddedCloud,
) -> None:
    assert cloud.chef_server().clients() == {"chef-validator", "chef-webui"}
    connection = cloud.chef_connection()
    validator = chef_server.ChefServer(
        connection["host"],
        chef_server.Actor(connection["login"], connection["password"]),
        connection["extra"]["trusted_certificate"],
    )
    validator.check()
    with pytest.raises(chef_server.ChefServerRefusedError, match="403"):
        validator.nodes()


def test_the_connection_is_all_that_airflow_needs(cloud: local.EmbeddedCloud) -> None:
    connection = cloud.chef_connection()
    assert connection["conn_type"] == "chef"
    extra = connection["extra"]
    actor = chef_server.Actor(extra["admin_name"], extra["admin_key"])
    chef_server.ChefServer(connection["host"], actor, extra["trusted_certificate"]).check()


def test_only_the_owner_reads_its_keys(cloud: local.EmbeddedCloud) -> None:
    assert stat.S_IMODE(cloud.chef_keys.stat().st_mode) == 0o700
    for name in ("admin.pem", "chef-validator.pem"):
        assert stat.S_IMODE((cloud.chef_keys / name).stat().st_mode) == 0o600


def test_servers_reach_it_by_the_certificate_s_name(
    cloud: local.EmbeddedCloud, account: Account, server: str
) -> None:
    container = account.container(server)
    container.exec_run(["sh", "-c", f"cat > /tmp/chef.crt <<'END'\n{cloud.chef_certificate}END"])
    fetch = f"curl -s -o /dev/null -w '%{{http_code}}' {cloud.chef_server_url}/nodes"
    # Encrypted and trusted, but unsigned.
    assert container.exec_run(["sh", "-c", f"{fetch} --cacert /tmp/chef.crt"]).output == b"401"
    assert container.exec_run(["sh", "-c", fetch]).exit_code == 60


def test_the_demo_notices_what_chef_has_not_done_and_what_it_still_knows(cloud: local.EmbeddedCloud) -> None:
    servers = [types.SimpleNamespace(name="bookshop-proxy-1", tier="proxy")]
    on = types.SimpleNamespace(
        cloud=cloud, definition=gantry.definition.load(BOOKSHOP), servers=lambda: servers
    )
    stage = cast("demo_stage.DemoStage", on)
    with pytest.raises(verify.CheckFailedError, match=r"'bookshop-proxy-1': None"):
        verify.configured(stage)
    cloud.chef_server().post("/nodes", {"name": "bookshop-proxy-1", "run_list": ["role[loadBalancer]"]})
    assert verify.configured(stage) == "1 nodes on the Chef server, converged with role[loadBalancer]"
    servers.clear()
    with pytest.raises(verify.CheckFailedError, match="bookshop-proxy-1 on the Chef server"):
        verify.nothing_left(stage)
    cloud.chef_server().delete_node("bookshop-proxy-1")
