"""A Chef server believes who signs, and what it answers otherwise says what to do."""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import json
import socket
import ssl
import threading
import types
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from gantry.configuration_management import chef_server

from .conftest import Goiardi, Recorder


def test_goiardi_takes_the_signature_of_each_kind_of_request(server: chef_server.ChefServer) -> None:
    role = {"name": "plain", "run_list": [], "json_class": "Chef::Role", "chef_type": "role"}
    server.post("/roles", role)
    server.put("/roles/plain", {**role, "description": "größer"})
    assert server.get("/roles/plain")["description"] == "größer"
    assert server.delete("/roles/plain")


def test_the_query_is_sent_and_not_signed(server: chef_server.ChefServer) -> None:
    server.post("/nodes", {"name": "asked-for", "run_list": []})
    assert server.get("/search/node?q=name:asked-for&rows=5")["total"] == 1


def test_nodes_and_clients_are_listed_and_removed_once(server: chef_server.ChefServer) -> None:
    server.post("/nodes", {"name": "shop-1", "run_list": []})
    server.post("/clients", {"name": "shop-1"})
    assert server.nodes() == {"shop-1"}
    assert "shop-1" in server.clients()
    assert server.delete_node("shop-1")
    assert server.delete_client("shop-1")
    assert not server.delete_node("shop-1")
    assert not server.delete_client("shop-1")
    assert "shop-1" not in server.nodes() | server.clients()


@pytest.mark.parametrize("name", ["admin", "chef-validator"])
def test_a_user_and_a_validator_are_recognised(chef: Goiardi, name: str) -> None:
    chef.server(name).check()


@pytest.mark.parametrize(("name", "key"), [("admin", "chef-validator"), ("nobody", "admin")])
def test_a_wrong_key_and_an_unknown_name_are_refused(chef: Goiardi, name: str, key: str) -> None:
    actor = chef_server.Actor(name, chef.actor(key).private_key)
    stranger = chef_server.ChefServer(chef.found.url, actor, chef.found.certificate)
    with pytest.raises(chef_server.ChefServerRefusedError, match=rf"'{name}' \(401") as refused:
        stranger.check()
    assert "Check name and key" in str(refused.value)
    assert not refused.value.transient


def test_a_wrong_clock_is_named(chef: Goiardi, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return datetime.datetime.now(tz) - datetime.timedelta(hours=1)

    monkeypatch.setattr(chef_server, "datetime", types.SimpleNamespace(datetime=Late, UTC=datetime.UTC))
    with pytest.raises(chef_server.ChefServerRefusedError, match=r"The clocks .* differ too much"):
        chef.server().nodes()


def test_what_one_may_not_do_is_told_from_what_one_is_not(chef: Goiardi) -> None:
    with pytest.raises(chef_server.ChefServerRefusedError, match="Its key is correct; check its permissions"):
        chef.server("chef-validator").nodes()


def test_a_certificate_that_nobody_vouches_for_is_asked_for(chef: Goiardi) -> None:
    server = chef_server.ChefServer(chef.found.url, chef.actor())
    with pytest.raises(chef_server.ChefServerUnreachableError, match="trusted_certificate") as unreachable:
        server.nodes()
    assert "certificate verify failed" in str(unreachable.value)
    assert not unreachable.value.transient


def test_a_certificate_for_another_name_is_not_cured_by_trusting_it(chef: Goiardi) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chef.found.folder / "server.crt", chef.found.folder / "server.key")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_shake_hands, args=(listening, context)).start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        server = chef_server.ChefServer(url, chef.actor(), chef.found.certificate)
        with pytest.raises(chef_server.ChefServerUnreachableError, match="not valid for") as unreachable:
            server.nodes()
    assert "Fix the certificate" in str(unreachable.value)


def test_a_certificate_to_trust_that_is_none(chef: Goiardi) -> None:
    server = chef_server.ChefServer(chef.found.url, chef.actor(), "no certificate")
    with pytest.raises(chef_server.ChefServerUnreachableError, match="not a PEM certificate"):
        server.nodes()


def test_a_certificate_whose_line_breaks_a_form_has_eaten(chef: Goiardi) -> None:
    eaten = chef.found.certificate.replace("\n", " ")
    chef_server.ChefServer(chef.found.url, chef.actor(), eaten).check()


def test_nobody_there(chef: Goiardi) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    server = chef_server.ChefServer(f"https://127.0.0.1:{port}", chef.actor())
    with pytest.raises(chef_server.ChefServerUnreachableError, match="Connection refused") as unreachable:
        server.nodes()
    assert unreachable.value.transient


def test_somebody_who_does_not_answer(chef: Goiardi) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        server = chef_server.ChefServer(url, chef.actor(), timeout=0.2)
        with pytest.raises(chef_server.ChefServerUnreachableError, match="timed out"):
            server.nodes()


