"""What Chef Infra Client 19 asks for in a distribution that is not its vendor's own."""

from __future__ import annotations

import pytest

from .nodes import CLIENT_KEY, Node
from .proxy import Answer, Proxy

pytestmark = [
    pytest.mark.docker,
    pytest.mark.standin("it pretends to be release 19, and does not check whether a key is valid"),
]

KEY = "free-58555821-925e-4a27-8fdc-e79dae5a425b-9763"
AS_19 = "GANTRY_STAND_IN_VERSION=19.1.0"


def test_without_a_license_nothing_is_done(node: Node) -> None:
    run = node.attempt(f"{AS_19} {node.command()}")
    assert run.code == 174
    assert "ERROR: Chef Infra cannot execute without valid licenses." in run.out
    assert node.attempt(f"test -e {CLIENT_KEY}").code == 1
    # Earlier releases do not ask.
    node.converge()


def test_a_key_is_taken_from_the_environment_or_the_command_line_and_kept(node: Node) -> None:
    home = f"HOME=/srv/home {AS_19}"
    run = node.attempt(f"{home} CHEF_LICENSE_KEY={KEY} {node.command()}")
    assert run.code == 0, run.out + run.err
    assert "version 19.1.0" in run.out
    assert KEY not in run.out
    assert node.sh("stat -c %a /srv/home/.chef/licenses.yaml") == "600"
    assert node.attempt(f"{home} {node.command()}").code == 0
    assert (
        node.attempt(f"HOME=/srv/other {AS_19} {node.command(options=f'--chef-license-key {KEY}')}").code == 0
    )


def test_what_is_no_key_is_refused(node: Node) -> None:
    run = node.attempt(f"{AS_19} CHEF_LICENSE_KEY=nonsense {node.command()}")
    assert (run.code, "Malformed License Key" in run.out) == (1, True)
    assert "nonsense" not in run.out


def test_a_license_server_stands_for_a_key_and_the_first_that_answers_is_taken(
    node: Node, proxy: Proxy
) -> None:
    proxy.answer = lambda _: Answer(200, f'{{"data": ["{KEY}"], "message": "", "status_code": 200}}'.encode())
    servers = f"http://127.0.0.1:1,{proxy.url}"
    run = node.attempt(f"HOME=/srv/home {AS_19} CHEF_LICENSE_SERVER={servers} {node.command()}")
    assert run.code == 0, run.out + run.err
    assert "WARN: Connection failed to http://127.0.0.1:1" in run.out
    assert proxy.wire() == ["GET /v1/listLicenses"]
    assert node.attempt("test -e /srv/home/.chef").code == 1
    nobody = node.attempt(f"{AS_19} CHEF_LICENSE_SERVER=http://127.0.0.1:1 {node.command()}")
    assert (nobody.code, "Unable to connect to the licensing server" in nobody.out) == (1, True)
