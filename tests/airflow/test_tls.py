"""HTTPS on real servers: a balancer's certificate, a service's own, and what happens when they are renewed."""

from __future__ import annotations

import http.client
import socket
import ssl
import textwrap
from collections.abc import Iterator

import pytest

from tests import certificates
from tests.airflow.stage import Launch, Stage, archive

pytestmark = pytest.mark.airflow

PAGE = "page"
ROOT = certificates.sign("root")
MIDDLE = certificates.sign("middle", ROOT)
SERVE = """\
#!/usr/bin/env python3
import functools, http.server, pathlib, ssl, threading
home = pathlib.Path(__file__).parents[1]
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(home / "site"))
plain = http.server.ThreadingHTTPServer(("", 8000), handler)
secure = http.server.ThreadingHTTPServer(("", 8443), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(home / "cfg/service.pem", home / "cfg/service.key")
secure.socket = context.wrap_socket(secure.socket, server_side=True)
threading.Thread(target=plain.serve_forever, daemon=True).start()
secure.serve_forever()
"""
SCRIPTS = {
    "serve": SERVE,
    "enstratus-configure": textwrap.dedent("""\
        #!/bin/sh
        set -eu
        cd "$(dirname "$0")/.."
        umask 077
        mkdir -p site
        echo "for $3" >site/index.html
        cat "$4" "$6" >cfg/service.pem
        cp "$5" cfg/service.key
        stat -c '%a %U' "$4" "$5" "$6" >cfg/modes
        """),
    "enstratus-start": '#!/bin/sh\nsetsid "$(dirname "$0")/serve" >/tmp/serve.log 2>&1 </dev/null &\n',
    "enstratus-stop": "#!/bin/sh\npkill -f bin/serve || true\n",
    "enstratus-check": "#!/bin/sh\ncurl -fsk https://127.0.0.1:8443/ >/dev/null && echo OK\n",
}
DEFINITION = """\
deployment: page
cloud: {region: eu-central-1}
launch_configurations:
  debian: {image: gantry-debian-12-prepared, ssh: {connection: bookshop_ssh}}
tiers:
  web: {launch_configuration: debian, servers: 2}
  edge: {launch_configuration: debian, servers: 1}
services:
  page:
    id: a3001
    tier: web
    archive: ARCHIVE
    ports: {web: {port: 8000, protocol: http}, secure: {port: 8443, protocol: https}}
    tls: {connection: tls_page, address: page.example.com}
load_balancers:
  front: {tier: edge, service: page, service_port: web, name: shop.example.com, tls: {connection: tls_front}}
  through: {tier: edge, service: page, service_port: secure, port: 8443, name: page.example.com}
"""


@pytest.fixture(scope="module")
def launched(stage: Stage) -> Iterator[Launch]:
    """The page, launched once with a certificate for the balancer and another one for the service."""
    connect(stage, "tls_front", FRONT)
    connect(stage, "tls_page", OWN)
    stage.define(PAGE, DEFINITION.replace("ARCHIVE", stage.upload("page.tar.gz", archive(SCRIPTS))))
    launch = stage.launch(PAGE)
    launch.succeeds()
    yield launch
    stage.scrap(PAGE)


FRONT = certificates.sign("shop.example.com", MIDDLE)
OWN = certificates.sign("page.example.com", MIDDLE)


def connect(stage: Stage, name: str, signed: certificates.Signed, key: str | None = None) -> None:
    """Put a certificate where Airflow finds connections; one that is there already is renewed."""
    extra = {"certificate": signed.pem, "chain": MIDDLE.pem}
    stage.connect(name, {"conn_type": "tls", "password": key or signed.key_pem, "extra": extra})


def get(stage: Stage, host: str, port: int) -> tuple[str, str]:
    """Ask the balancer by HTTPS, trusting our root only; the body, and the certificate that was shown."""
    context = ssl.create_default_context(cadata=ROOT.pem)
    with (
        socket.create_connection((stage.address(PAGE, "edge-1"), port), timeout=60) as connection,
        context.wrap_socket(connection, server_hostname=host) as secure,
    ):
        shown = secure.getpeercert(binary_form=True)
        assert shown is not None
        secure.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(secure)
        answer.begin()
        assert answer.status == 200
        return answer.read().decode(), ssl.DER_cert_to_PEM_cert(shown)


def configured(stage: Stage) -> dict[str, int]:
    return {
        name: machine.calls("configureService")
        for name, machine in stage.machines(PAGE).items()
        if name.startswith("web")
    }


def test_the_balancer_answers_by_https_with_a_certificate_that_a_visitor_trusts(
    stage: Stage, launched: Launch
) -> None:
    assert get(stage, "shop.example.com", 443) == ("for page.example.com\n", FRONT.pem)
    assert "https://" in launched.task_log("finish_launch")


def test_a_service_with_a_certificate_of_its_own_answers_through_the_balancer(
    stage: Stage, launched: Launch
) -> None:
    assert get(stage, "page.example.com", 8443) == ("for page.example.com\n", OWN.pem)
    modes = stage.machines(PAGE)["web-1"].sh("cat /mnt/services/a3001/cfg/modes")
    assert modes.splitlines() == ["600 root"] * 3


def test_no_key_is_shown_or_left_on_the_way(stage: Stage, launched: Launch) -> None:
    shown = launched.everything_shown()
    assert "configureService" in shown
    for key in (FRONT, OWN):
        for line in key.key_pem.splitlines():
            assert line not in shown
    for machine in stage.machines(PAGE).values():
        assert machine.secrets_in_transit() == []
        assert "PRIVATE KEY" not in "\n".join(machine.journal())


def test_a_second_launch_with_the_same_certificates_changes_nothing(stage: Stage, launched: Launch) -> None:
    before = configured(stage)
    again = stage.launch(PAGE)
    again.succeeds()
    assert configured(stage) == before
    assert "nothing has changed" in again.task_log("find_lost")
    assert stage.machines(PAGE)["edge-1"].secrets_in_transit() == []


def test_renewed_certificates_are_shown_after_the_next_launch(stage: Stage, launched: Launch) -> None:
    before = configured(stage)
    front = certificates.sign("shop.example.com", MIDDLE)
    connect(stage, "tls_front", front)
    stage.launch(PAGE).succeeds()
    assert get(stage, "shop.example.com", 443)[1] == front.pem
    assert configured(stage) == before
    own = certificates.sign("page.example.com", MIDDLE)
    connect(stage, "tls_page", own)
    stage.launch(PAGE).succeeds()
    assert get(stage, "page.example.com", 8443)[1] == own.pem
    assert configured(stage) == {name: calls + 1 for name, calls in before.items()}


def test_a_key_that_does_not_fit_is_said_before_anything_is_sent(stage: Stage, launched: Launch) -> None:
    before = configured(stage)
    connect(stage, "tls_page", OWN, key=FRONT.key_pem)
    launch = stage.launch(PAGE)
    assert launch.ends() == "failed"
    assert (
        "Airflow connection 'tls_page': the private key does not belong to the certificate"
        in launch.errors()[0]
    )
    assert configured(stage) == before
