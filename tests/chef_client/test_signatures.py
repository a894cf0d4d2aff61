"""Requests are signed as the protocol says: checked here with nothing but arithmetic and hashes."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import re

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .nodes import CLIENT_KEY, Kitchen, Node
from .proxy import Answer, Proxy, Request

pytestmark = pytest.mark.docker


def public_key(node: Node) -> rsa.RSAPublicKey:
    """The node's own."""
    key = serialization.load_pem_private_key(node.sh(f"cat {CLIENT_KEY}").encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.public_key()


def signature(request: Request) -> bytes:
    """The signature, which stands in numbered headers of 60 characters each."""
    parts = {
        int(found[1]): value
        for name, value in request.headers.items()
        if (found := re.fullmatch(r"x-ops-authorization-(\d+)", name))
    }
    assert sorted(parts) == list(range(1, len(parts) + 1))
    assert all(len(part) == 60 for number, part in parts.items() if number < len(parts))
    return base64.b64decode("".join(parts[number] for number in sorted(parts)))


def digest(algorithm: str, text: bytes) -> str:
    return base64.b64encode(hashlib.new(algorithm, text).digest()).decode()


def check_1_1(request: Request, key: rsa.RSAPublicKey) -> None:
    """Version 1.1: SHA-1 of path, body and name; the text itself is what the key was applied to."""
    headers = request.headers
    assert headers["x-ops-sign"] == "algorithm=sha1;version=1.1;"
    assert headers["x-ops-content-hash"] == digest("sha1", request.body)
    path = request.path.partition("?")[0]
    text = (
        f"Method:{request.method}\nHashed Path:{digest('sha1', path.encode())}\n"
        f"X-Ops-Content-Hash:{headers['x-ops-content-hash']}\nX-Ops-Timestamp:{headers['x-ops-timestamp']}\n"
        f"X-Ops-UserId:{digest('sha1', headers['x-ops-userid'].encode())}"
    ).encode()
    numbers = key.public_numbers()
    opened = pow(int.from_bytes(signature(request), "big"), numbers.e, numbers.n)
    size = key.key_size // 8
    assert opened.to_bytes(size, "big") == b"\0\1" + b"\xff" * (size - len(text) - 3) + b"\0" + text


def check_1_3(request: Request, key: rsa.RSAPublicKey) -> None:
    """Version 1.3: SHA-256, and an ordinary RSA signature."""
    headers = request.headers
    assert headers["x-ops-sign"] == "algorithm=sha256;version=1.3;"
    assert headers["x-ops-content-hash"] == digest("sha256", request.body)
    text = (
        f"Method:{request.method}\nPath:{request.path.partition('?')[0]}\n"
        f"X-Ops-Content-Hash:{headers['x-ops-content-hash']}\nX-Ops-Sign:version=1.3\n"
        f"X-Ops-Timestamp:{headers['x-ops-timestamp']}\nX-Ops-UserId:{headers['x-ops-userid']}\n"
        f"X-Ops-Server-API-Version:{headers['x-ops-server-api-version']}"
    ).encode()
    key.verify(signature(request), text, padding.PKCS1v15(), hashes.SHA256())


CHECKS = {"1.1": check_1_1, "1.3": check_1_3}


@pytest.mark.parametrize("version", CHECKS)
def test_every_request_is_signed(node: Node, kitchen: Kitchen, proxy: Proxy, version: str) -> None:
    kitchen.recipe("signed", "file('/srv/signed')")
    kitchen.role("signer", ["recipe[signed]"])
    # 1.1 is what is used when nothing is said.
    setting = [] if version == "1.1" else [f'authentication_protocol_version "{version}"']
    node.configure(*setting, url=proxy.url)

    def through_us(_: Request, answer: Answer) -> Answer:
        # Files too, whose URLs are signed and have a query string.
        return Answer(answer.status, answer.body.replace(kitchen.url.encode(), proxy.url.encode()))

    proxy.change = through_us
    assert node.converge("role[signer]").resources == (1, 1)
    validator = serialization.load_pem_private_key(kitchen.validator_key.encode(), None)
    assert isinstance(validator, rsa.RSAPrivateKey)
    first, *others = proxy.requests
    CHECKS[version](first, validator.public_key())
    key = public_key(node)
    for request in others:
        CHECKS[version](request, key)
    assert any("file_store" in each.path for each in others)
    now = datetime.datetime.now(tz=datetime.UTC)
    for request in proxy.requests:
        assert request.headers["x-ops-timestamp"].endswith("Z")
        stamp = datetime.datetime.fromisoformat(request.headers["x-ops-timestamp"])
        assert abs(now - stamp) < datetime.timedelta(minutes=1)
        assert re.fullmatch(r"\d+\.\d+\.\d+", request.headers["x-chef-version"])


@pytest.mark.parametrize("version", CHECKS)
def test_an_organization_is_part_of_the_signed_path(node: Node, proxy: Proxy, version: str) -> None:
    node.converge()
    node.configure(f'authentication_protocol_version "{version}"', url=f"{proxy.url}/organizations/shop/")
    answers = {"GET": {"name": node.name, "run_list": []}, "POST": {}, "PUT": {}}
    # goiardi knows no organizations, so this is a Chef server that says little.
    proxy.answer = lambda request: Answer(200, json.dumps(answers[request.method]).encode())
    node.converge()
    prefix = "/organizations/shop"
    assert proxy.wire() == [
        f"GET {prefix}/nodes/{node.name}",
        f"POST {prefix}/environments/_default/cookbook_versions",
        f"PUT {prefix}/nodes/{node.name}",
    ]
    for request in proxy.requests:
        CHECKS[version](request, public_key(node))
