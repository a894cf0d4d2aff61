"""Embedded clouds come up side by side and leave nothing behind, however they end."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gantry import local
from gantry.local.cloud import control
from tests import quiet

from .conftest import Account, eventually

pytestmark = pytest.mark.docker


def test_a_second_up_finds_the_running_cloud(cloud: local.EmbeddedCloud) -> None:
    assert local.up(cloud.name, cloud.state_dir) == cloud == local.load(cloud.name, cloud.state_dir)


def test_only_the_owner_reads_the_secret_key(cloud: local.EmbeddedCloud) -> None:
    state_file = cloud.state_dir / cloud.name / "state.json"
    assert stat.S_IMODE(state_file.stat().st_mode) == 0o600
    assert json.loads(state_file.read_text())["secret_access_key"] == cloud.secret_access_key
    assert cloud.secret_access_key not in repr(cloud)
    assert cloud.secret_access_key.encode() not in Path(f"/proc/{cloud.pid}/cmdline").read_bytes()


def test_airflow_is_given_a_connection(cloud: local.EmbeddedCloud) -> None:
    connection = json.loads(cloud.aws_connection_json())
    assert connection["conn_type"] == "aws"
    assert connection["extra"] == {"region_name": cloud.region, "endpoint_url": cloud.endpoint_url}
    assert connection["password"] == cloud.secret_access_key


def test_without_a_state_file_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(local.LocalCloudError, match=r"python -m gantry\.local up"):
        local.load("nowhere", tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_an_ended_cloud_left_is_found_and_removed(
    cloud: local.EmbeddedCloud, quiet_image: str, tmp_path: Path, number: signal.Signals
) -> None:
    name = f"crash-{os.getpid()}"
    second = local.up(name, tmp_path)
    try:
        assert second.cidr != cloud.cidr
        account = Account(second, quiet.machine_image(second, quiet_image))
        (instance_id,) = account.launch()
        account.await_state(instance_id, "running")
        container = account.container(instance_id).name
        assert chef_servers(second)

        os.kill(second.pid, number)
        eventually(lambda: not control.processes(name))
        eventually(lambda: not chef_servers(second))
        crashed = number is signal.SIGKILL
        remains = [f"container {container}", f"network {second.network}"] if crashed else []
        assert local.leftovers(name) == remains
    finally:
        local.down(name, tmp_path)
    assert local.leftovers(name) == []
    assert local.down(name, tmp_path) == []
    assert not second.chef_keys.exists()


def chef_servers(cloud: local.EmbeddedCloud) -> list[str]:
    """Ids of the processes of its Chef server."""
    found = subprocess.run(
        ["pgrep", "-f", f"conf-root={cloud.chef_keys}"], capture_output=True, text=True, check=False
    )
    return found.stdout.split()


def test_the_command_line_tells_what_exists(
    cloud: local.EmbeddedCloud, account: Account, server: str
) -> None:
    arguments = ["status", "--name", cloud.name, "--state-dir", str(cloud.state_dir)]
    answer = subprocess.run(
        [sys.executable, "-m", "gantry.local", *arguments], capture_output=True, text=True, check=True
    )
    address = account.instance(server)["PrivateIpAddress"]
    assert f"instance {server} running {address}" in answer.stdout
    assert f"process {cloud.pid}" in answer.stdout