def test_the_empty_success_of_an_unknown_path_is_an_error(chef: Goiardi) -> None:
    with pytest.raises(chef_server.ChefServerError, match="no JSON; check the URL"):
        chef.server().get("/nodez")
    # goiardi knows no organizations: this URL is wrong for it.
    server = chef_server.ChefServer(
        f"{chef.found.url}/organizations/acme", chef.actor(), chef.found.certificate
    )
    with pytest.raises(chef_server.ChefServerError, match="/organizations/acme/clients/admin"):
        server.check()


def test_an_organization_is_part_of_what_is_signed(chef: Goiardi, recorder: Recorder) -> None:
    server = chef_server.ChefServer(f"{recorder.url}/organizations/acme/", chef.actor())
    recorder.answers = [(200, b"{}")]
    server.put("/roles/r?x=1", {"name": "r"})
    ((method, path, headers, body),) = recorder.requests
    assert (method, path, json.loads(body)) == ("PUT", "/organizations/acme/roles/r?x=1", {"name": "r"})
    assert headers["X-Ops-Sign"] == "algorithm=sha256;version=1.3;"
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    said = (
        f"Method:PUT\nPath:/organizations/acme/roles/r\nX-Ops-Content-Hash:{digest}\nX-Ops-Sign:version=1.3\n"
        f"X-Ops-Timestamp:{headers['X-Ops-Timestamp']}\nX-Ops-UserId:admin\n"
        f"X-Ops-Server-API-Version:{headers['X-Ops-Server-API-Version']}"
    )
    lines = [
        headers[name] for name in sorted(headers, key=_number) if name.startswith("X-Ops-Authorization-")
    ]
    assert all(len(line) <= 60 for line in lines)
    key = serialization.load_pem_private_key(chef.actor().private_key.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    key.public_key().verify(
        base64.b64decode("".join(lines)), said.encode(), padding.PKCS1v15(), hashes.SHA256()
    )


def test_a_missing_organization_is_no_accepted_key(chef: Goiardi, recorder: Recorder) -> None:
    server = chef_server.ChefServer(f"{recorder.url}/organizations/acme", chef.actor())
    recorder.answers = [(404, b'{"error": ["organization acme does not exist"]}')] * 2
    with pytest.raises(chef_server.ChefServerError, match="organization acme does not exist"):
        server.check()


@pytest.mark.parametrize(
    ("status", "answer", "transient", "words"),
    [
        (503, b"<html>busy</html>", True, "answered 503: <html>busy"),
        (500, b'{"error": ["broken"]}', True, "answered 500: broken"),
        (302, b"", False, "answered 302"),
        (200, b"<html>log in</html>", False, "no JSON"),
        (200, b'["a", "b"]', False, "a list of names was expected"),
        (429, b"", False, "429"),
    ],
)
def test_other_answers_say_what_came(
    chef: Goiardi, recorder: Recorder, status: int, answer: bytes, transient: object, words: str
) -> None:
    recorder.answers = [(status, answer)]
    with pytest.raises(chef_server.ChefServerError, match=words) as error:
        chef_server.ChefServer(recorder.url, chef.actor()).nodes()
    assert error.value.transient is transient
    assert f"GET {recorder.url}/nodes" in str(error.value)


def test_no_word_holds_the_key(chef: Goiardi) -> None:
    actor = chef.actor()
    secret = actor.private_key.splitlines()[3]
    assert secret not in repr(actor)
    with pytest.raises(chef_server.UnusableChefKeyError) as unusable:
        chef_server.usable_key(actor.private_key.replace("\n", "\nX", 4))
    assert secret not in str(unusable.value)
    assert unusable.value.__cause__ is None


@pytest.mark.parametrize(
    "eaten",
    [
        lambda key: key.replace("\n", " "),
        lambda key: key.replace("\n", "\\n"),
        lambda key: key.replace("\n", "\r\n"),
        lambda key: key.replace("\n", ""),
        lambda key: f"  \n{key}\n\n",
    ],
    ids=["spaces", "backslashes", "carriage returns", "nothing", "more"],
)
def test_a_key_s_line_breaks_are_mended(chef: Goiardi, eaten: Any) -> None:
    key = chef.actor().private_key
    assert chef_server.usable_key(eaten(key)) == key


def test_what_is_no_rsa_private_key_is_told(chef: Goiardi) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    with pytest.raises(chef_server.UnusableChefKeyError, match="not an RSA key"):
        chef_server.usable_key(text)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for wrong in ("", "a password", public.decode(), chef.found.certificate):
        with pytest.raises(chef_server.UnusableChefKeyError, match="does not begin with"):
            chef_server.usable_key(wrong)
    with pytest.raises(chef_server.UnusableChefKeyError, match="cannot be read"):
        chef_server.usable_key(chef.actor().private_key.replace("M", "N", 3))


def _number(header: str) -> int:
    return int(header.rpartition("-")[2]) if header.startswith("X-Ops-Authorization-") else 0


def _shake_hands(listening: socket.socket, context: ssl.SSLContext) -> None:
    """With one client, who may have enough of it."""
    with contextlib.suppress(OSError):
        context.wrap_socket(listening.accept()[0], server_side=True).close()
