"""A definition's own user data is carried out by a real cloud-init, and cannot lock Gantry out."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from typing import Any

import asyncssh
import pytest
import yaml

from gantry import inventory
from gantry.cloud import instance_start
from gantry.cloud import servers as cloud_servers
from gantry.definition import models

from .conftest import WEB, Shop

pytestmark = pytest.mark.docker

SCRIPT = """\
#!/bin/sh -e
id deploy > /root/account-at-script-time
echo 'grüß Gott' > /root/from-script
"""

CONFIG = """\
#cloud-config
write_files:
  - {path: /root/from-config, content: "of the definition"}
runcmd: [touch /root/ran]
"""

HOSTILE = """\
#cloud-config
merge_how: list(prepend)+dict(no_replace,recurse_list)+str(append)
users:
  - name: deploy
    ssh_authorized_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEVILEVILEVILEVILEVILEVILEVILEVILEVILEVILEVI]
  - {name: intruder, sudo: "ALL=(ALL) NOPASSWD:ALL"}
disable_root: false
ssh_pwauth: true
ssh_deletekeys: false
ssh_genkeytypes: [rsa]
ssh: {emit_keys_to_console: false}
write_files:
  - {path: /root/from-config, content: "of the definition"}
"""


@dataclasses.dataclass
class Booted:
    """A server that was booted with a definition's own user data, and a way in with Gantry's key."""

    shop: Shop
    own: str
    key: asyncssh.SSHKey = dataclasses.field(
        default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519")
    )

    def definition(self) -> models.Definition:
        """The shop's, with the user data put in past the checks: some of it would be refused."""
        plain = self.shop.definition()
        launch = plain.launch_configurations["debian"].model_copy(update={"user_data": self.own.strip()})
        return plain.model_copy(update={"launch_configurations": {"debian": launch}})

    def boot(self) -> inventory.Server:
        cloud = cloud_servers.Servers(self.shop.client(), self.definition(), logging.getLogger("gantry"))
        key = self.key.export_public_key().decode().strip()
        (server,) = cloud.scale_up(WEB, 1, key, "deploy", instance_start.StartOrder("run-1")).servers
        self.shop.await_listed([server.instance_id])
        deadline = time.monotonic() + 120
        while (host_key := cloud.console_host_key(server)) is None:
            assert time.monotonic() < deadline, self.console(server)
            time.sleep(0.1)
        cloud.pin_host_key(server, host_key)
        (found,) = cloud.find().servers
        return found

    def console(self, server: inventory.Server) -> str:
        answer = self.shop.client().get_console_output(InstanceId=server.instance_id, Latest=True)
        return answer.get("Output", "")

    def run(self, server: inventory.Server, command: str, user: str = "deploy") -> str:
        """What a command prints. The server must have the host key that was on its console."""

        async def once() -> str:
            assert server.host_key is not None
            async with asyncssh.connect(
                str(server.ssh_address),
                username=user,
                client_keys=[self.key],
                known_hosts=([asyncssh.import_public_key(server.host_key)], [], []),
                config=[],
            ) as connection:
                answer: Any = await connection.run(command, check=True)
                return str(answer.stdout)

        deadline = time.monotonic() + 120
        while True:
            try:
                return asyncio.run(once())
            except (ConnectionRefusedError, asyncssh.ConnectionLost):
                assert time.monotonic() < deadline, "sshd does not answer"
                time.sleep(0.1)

    def cloud_config(self, server: inventory.Server) -> Any:
        """What cloud-init has made of all parts, and their number."""
        return self.run(server, "sudo cat /var/lib/cloud/instance/cloud-config.txt")


def test_a_script_runs_at_the_end_of_the_boot_when_the_account_is_there(booting: Shop) -> None:
    booted = Booted(booting, SCRIPT)
    server = booted.boot()
    # cloud-init prints the host key after it has run scripts, so the server was greeted when this one had ended.
    assert "uid=" in booted.run(server, "sudo cat /root/account-at-script-time")
    assert booted.run(server, "sudo cat /root/from-script").strip() == "grüß Gott"
    assert booted.run(server, "sudo id -u").strip() == "0"


def test_a_cloud_config_is_merged_with_ours_which_comes_last(booting: Shop) -> None:
    booted = Booted(booting, CONFIG)
    server = booted.boot()
    assert booted.run(server, "sudo cat /root/from-config") == "of the definition"
    booted.run(server, "sudo test -e /root/ran")
    text = booted.cloud_config(server)
    assert "# part-001\n# part-002\n" in text
    merged = yaml.safe_load(text)
    assert merged["runcmd"] == ["touch /root/ran"]
    assert [each["name"] for each in merged["users"]] == ["deploy"]


def test_a_part_that_reaches_for_accounts_and_keys_changes_nothing_about_the_way_in(booting: Shop) -> None:
    booted = Booted(booting, HOSTILE)
    server = booted.boot()
    assert booted.run(server, "sudo cat /root/from-config") == "of the definition"
    merged = yaml.safe_load(booted.cloud_config(server))
    (user,) = merged["users"]
    assert (user["name"], user["ssh_authorized_keys"]) == (
        "deploy",
        [booted.key.export_public_key().decode().strip()],
    )
    assert (merged["ssh_pwauth"], merged["disable_root"], merged["ssh_genkeytypes"]) == (
        False,
        True,
        ["ed25519"],
    )
    assert "intruder" not in booted.run(server, "cat /etc/passwd")
    assert booted.run(server, "ls /etc/ssh/ssh_host_*_key").split() == ["/etc/ssh/ssh_host_ed25519_key"]
    assert "EVIL" not in booted.run(server, "cat ~/.ssh/authorized_keys")
    with pytest.raises(ValueError, match="decided by Gantry"):
        models.LaunchConfiguration.model_validate(
            {"image": "ami-1", "ssh": {"connection": "c"}, "user_data": HOSTILE}
        )
