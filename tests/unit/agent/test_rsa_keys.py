"""RSA keys are checked by what they sign, and not by a search for factors of their primes, in every task."""

from __future__ import annotations

import asyncssh
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from gantry.agent import private_keys, rsa_keys, tls
from gantry.configuration_management import chef_server
from tests import certificates


def pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.fixture(scope="module")
def numbers() -> rsa.RSAPrivateNumbers:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_numbers()


def put_together(numbers: rsa.RSAPrivateNumbers, d: int, dmp1: int, dmq1: int) -> str:
    """The same key with other exponents."""
    found = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, d, dmp1, dmq1, numbers.iqmp, numbers.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    return pem(found)


@pytest.fixture(scope="module")
def damaged(numbers: rsa.RSAPrivateNumbers) -> str:
    """A key that can be read, and signs what nobody can verify."""
    return put_together(numbers, numbers.d + 2, numbers.dmp1 + 2, numbers.dmq1 + 2)


def test_a_sound_key_of_any_kind_is_loaded(numbers: rsa.RSAPrivateNumbers) -> None:
    for key in (numbers.private_key(), ed25519.Ed25519PrivateKey.generate()):
        assert rsa_keys.load_pem(pem(key)).public_key() == key.public_key()
        public = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        assert rsa_keys.import_ssh(pem(key)).export_public_key().strip() == public


def test_the_long_check_is_left_out(numbers: rsa.RSAPrivateNumbers) -> None:
    # It signs by the other numbers; only the long check sees that this one is wrong.
    text = put_together(numbers, numbers.d + 2, numbers.dmp1, numbers.dmq1)
    with pytest.raises(ValueError, match="Invalid private key"):
        serialization.load_pem_private_key(text.encode(), None)

    rsa_keys.load_pem(text)
    rsa_keys.import_ssh(text)


def test_a_damaged_key_is_refused_by_all_who_load_keys(damaged: str) -> None:
    with pytest.raises(ValueError, match="do not belong together"):
        rsa_keys.load_pem(damaged)
    with pytest.raises(ValueError, match="do not belong together"):
        rsa_keys.import_ssh(damaged)
    with pytest.raises(private_keys.PrivateKeyFormatError, match="it cannot be read: it is damaged"):
        private_keys.loaded(damaged, None)
    with pytest.raises(chef_server.UnusableChefKeyError, match="it cannot be read"):
        chef_server.usable_key(damaged)
    found = certificates.sign("shop.example.com")
    with pytest.raises(tls.UnusableCertificateError, match="the private key cannot be read"):
        tls.usable(damaged, found.pem, "")


def test_an_encrypted_key_that_is_damaged_is_refused(damaged: str) -> None:
    key = serialization.load_pem_private_key(damaged.encode(), None, unsafe_skip_rsa_key_validation=True)
    for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.OpenSSH):
        text = key.private_bytes(
            serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"open sesame")
        ).decode()
        with pytest.raises(private_keys.PrivateKeyFormatError, match="it is damaged"):
            private_keys.loaded(text, "open sesame")
        with pytest.raises(private_keys.PrivateKeyFormatError, match="does not decrypt it"):
            private_keys.loaded(text, "open barley")


def test_what_a_loaded_key_signs_is_accepted(numbers: rsa.RSAPrivateNumbers) -> None:
    key = private_keys.loaded(pem(numbers.private_key()), None)

    signature = key.sign(b"hello", b"rsa-sha2-512")

    assert asyncssh.import_public_key(key.export_public_key()).verify(b"hello", signature)
