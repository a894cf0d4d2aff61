"""TLS material: a private key, its certificate, and the chain up to a trusted one.

cryptography is imported where it is used: operators import this module, and every task start imports operators.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gantry import errors
from gantry.agent import pem, rsa_keys, session

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes


class UnusableCertificateError(errors.GantryError):
    """Key, certificate and chain that cannot be used together, or not now. `reason` contains nothing of the key."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclasses.dataclass(frozen=True)
class Certificate:
    """A certificate with its private key, each as PEM.

    Attributes:
        chain: the certificates that follow it, or an empty string.
        names: the host names that it is valid for.
        issuer: the issuer, in words.
        begins, ends: its period of validity.
    """

    certificate: str
    chain: str
    key: str = dataclasses.field(repr=False)
    names: tuple[str, ...]
    issuer: str
    begins: datetime.datetime
    ends: datetime.datetime

    @property
    def digest(self) -> str:
        """Return a digest of the certificate (hexadecimal). The key is not included: it has to match."""
        return hashlib.sha256(f"{self.certificate}{self.chain}".encode()).hexdigest()

    def files(self, path: str) -> tuple[session.RemoteFile, ...]:
        """Return certificate, key and chain (if any) as files for a script. `path` is their common beginning."""
        parts = (("crt", self.certificate), ("key", self.key), ("chain", self.chain))
        return tuple(session.RemoteFile(f"{path}.{end}", text.encode()) for end, text in parts if text)


def usable(key: str, certificate: str, chain: str) -> Certificate:
    """Parse a certificate from the fields of a connection.

    Args:
        key: PEM, without a passphrase.
        certificate: PEM; certificates after the first one belong to the chain.
        chain: PEM, or an empty string. The issuer of each certificate comes after it.

    Raises:
        UnusableCertificateError: one of them cannot be parsed, or they do not belong together.
    """
    texts = pem.certificates(certificate)
    if not texts:
        raise UnusableCertificateError("no certificate: it does not begin with -----BEGIN CERTIFICATE-----")
    more = pem.certificates(chain)
    if chain.strip() and not more:
        raise UnusableCertificateError("the chain contains no certificate in PEM")
    texts += more
    found = [_read(text) for text in texts]
    mended = pem.key(key)
    if _public_part(mended) != _public_bytes(found[0].public_key()):
        raise UnusableCertificateError("the private key does not belong to the certificate")
    _follow(found)
    return Certificate(
        certificate=texts[0],
        chain="".join(texts[1:]),
        key=mended,
        names=_names(found[0]),
        issuer=found[0].issuer.rfc4514_string(),
        begins=found[0].not_valid_before_utc,
        ends=found[0].not_valid_after_utc,
    )


def valid(found: Certificate, now: datetime.datetime) -> None:
    """Raise UnusableCertificateError unless a certificate is valid at that time."""
    if now >= found.ends:
        raise UnusableCertificateError(f"the certificate has expired on {found.ends:%Y-%m-%d}: renew it")
    if now < found.begins:
        raise UnusableCertificateError(
            f"the certificate is not valid before {found.begins:%Y-%m-%d %H:%M} UTC"
        )


def _read(text: str) -> x509.Certificate:
    from cryptography import x509 as certificates  # noqa: PLC0415 - see the head of this module

    try:
        return certificates.load_pem_x509_certificate(text.encode())
    except ValueError as error:
        raise UnusableCertificateError(f"a certificate cannot be read: {error}") from None


def _public_part(key: str) -> bytes:
    from cryptography import exceptions  # noqa: PLC0415 - see the head of this module

    if not key:
        raise UnusableCertificateError("no private key: it does not begin with -----BEGIN … PRIVATE KEY-----")
    try:
        return _public_bytes(rsa_keys.load_pem(key).public_key())
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm):
        # Without the library's own message, which could contain a part of the key.
        raise UnusableCertificateError("the private key cannot be read, or it has a passphrase") from None


def _public_bytes(key: PublicKeyTypes) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - see the head of this module

    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _follow(found: Sequence[x509.Certificate]) -> None:
    """Raise UnusableCertificateError unless each certificate is signed by the one after it."""
    from cryptography import exceptions  # noqa: PLC0415 - see the head of this module

    for one, issuer in itertools.pairwise(found):
        try:
            one.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, exceptions.InvalidSignature):
            raise UnusableCertificateError(
                f"the chain is not in order: {one.subject.rfc4514_string()!r} is signed by "
                f"{one.issuer.rfc4514_string()!r}, and after it comes {issuer.subject.rfc4514_string()!r}"
            ) from None


def _names(found: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509 as certificates  # noqa: PLC0415 - see the head of this module

    try:
        extension = found.extensions.get_extension_for_class(certificates.SubjectAlternativeName)
    except certificates.ExtensionNotFound:
        common = found.subject.get_attributes_for_oid(certificates.NameOID.COMMON_NAME)
        return tuple(str(each.value) for each in common)
    return tuple(extension.value.get_values_for_type(certificates.DNSName))
