"""Client of a Chef server's API: signed requests, with or without an organization in the URL.

Uses signing protocol 1.3 (RSA, SHA-256), supported by Chef Infra Server since 12.4 and by goiardi. httpx and
cryptography are imported where they are used: operators import this module, and every task start imports operators.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import functools
import hashlib
import json
import re
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from gantry import errors
from gantry.agent import pem, rsa_keys

if TYPE_CHECKING:
    import httpx
    from cryptography.hazmat.primitives.asymmetric import rsa

TIMEOUT = 20.0
"""Seconds for one request."""

_OK = 200
_SERVER_ERROR = 500
_NOT_FOUND = 404
_REFUSALS = (401, 403)
_UNKNOWN_ISSUER = re.compile("self-signed|unable to get (local )?issuer|unable to verify", re.IGNORECASE)


class UnusableChefKeyError(errors.GantryError):
    """A client's private key is not valid."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"no usable private key: {reason}; a Chef client's key is an RSA key in PEM")


class UnusableChefCertificateError(errors.GantryError):
    """A certificate to trust is not valid."""

    def __init__(self) -> None:
        super().__init__("no certificate: it does not begin with -----BEGIN CERTIFICATE-----")


class ChefServerError(errors.GantryError):
    """A Chef server's answer is unusable. `status` is the HTTP status."""

    def __init__(self, what: str, status: int, said: str) -> None:
        self.status = status
        self.transient = status >= _SERVER_ERROR
        super().__init__(f"{what}: the Chef server answered {status}: {said or '(nothing)'}")


class ChefServerRefusedError(errors.GantryError):
    """A Chef server rejects the login or the request. `by_clock`: because this machine's clock is wrong."""

    def __init__(self, what: str, actor: str, status: int, said: str) -> None:
        self.actor = actor
        self.status = status
        self.by_clock = "clock" in said or "imestamp" in said
        advice = (
            "The clocks of this machine and of the Chef server differ too much."
            if self.by_clock
            else "Check name and key of this client or user in the connection."
            if status == _REFUSALS[0]
            else "Its key is correct; check its permissions."
        )
        super().__init__(
            f"{what}: the Chef server refuses {actor!r} ({status}: {said or 'nothing said'})\n{advice}"
        )


class ChefServerUnreachableError(errors.GantryError):
    """A Chef server does not answer, or its certificate is not trusted (`untrusted`)."""

    def __init__(self, what: str, reason: str, *, untrusted: bool) -> None:
        self.reason = reason
        self.untrusted = untrusted
        self.transient = not untrusted
        advice = "Check the URL in the connection, and the network path to it."
        if untrusted and _UNKNOWN_ISSUER.search(reason):
            advice = "Put the Chef server's certificate into the connection's field trusted_certificate."
        elif untrusted:
            advice = (
                "Fix the certificate on the Chef server, or the URL or trusted_certificate in the connection."
            )
        super().__init__(f"{what}: no answer from the Chef server: {reason}\n{advice}")


@dataclasses.dataclass(frozen=True)
class Actor:
    """A client or user of a Chef server."""

    name: str
    private_key: str = dataclasses.field(repr=False)

    @functools.cached_property
    def key(self) -> rsa.RSAPrivateKey:
        """Return the key, ready to sign. Raises UnusableChefKeyError."""
        return _loaded(self.private_key)


