"""User data of a new server: cloud-init's cloud-config, with a definition's own part before it."""

from __future__ import annotations

import base64
import hashlib
import re

import yaml

_BLOCK = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
_ED25519 = re.compile(r"\bssh-ed25519 [A-Za-z0-9+/]{68}={0,2}")


def cloud_config(user: str, authorized_key: str) -> str:
    """Return user data that gives `user` access with one key, and no password logins.

    It contains no private host key: a batch of servers shares its user data, and any process on a server may read it,
    so an attacker on one server could impersonate its neighbours. Each server generates its own host key and prints
    the public half on its console, which only the cloud's API shows.
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
        # cloud-init's own default, stated explicitly: whole values of this part replace those of the one before it.
        "merge_how": "dict(replace)+list()+str()",
    }
    return f"#cloud-config\n{yaml.safe_dump(config, sort_keys=True)}"


def first_boot(user: str, authorized_key: str, own: str | None) -> str:
    """Combine a definition's own part and Gantry's to user data.

    Gantry's comes last: cloud-init's later part wins in conflicts, and access is decided here. (The definition check
    already rejects such keys; this is the second safeguard.) The same parts give the same text, since EC2 refuses a
    repeated call whose parameters differ.
    """
    ours = cloud_config(user, authorized_key)
    if own is None:
        return ours
    kind = "x-shellscript" if own.startswith("#!") else "cloud-config"
    parts = [_part(kind, f"{own}\n"), _part("cloud-config", ours)]
    # A text cannot contain its own digest.
    boundary = hashlib.sha256("".join(parts).encode()).hexdigest()
    body = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return (
        f'Content-Type: multipart/mixed; boundary="{boundary}"\nMIME-Version: 1.0\n\n{body}--{boundary}--\n'
    )


def _part(kind: str, text: str) -> str:
    """Format one part of a MIME message. Non-ASCII characters are encoded: cloud-init reads the envelope as text."""
    head = f'Content-Type: text/{kind}; charset="utf-8"\nMIME-Version: 1.0\n'
    if text.isascii():
        return f"{head}Content-Transfer-Encoding: 7bit\n\n{text}"
    return f"{head}Content-Transfer-Encoding: base64\n\n{base64.encodebytes(text.encode()).decode()}"


def host_key_on_console(console: str) -> str | None:
    """Return the public host key that cloud-init printed at the first boot, or None if it is not there yet.

    Later blocks are ignored: by then, something else may have printed them.
    """
    block = _BLOCK.search(console)
    key = _ED25519.search(block[1]) if block else None
    return key[0] if key else None
