"""RSA private keys that are checked by signing with them.

When cryptography or asyncssh loads an RSA key, it first checks that its factors are prime: 0.06 s of CPU time for
2,048 bits, 0.4 s for 4,096. Each task loads its keys again, so a launch would spend seconds on that. A key whose
signature its own public half verifies can do what it is needed for here, and signing takes a fiftieth of the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncssh
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_SAMPLE = b"gantry"
_SSH_SIGNATURE = b"rsa-sha2-256"


def load_pem(text: str, passphrase: str | None = None) -> PrivateKeyTypes:
    """Load a private key in PEM, of any kind.

    Raises:
        ValueError, TypeError, UnsupportedAlgorithm: as cryptography; ValueError also if what an RSA key signs is not
            verified by its public half.
    """
    from cryptography import exceptions  # noqa: PLC0415 - every task start imports this module
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415 - as above

    key = serialization.load_pem_private_key(
        text.encode(),
        None if passphrase is None else passphrase.encode(),
        unsafe_skip_rsa_key_validation=True,
    )
    if isinstance(key, rsa.RSAPrivateKey):
        scheme = padding.PKCS1v15(), hashes.SHA256()
        try:
            key.public_key().verify(key.sign(_SAMPLE, *scheme), _SAMPLE, *scheme)
        except exceptions.InvalidSignature:
            raise ValueError("the parts of the key do not belong together") from None
    return key


def import_ssh(text: str | bytes, passphrase: str | None = None) -> asyncssh.SSHKey:
    """Import a private key in a form that asyncssh knows, of any kind.

    Raises:
        ValueError: as asyncssh; also if what an RSA key signs is not verified by its public half.
    """
    import asyncssh  # noqa: PLC0415 - every task start imports this module

    key = asyncssh.import_private_key(text, passphrase, unsafe_skip_rsa_key_validation=True)
    if key.algorithm == b"ssh-rsa":
        signature = key.sign(_SAMPLE, _SSH_SIGNATURE)
        if not key.convert_to_public().verify(_SAMPLE, signature):
            raise ValueError("the parts of the key do not belong together")
    return key
