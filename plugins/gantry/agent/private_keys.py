"""SSH private keys, in all formats that occur in practice.

cryptography and asyncssh are imported where they are used: operators import this module, and every task start imports
operators.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from gantry import errors
from gantry.agent import pem, rsa_keys

if TYPE_CHECKING:
    import asyncssh

_OPENSSH = b"openssh-key-v1\0"
_SEQUENCE = 0x30
_BYTE_ORDER_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))
"""Byte order marks of PowerShell and Windows editors."""

_OTHERS = (
    (
        r"PuTTY-User-Key-File-",
        "it is a key of PuTTY's; convert it: puttygen KEY.ppk -O private-openssh -o KEY",
    ),
    (
        r"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY",
        "it is a key of ssh.com's; convert it: puttygen KEY -O private-openssh -o NEW",
    ),
    (
        r"SSH PRIVATE KEY FILE FORMAT 1\.1",
        "it is a key of SSH's version 1; make another one: ssh-keygen -t ed25519",
    ),
    (
        r"(ssh-|ecdsa-|sk-)\S+ AAAA|-----BEGIN ([A-Z]+ )?PUBLIC KEY|---- BEGIN SSH2 PUBLIC KEY",
        "it is the public half; the private one is in the file without .pub",
    ),
    (r"-----BEGIN CERTIFICATE-----", "it is a certificate"),
    (r"-----BEGIN PGP ", "it is a key of PGP's"),
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----", "its last line is missing: -----END … PRIVATE KEY-----"),
    (r"(~|\.{0,2}/|[A-Za-z]:\\|file:)[^\n]{0,255}$", "it is a path; a key's file is named in key_file"),
)
"""Other formats: how they begin, and what to do."""

_PKCS12 = "it is PKCS#12 (.p12, .pfx); convert it: openssl pkcs12 -in KEY.p12 -nocerts -nodes -out KEY"
_NONE = (
    "it is not a private key: it begins neither with -----BEGIN … PRIVATE KEY----- nor as DER does; "
    "ssh-keygen -p -f KEY rewrites a key in OpenSSH's form"
)
_UNKNOWN = "it cannot be read: it is damaged, or of a kind that SSH does not have; try ssh-keygen -y -f KEY"


class PrivateKeyFormatError(errors.GantryError):
    """A private key that cannot be used. `reason` contains nothing of the key."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def text_of(content: str | bytes) -> str:
    """Return a private key in PEM or OpenSSH format, from the content of a field or a file.

    Repairs line breaks that were lost or written as a backslash and an n, indentation, base64 around the whole, DER,
    and the byte order marks of Windows.

    Raises:
        PrivateKeyFormatError: it is something else.
    """
    content = _decoded(content) if isinstance(content, bytes) else content
    if isinstance(content, bytes):
        return _armoured(content)
    if found := pem.key(content):
        return found
    for beginning, reason in _OTHERS:
        if re.match(beginning, content.strip()):
            raise PrivateKeyFormatError(reason)
    inner = _unpacked(content)
    if inner is None:
        raise PrivateKeyFormatError(_NONE)
    return text_of(inner)


def loaded(text: str, passphrase: str | None) -> asyncssh.SSHKey:
    """Load the key in a text.

    Raises:
        PrivateKeyFormatError: it cannot be read, or the passphrase is wrong or missing.
    """
    import asyncssh  # noqa: PLC0415 - see the head of this module

    try:
        return rsa_keys.import_ssh(text, passphrase)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError, TypeError) as error:
        said = str(error)
    if "must be specified" in said:
        raise PrivateKeyFormatError("it is encrypted, and there is no private_key_passphrase")
    if "decrypt" not in said and "passphrase" not in said:
        raise PrivateKeyFormatError(_UNKNOWN)
    if passphrase is not None and (plain := _decrypted(text, passphrase)) is not None:
        try:
            return rsa_keys.import_ssh(plain)
        except (asyncssh.KeyImportError, ValueError):
            raise PrivateKeyFormatError(_UNKNOWN) from None
    raise PrivateKeyFormatError("private_key_passphrase does not decrypt it")


def _decrypted(text: str, passphrase: str) -> bytes | None:
    """Decrypt a PEM key that asyncssh cannot (scrypt, say); None if the passphrase is wrong."""
    from cryptography import exceptions  # noqa: PLC0415 - see the head of this module
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - see the head of this module

    try:
        key = rsa_keys.load_pem(text, passphrase)
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm):
        return None
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _decoded(content: bytes) -> str | bytes:
    """Decode bytes as text if possible; else return them unchanged."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            try:
                return content.decode(encoding)
            except UnicodeDecodeError:
                return content
    if content[:1] == bytes((_SEQUENCE,)) or content.startswith(_OPENSSH):
        # A text may begin with the digit that stands for a sequence; DER is not valid base64.
        return content if _unpacked(content.decode("latin-1")) is None else content.decode()
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _unpacked(text: str) -> bytes | None:
    """Decode a text if it consists entirely of base64."""
    packed = "".join(text.split()).replace("\\n", "")
    if not packed:
        return None
    try:
        return base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        return None


def _armoured(content: bytes) -> str:
    """Convert a binary key to PEM."""
    if content.startswith(_OPENSSH):
        return _pem("OPENSSH PRIVATE KEY", content)
    from asyncssh import asn1  # noqa: PLC0415 - see the head of this module

    try:
        found = asn1.der_decode(content)
    except (asn1.ASN1DecodeError, ValueError, IndexError):
        raise PrivateKeyFormatError(_NONE) from None
    match found:
        case (3, tuple(), *_):
            raise PrivateKeyFormatError(_PKCS12)
        case (tuple(), bytes()):
            return _pem("ENCRYPTED PRIVATE KEY", content)
        case (int(), tuple(), bytes(), *_):
            return _pem("PRIVATE KEY", content)
        case (int(), bytes(), *_):
            return _pem("EC PRIVATE KEY", content)
        case (int(), int(), int(), int(), int(), int()):
            return _pem("DSA PRIVATE KEY", content)
        case (int(), int(), int(), *_):
            return _pem("RSA PRIVATE KEY", content)
    raise PrivateKeyFormatError(_NONE)


def _pem(kind: str, content: bytes) -> str:
    packed = base64.b64encode(content).decode()
    return pem.key(f"-----BEGIN {kind}-----\n{packed}\n-----END {kind}-----\n")
