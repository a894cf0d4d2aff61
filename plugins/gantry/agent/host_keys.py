"""Public host keys, as in the output of `ssh-keyscan`, `known_hosts` and `.pub` files: each as `KIND BASE64`."""

from __future__ import annotations

import base64
import binascii
import re

from gantry import errors

_KIND = re.compile(rb"[a-z][a-z0-9@.-]{3,63}")
_LENGTH = 4
_FINGERPRINT = re.compile(r"(SHA256:\S+|(MD5:)?([0-9a-fA-F]{2}:){15}[0-9a-fA-F]{2})$")


class HostKeyFormatError(errors.GantryError):
    """Not a valid host key. `reason` does not quote it: it may be another field's secret."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def usable(text: str) -> str:
    """Parse host keys from a field; return one per line.

    The kind is read from the key itself; a kind before it and a comment after it are optional.

    Raises:
        HostKeyFormatError: it is not a public host key.
    """
    lines = [line.strip() for line in text.replace("\\n", "\n").splitlines()]
    found = [_line(line) for line in lines if line and not line.startswith("#")]
    if not found:
        raise HostKeyFormatError("it is empty")
    return "\n".join(dict.fromkeys(found))


def _line(line: str) -> str:
    if "PRIVATE KEY" in line:
        raise HostKeyFormatError("it is a private key; give the host's public key")
    if line.startswith("@"):
        raise HostKeyFormatError(
            "certificate authorities and revoked keys are not supported: give the host's own key"
        )
    for word in line.split():
        if (kind := _kind(word)) is not None:
            _import(f"{kind} {word}")
            return f"{kind} {word}"
    if any(_FINGERPRINT.match(word) for word in line.split()):
        raise HostKeyFormatError("it is a fingerprint: `ssh-keyscan HOST` prints the whole key")
    raise HostKeyFormatError("it is not a public host key, such as the line that `ssh-keyscan HOST` prints")


def _kind(word: str) -> str | None:
    """Return the kind at the beginning of a base64 key; None if it is not a key."""
    try:
        content = base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        return None
    length = int.from_bytes(content[:_LENGTH], "big")
    kind = content[_LENGTH : _LENGTH + length]
    return kind.decode() if len(kind) == length and _KIND.fullmatch(kind) else None


def _import(line: str) -> None:
    """Raise HostKeyFormatError unless the line is a key."""
    import asyncssh  # noqa: PLC0415 - see `gantry.agent.ssh`

    try:
        asyncssh.import_public_key(line)
    except (asyncssh.KeyImportError, ValueError):
        kind = line.partition(" ")[0]
        raise HostKeyFormatError(
            f"the key of the kind {kind} in it is damaged, or of a kind that is not known"
        ) from None
