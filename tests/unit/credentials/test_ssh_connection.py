"""What a connection of the type `ssh` says, in all the shapes that people really give it."""

from __future__ import annotations

import base64
import json
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from airflow.sdk import BaseHook, Connection

from gantry import errors
from gantry.agent import ssh
from gantry.credentials import connection_fields, connections
from gantry.definition import models

ED25519 = asyncssh.generate_private_key("ssh-ed25519")
RSA = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
ECDSA = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
OPENSSH = ED25519.export_private_key().decode()
PKCS1 = RSA.export_private_key("pkcs1-pem").decode()
LEGACY = RSA.export_private_key("pkcs1-pem", "1234", cipher_name="aes128-cbc").decode()
PKCS8 = ECDSA.export_private_key("pkcs8-pem").decode()
SETTINGS = models.Ssh.model_validate({"connection": "bookshop_ssh", "jump_connection": "bastion"})


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ssh.Access]:
    """How servers are reached with connections that hold these extra fields."""

    def connect(extra: object, jump: object | None = None, **own: Any) -> ssh.Access:
        given = {
            "bookshop_ssh": Connection(conn_id="bookshop_ssh", **{"login": "deploy", **own}),
            "bastion": Connection(conn_id="bastion", host="bastion.example.com", login="hop"),
        }
        given["bookshop_ssh"].extra = json.dumps(extra)
        given["bastion"].extra = json.dumps(
            {"private_key": OPENSSH, **jump} if isinstance(jump, dict) else jump
        )
        monkeypatch.setattr(BaseHook, "get_connection", given.__getitem__)
        settings = SETTINGS if jump is not None else SETTINGS.model_copy(update={"jump_connection": None})
        return connections.access(settings)

    return connect


def fingerprint(access: ssh.Access) -> str:
    return str(access.login.key().get_fingerprint())


SHAPES: dict[str, Callable[[str], str]] = {
    "as it is": lambda key: key,
    "backslash and n": lambda key: key.replace("\n", "\\n"),
    "escaped twice": lambda key: key.replace("\n", "\\\\n"),
    "Windows, escaped": lambda key: key.replace("\n", "\\r\\n"),
    "on one line": lambda key: key.replace("\n", " "),
    "without line breaks": lambda key: key.replace("\n", ""),
    "indented": lambda key: textwrap.indent(key, "    "),
    "Windows": lambda key: key.replace("\n", "\r\n"),
    "base64 of the whole": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 in lines": lambda key: base64.encodebytes(key.encode()).decode(),
    "with text around it": lambda key: f"# my key\n{key}\n\n",
}


@pytest.mark.parametrize("key", [OPENSSH, PKCS1, LEGACY, PKCS8], ids=["openssh", "pkcs1", "legacy", "pkcs8"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda each: each.replace(" ", "-"))
def test_a_key_is_what_it_was_whatever_a_form_has_made_of_it(
    connected: Callable[..., ssh.Access], shape: str, key: str
) -> None:
    plain = asyncssh.import_private_key(key, "1234")
    found = connected({"private_key": SHAPES[shape](key), "private_key_passphrase": 1234})
    assert fingerprint(found) == plain.get_fingerprint()


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (RSA.export_private_key("pkcs1-der"), RSA),
        (RSA.export_private_key("pkcs8-der"), RSA),
        (RSA.export_private_key("pkcs8-der", "1234"), RSA),
        (ECDSA.export_private_key("pkcs1-der"), ECDSA),
        (ED25519.export_private_key("pkcs8-der"), ED25519),
        (b"\xef\xbb\xbf" + OPENSSH.encode(), ED25519),
        (OPENSSH.replace("\n", "\r\n").encode("utf-16"), ED25519),
        (b"".join(OPENSSH.encode().split(b"\n")[1:-2]), ED25519),
    ],
    ids=["pkcs1-der", "pkcs8-der", "encrypted-der", "ec-der", "ed25519-der", "utf-8-mark", "utf-16", "bare"],
)
def test_a_key_file_may_be_binary_or_of_windows(
    connected: Callable[..., ssh.Access], tmp_path: Path, content: bytes, key: asyncssh.SSHKey
) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    found = connected({"key_file": str(file), "private_key_passphrase": "1234"})
    assert fingerprint(found) == key.get_fingerprint()


def test_a_passphrase_may_be_one_that_asyncssh_cannot_take_off(
    connected: Callable[..., ssh.Access], tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    plain.write_text(PKCS1)
    scrypt = subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", plain, "-scrypt", "-passout", "pass:1234"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert fingerprint(connected({"private_key": scrypt, "private_key_passphrase": "1234"})) == (
        RSA.get_fingerprint()
    )
    with pytest.raises(ssh.UnusableKeyError, match="private_key_passphrase does not decrypt it"):
        connected({"private_key": scrypt, "private_key_passphrase": "guessed"})


