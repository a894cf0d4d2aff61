"""What a new server is told at its first boot, as cloud-init's cloud-config."""

from __future__ import annotations

import re

import yaml

_BLOCK = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
_ED25519 = re.compile(r"\bssh-ed25519 [A-Za-z0-9+/]{68}={0,2}")


def cloud_config(user: str, authorized_key: str) -> str:
    """User data that lets `user` in with one key, and nobody with a password.

    No private host key travels in it: a batch of servers shares its user data, and any process on a server
    may read it, so whoever owned one server could pose as its neighbours. Each server makes its own host key
    and prints the public half on its console, where only the cloud's API shows it.
    """
    as_root = user == "root"
    account = {
        "name": user,
        "ssh_authorized_keys": [authorized_key],
        **({} if as_root else {"sudo": "ALL=(ALL) NOPASSWD:ALL", "shell": "/bin/bash", "lock_passwd": True}),
    }
    config = {
        "users": [account],
        "disable_root": not as_root,
        "ssh_pwauth": False,
        "ssh_deletekeys": True,
        "ssh_genkeytypes": ["ed25519"],
        "ssh": {"emit_keys_to_console": True},
    }
    return f"#cloud-config\n{yaml.safe_dump(config, sort_keys=True)}"


def host_key_on_console(console: str) -> str | None:
    """The public host key that cloud-init printed at the first boot, or None if it is not there yet.

    Later blocks are ignored: what prints them has had time to be somebody else.
    """
    block = _BLOCK.search(console)
    key = _ED25519.search(block[1]) if block else None
    return key[0] if key else None