class ChefServer:
    """A Chef server, accessed as one actor.

    Args:
        url: its root, or `…/organizations/NAME`.
        actor: the signer of the requests.
        certificate: PEM, trusted in addition to the machine's own; for a server with its own certificate.
        timeout: seconds for one request.
    """

    def __init__(
        self, url: str, actor: Actor, certificate: str | None = None, timeout: float = TIMEOUT
    ) -> None:
        self.url = url.rstrip("/")
        self.actor = actor
        self._certificate = certificate
        self._timeout = timeout

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Read `path` (such as `/nodes/x`)."""
        return self._json("GET", path)

    def post(self, path: str, body: Any) -> Any:  # noqa: ANN401 - JSON
        """Create an object."""
        return self._json("POST", path, body)

    def put(self, path: str, body: Any) -> Any:  # noqa: ANN401 - JSON
        """Replace an object."""
        return self._json("PUT", path, body)

    def delete(self, path: str) -> bool:
        """Remove an object; return whether it existed."""
        try:
            self._json("DELETE", path)
        except ChefServerError as error:
            if error.status == _NOT_FOUND:
                return False
            raise
        return True

    def put_file(self, url: str, content: bytes) -> None:
        """Upload the content of a file to the URL that the server returned for it."""
        checksum = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        headers = {"Content-Type": "application/x-binary", "Content-MD5": checksum}
        self._checked(f"PUT {url}", self._send("PUT", url, content, headers))

    def nodes(self) -> frozenset[str]:
        """Return the names of all nodes."""
        return self._names("/nodes")

    def clients(self) -> frozenset[str]:
        """Return the names of all clients."""
        return self._names("/clients")

    def node(self, name: str) -> Any:  # noqa: ANN401 - JSON
        """Return a node; None if it does not exist."""
        try:
            return self.get(f"/nodes/{quote(name, safe='')}")
        except ChefServerError as error:
            if error.status != _NOT_FOUND:
                raise
            return None

    def delete_node(self, name: str) -> bool:
        """Remove a node; return whether it existed."""
        return self.delete(f"/nodes/{quote(name, safe='')}")

    def delete_client(self, name: str) -> bool:
        """Remove a client; return whether it existed."""
        return self.delete(f"/clients/{quote(name, safe='')}")

    def check(self) -> None:
        """Check that the server knows the actor and accepts its key.

        Raises:
            ChefServerRefusedError, ChefServerUnreachableError, ChefServerError, UnusableChefKeyError: it does not.
        """
        try:
            try:
                self.get(f"/clients/{quote(self.actor.name, safe='')}")
            except ChefServerError as error:
                if error.status != _NOT_FOUND:
                    raise
                # A user is not a client; and no client is found either if the organization does not exist.
                self.nodes()
        except ChefServerRefusedError as error:
            # A validation client may read little; an authorization error proves that its key is right.
            if error.status == _REFUSALS[0]:
                raise

    def _names(self, path: str) -> frozenset[str]:
        """Return the names in an index, which is an object of names and URLs."""
        found = self.get(path)
        if not isinstance(found, dict):
            raise ChefServerError(f"GET {self.url}{path}", _OK, "a list of names was expected; check the URL")
        return frozenset(found)

    def _json(self, method: str, path: str, body: Any = None) -> Any:  # noqa: ANN401 - JSON
        content = b"" if body is None else json.dumps(body).encode()
        what = f"{method} {self.url}{path}"
        answer = self._send(method, f"{self.url}{path}", content, {"Content-Type": "application/json"})
        self._checked(what, answer)
        try:
            return answer.json()
        except ValueError:
            # goiardi answers unknown paths with an empty body, and 200.
            raise ChefServerError(what, answer.status_code, "no JSON; check the URL") from None

    def _send(self, method: str, url: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
        import httpx  # noqa: PLC0415 - see the head of this module

        try:
            with httpx.Client(verify=self._trust, timeout=self._timeout) as client:
                return client.request(
                    method, url, content=content, headers=headers | self._signed(method, url, content)
                )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            untrusted = "CERTIFICATE_VERIFY_FAILED" in reason
            raise ChefServerUnreachableError(f"{method} {url}", reason, untrusted=untrusted) from error

    @functools.cached_property
    def _trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._certificate:
            try:
                context.load_verify_locations(cadata="".join(pem.certificates(self._certificate)))
            except (ssl.SSLError, ValueError) as error:
                reason = f"the certificate to trust is not a PEM certificate ({error})"
                raise ChefServerUnreachableError(self.url, reason, untrusted=True) from error
        return context

    def _checked(self, what: str, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        said = _said(answer)
        if answer.status_code in _REFUSALS:
            raise ChefServerRefusedError(what, self.actor.name, answer.status_code, said)
        raise ChefServerError(what, answer.status_code, said)

    def _signed(self, method: str, url: str, content: bytes) -> dict[str, str]:
        """Return the headers of the signing protocol, version 1.3. The query is not signed."""
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - see the head of this module
        from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415

        stamp = datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        canonical = "\n".join(
            (
                f"Method:{method}",
                f"Path:{re.sub('/+', '/', urlsplit(url).path) or '/'}",
                f"X-Ops-Content-Hash:{digest}",
                "X-Ops-Sign:version=1.3",
                f"X-Ops-Timestamp:{stamp}",
                f"X-Ops-UserId:{self.actor.name}",
                "X-Ops-Server-API-Version:1",
            )
        )
        signature = self.actor.key.sign(canonical.encode(), padding.PKCS1v15(), hashes.SHA256())
        text = base64.b64encode(signature).decode()
        lines = [text[start : start + 60] for start in range(0, len(text), 60)]
        return {
            "Accept": "application/json",
            "X-Chef-Version": "17.0.0",
            "X-Ops-Sign": "algorithm=sha256;version=1.3;",
            "X-Ops-Userid": self.actor.name,
            "X-Ops-Timestamp": stamp,
            "X-Ops-Content-Hash": digest,
            "X-Ops-Server-API-Version": "1",
            **{f"X-Ops-Authorization-{number}": line for number, line in enumerate(lines, start=1)},
        }


def usable_key(text: str) -> str:
    """Normalize a private key in PEM whose line breaks were lost in a form or in JSON.

    Raises:
        UnusableChefKeyError: it is not an RSA private key.
    """
    key = pem.key(text)
    if not key:
        raise UnusableChefKeyError("it does not begin with -----BEGIN RSA PRIVATE KEY-----")
    _loaded(key)
    return key


def usable_certificate(text: str) -> str:
    """Normalize certificates in PEM whose line breaks were lost in a form or in JSON.

    Raises:
        UnusableChefCertificateError: there is none.
    """
    certificate = "".join(pem.certificates(text))
    if not certificate:
        raise UnusableChefCertificateError
    return certificate


@functools.lru_cache(maxsize=8)
def _loaded(text: str) -> rsa.RSAPrivateKey:
    from cryptography import exceptions  # noqa: PLC0415 - see the head of this module
    from cryptography.hazmat.primitives.asymmetric import rsa as kinds  # noqa: PLC0415

    try:
        key = rsa_keys.load_pem(text)
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm):
        # Without the library's own message, which could contain a part of the key.
        raise UnusableChefKeyError("it cannot be read, or it is encrypted") from None
    if not isinstance(key, kinds.RSAPrivateKey):
        raise UnusableChefKeyError("it is not an RSA key")
    return key


def _said(answer: httpx.Response) -> str:
    try:
        said = answer.json().get("error", "")
    except (ValueError, AttributeError):
        return answer.text[:200].strip()
    return "; ".join(map(str, said)) if isinstance(said, list) else str(said)