PUTTY = "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: me\nPublic-Lines: 2\nAAAA\n"
LOCKED = ED25519.export_private_key(passphrase="open sesame", rounds=1).decode()


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({"private_key": PUTTY}, "private_key is unusable: it is a key of PuTTY's; convert it: puttygen"),
        ({"private_key": base64.b64encode(PUTTY.encode()).decode()}, "a key of PuTTY's"),
        ({"private_key": "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nAAAA"}, "a key of ssh.com's"),
        ({"private_key": ED25519.export_public_key().decode()}, "it is the public half"),
        ({"private_key": OPENSSH.replace("-----END", "")}, "its last line is missing"),
        ({"private_key": "~/.ssh/id_ed25519"}, "it is a path; a key's file is named in key_file"),
        ({"private_key": "/run/secrets/key"}, "it is a path"),
        ({"private_key": "launcher"}, "ssh-keygen -p -f KEY"),
        ({"private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}, "it cannot be read"),
        ({"private_key": LOCKED}, "it is encrypted, and there is no private_key_passphrase"),
        ({"private_key": LOCKED, "private_key_passphrase": "guess"}, "private_key_passphrase does not decrypt it"),
        ({"private_key": OPENSSH.splitlines()}, "private_key has to be text, and is a list"),
        ({"private_key": OPENSSH, "private_key_passphrase": True}, "passphrase has to be text, and is true or"),
        ({"private_key": OPENSSH, "private_key_passphrase": 1.5}, "passphrase has to be text, and is a number"),
        ({"key_file": "/nonexistent/key"}, "the key file '/nonexistent/key' cannot be read: No such file"),
        ({"key_file": "/"}, "cannot be read: Is a directory"),
        ({"key_file": "a\0b"}, "key_file is not the path"),
        ({"key_file": 7}, "key_file has to be text, and is a number"),
        ({}, "SSH needs a login, and private_key or key_file"),
        ([OPENSSH], "the extra fields have to be a JSON object, and are a list"),
        (json.dumps({"private_key": OPENSSH}), "JSON object, and are text; it was written as JSON twice"),
    ],
)  # fmt: skip
def test_what_cannot_be_mended_is_said_with_the_connection_and_what_to_do(
    connected: Callable[..., ssh.Access], extra: object, told: str
) -> None:
    with pytest.raises(errors.GantryError) as refused:
        connected(extra)
    message = str(refused.value)
    assert message.startswith("Airflow connection 'bookshop_ssh': ")
    assert told in message
    assert not refused.value.transient, "nobody tries that again"
    assert all(line not in message for line in OPENSSH.splitlines()[1:-1])


def test_a_key_file_of_putty_is_named_with_its_field(
    connected: Callable[..., ssh.Access], tmp_path: Path
) -> None:
    (tmp_path / "key.ppk").write_text(PUTTY)
    with pytest.raises(ssh.UnusableKeyError, match="private key in the extra field key_file is unusable"):
        connected({"key_file": str(tmp_path / "key.ppk")})


# --- the jump host's key -------------------------------------------------------------------------------------


def public(key: asyncssh.SSHKey) -> tuple[str, str]:
    kind, body, *_ = key.export_public_key().decode().split()
    return kind, body


@pytest.mark.parametrize("key", [ED25519, RSA, ECDSA], ids=["ed25519", "rsa", "ecdsa"])
@pytest.mark.parametrize(
    "written",
    [
        "{body}",
        "{kind} {body}",
        "{kind} {body} root@bastion",
        "bastion.example.com {kind} {body}",
        "[bastion.example.com]:22 {kind} {body}",
        "bastion.example.com,10.0.0.1 {kind} {body}",
        "|1|c2FsdHNhbHRzYWx0c2FsdHM=|aGFzaGhhc2hoYXNoaGFzaGg= {kind} {body}",
        "# bastion.example.com:22 SSH-2.0-OpenSSH_9.2p1\n  bastion.example.com {kind} {body}\n",
        "rsa-sha2-512 {body}",
    ],
)
def test_a_host_key_may_stand_as_any_tool_prints_it(
    connected: Callable[..., ssh.Access], written: str, key: asyncssh.SSHKey
) -> None:
    kind, body = public(key)
    found = connected({"private_key": OPENSSH}, {"host_key": written.format(kind=kind, body=body)})
    assert found.jump is not None
    assert found.jump.host_key == f"{kind} {body}"


def test_all_that_ssh_keyscan_prints_may_stand_there(connected: Callable[..., ssh.Access]) -> None:
    keys = [public(key) for key in (RSA, ECDSA, ED25519)]
    scanned = "".join(f"# bastion:22 SSH-2.0\nbastion {kind} {body}\n" for kind, body in keys)
    found = connected({"private_key": OPENSSH}, {"host_key": scanned})
    assert found.jump is not None
    assert found.jump.host_key.splitlines() == [f"{kind} {body}" for kind, body in keys]


@pytest.mark.parametrize(
    ("host_key", "told"),
    [
        ("", "a jump host needs its host, and its host_key"),
        ("SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDQq3L0kTzbcOvIBc0", "it is a fingerprint: `ssh-keyscan HOST`"),
        ("MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48", "it is a fingerprint"),
        ("bastion.example.com", "it is not a public host key"),
        ("ssh-ed25519 AAAA", "it is not a public host key"),
        (f"@cert-authority * {' '.join(public(ED25519))}", "certificate authorities"),
        (f"ssh-ed25519 {public(ED25519)[1][:48]}", "is damaged"),
        (OPENSSH, "it is a private key"),
        (["ssh-ed25519"], "host_key has to be text, and is a list"),
    ],
    ids=["empty", "sha256", "md5", "name", "short", "authority", "damaged", "private", "list"],
)
def test_what_is_no_host_key_is_said_before_anybody_is_asked(
    connected: Callable[..., ssh.Access], host_key: object, told: str
) -> None:
    with pytest.raises(connection_fields.ConnectionFactError, match="'bastion'") as refused:
        connected({"private_key": OPENSSH}, {"host_key": host_key})
    assert told in str(refused.value)
    assert OPENSSH.splitlines()[1] not in str(refused.value)
