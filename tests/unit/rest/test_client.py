"""Calls to Airflow's API: who is let in, what is read, and what a refusal means."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gantry.rest import client, errors, login, logs
from tests import airflow_api


def api(url: str, **more: str) -> client.AirflowApi:
    return client.AirflowApi(login.AirflowLogin(url, **more))  # type: ignore[arg-type] # only texts are given here


def test_a_password_is_exchanged_for_a_token_once(
    airflow: airflow_api.Airflow, ada: client.AirflowApi
) -> None:
    airflow.add(airflow_api.Dag("shop"))
    assert airflow.asked == []
    assert ada.dag("shop").id == "shop"
    ada.dag("shop")
    assert airflow.asked == ["POST /auth/token", "GET /api/v2/dags/shop", "GET /api/v2/dags/shop"]


def test_a_token_that_expires_meanwhile_is_renewed(
    airflow: airflow_api.Airflow, ada: client.AirflowApi
) -> None:
    airflow.add(airflow_api.Dag("shop"))
    ada.dag("shop")
    airflow.expired |= airflow.tokens
    assert ada.dag("shop").id == "shop"
    # As after a restart of the API server with another secret.
    airflow.tokens.clear()
    assert ada.dag("shop").id == "shop"
    assert airflow.asked.count("POST /auth/token") == 3


def test_a_token_of_ones_own_is_used_as_it_is(airflow: airflow_api.Airflow) -> None:
    airflow.add(airflow_api.Dag("shop"))
    api(airflow.url, token=airflow.give_token()).dag("shop")
    assert airflow.asked == ["GET /api/v2/dags/shop"]
    with pytest.raises(errors.TokenRefusedError, match=r"refuses the token \(GANTRY_TOKEN\): Invalid JWT"):
        api(airflow.url, token="wrong", credentials_from="GANTRY_TOKEN").dag("shop")
    airflow.expired.add("old")
    with pytest.raises(errors.TokenRefusedError, match="Token Expired"):
        api(airflow.url, token="old").dag("shop")


def test_an_airflow_that_lets_everybody_in_needs_no_login(airflow: airflow_api.Airflow) -> None:
    airflow.add(airflow_api.Dag("shop"))
    airflow.lets_everybody_in = True
    assert api(airflow.url).dag("shop").id == "shop"


def test_who_is_not_let_in(airflow: airflow_api.Airflow) -> None:
    with pytest.raises(
        errors.LoginRefusedError,
        match=r"rejects the login of 'ada' \(401: Invalid credentials\)[\s\S]*--token",
    ):
        api(airflow.url, username="ada", password="wrong").dag("shop")
    with pytest.raises(errors.NoCredentialsError, match="neither a token nor a user"):
        api(airflow.url).dag("shop")
    with pytest.raises(errors.NoCredentialsError, match="no password for 'ada'"):
        api(airflow.url, username="ada").dag("shop")
    assert airflow.asked.count("POST /auth/token") == 1


def test_a_login_that_airflow_cannot_check_is_not_a_wrong_password(
    airflow: airflow_api.Airflow, ada: client.AirflowApi
) -> None:
    health = {"metadatabase": {"status": "unhealthy"}, "scheduler": {"status": "unhealthy"}}

    def answer(call: str) -> tuple[int, str, str] | None:
        match call:
            case "POST /auth/token":
                return 401, "application/json", json.dumps({"detail": "Invalid credentials"})
            case "GET /api/v2/monitor/health":
                return 200, "application/json", json.dumps(health)
        return None

    airflow.answer_instead = answer
    with pytest.raises(errors.DatabaseAwayError, match="its metadata database does not answer") as away:
        ada.dag("shop")
    assert away.value.transient
    health["metadatabase"]["status"] = "healthy"
    with pytest.raises(errors.LoginRefusedError, match=r"rejects the login of 'ada'"):
        ada.dag("shop")


def test_what_a_refusal_means(airflow: airflow_api.Airflow, ada: client.AirflowApi) -> None:
    airflow.add(airflow_api.Dag("shop"))
    airflow.forbidden.add("/details")
    with pytest.raises(errors.ForbiddenError, match="'ada' may not do this in Airflow") as forbidden:
        ada.params("shop")
    assert forbidden.value.code == 403
    with pytest.raises(errors.NotFoundError, match="`shpo` was not found"):
        ada.dag("shpo")
    with pytest.raises(errors.RefusedError, match="at most 3"):
        ada.start("shop", {"servers_only": 9})
    airflow.answer_instead = lambda _: (409, "application/json", '{"detail": "there is one already"}')
    with pytest.raises(errors.ConflictError, match="there is one already"):
        ada.start("shop", {})
    airflow.answer_instead = lambda _: (
        422,
        "application/json",
        '{"detail": [{"loc": ["body", "x"], "msg": "no"}]}',
    )
    with pytest.raises(errors.RefusedError, match=r"body\.x: no"):
        ada.start("shop", {})
    airflow.answer_instead = lambda _: (503, "text/plain", "in maintenance")
    with pytest.raises(errors.BrokenError, match="in maintenance") as broken:
        ada.dag("shop")
    assert broken.value.transient


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, "text/html", "<html>a portal</html>"), "got 200 and text/html"),
        ((404, "text/html", "<html>nothing</html>"), "got 404 and text/html"),
        ((200, "application/json", "[]"), "got 200 and application/json"),
        ((302, "location:https://sso.example.com/", ""), "it sends to https://sso.example.com/"),
    ],
)
def test_something_else_answers_there(
    airflow: airflow_api.Airflow, answer: tuple[int, str, str], told: str
) -> None:
    airflow.answer_instead = lambda _: answer
    for who in (api(airflow.url, token="t"), api(airflow.url, username="ada", password="secret")):
        with pytest.raises(errors.NotAirflowError, match=told):
            who.dag("shop")


def test_nobody_answers_there() -> None:
    with pytest.raises(
        errors.UnreachableError, match=r"http://127.0.0.1:9 cannot be reached: .*\n.*\(GANTRY_URL\)"
    ) as found:
        api("http://127.0.0.1:9", token="t", url_from="GANTRY_URL").dag("shop")
    assert found.value.transient


def test_everything_of_a_collection_is_read(airflow: airflow_api.Airflow, ada: client.AirflowApi) -> None:
    names = [f"shop-{number}" for number in range(2 * airflow_api.PAGE + 1)]
    for name in names:
        airflow.deployment(name)
    assert [each.id for each in ada.dags("gantry", "launch")] == names
    tasks = tuple(f"task-{number}" for number in range(airflow_api.PAGE + 1))
    dag = airflow.add(airflow_api.Dag("many", tasks=tasks))
    dag.runs.append(airflow_api.Run("r", [("running", airflow_api.states(1, tasks=tasks))]))
    assert [each.task_id for each in ada.instances("many", "r")] == list(tasks)


def test_runs_come_newest_first_and_no_more_pages_than_wanted(
    airflow: airflow_api.Airflow, ada: client.AirflowApi
) -> None:
    dag = airflow.add(airflow_api.Dag("shop"))
    for number in range(airflow_api.PAGE + 1):
        dag.runs.append(
            airflow_api.Run(f"r{number}", [airflow_api.SUCCESS], asked=f"2026-11-20T04:0{number}:00Z")
        )
    assert next(ada.runs("shop")).id == f"r{airflow_api.PAGE}"
    assert airflow.asked.count("GET /api/v2/dags/shop/dagRuns") == 1
    assert len(list(ada.runs("shop"))) == airflow_api.PAGE + 1


def test_what_a_person_typed_stays_one_part_of_a_path(
    airflow: airflow_api.Airflow, ada: client.AirflowApi
) -> None:
    with pytest.raises(errors.NotFoundError):
        ada.dag("../connections?x=1")
    assert airflow.asked[-1] == "GET /api/v2/dags/../connections?x=1"
    dag = airflow.add(airflow_api.Dag("shop"))
    dag.runs.append(airflow_api.Run("manual__2026-11-20T04:00:00+00:00", [airflow_api.SUCCESS]))
    assert ada.run("shop", "manual__2026-11-20T04:00:00+00:00").is_over


def test_a_log_goes_on_where_it_was_left(airflow: airflow_api.Airflow, ada: client.AirflowApi) -> None:
    dag = airflow.add(airflow_api.Dag("shop"))
    run = airflow_api.Run("r", [("running", airflow_api.states(0, working=True))])
    run.logs["tier-only.scale_up"] = [{"event": "one", "level": "info"}, {"event": "two"}]
    dag.runs.append(run)
    instance = ada.instances("shop", "r")[0]
    first = ada.log_chunk("shop", "r", instance)
    assert [each.text for each in logs.told(first.lines)] == ["one", "two"]
    run.logs["tier-only.scale_up"].append({"event": "three"})
    run.looks[:] = [("running", airflow_api.states(1))]
    second = ada.log_chunk("shop", "r", instance, token=first.token)
    assert ([each.text for each in second.lines], second.token) == (["three"], None)


def test_the_error_of_a_task_is_what_stands_after_its_failure() -> None:
    lines = logs.chunk(
        {
            "content": [
                {"event": "::group::Log message source details"},
                {"event": "/somewhere"},
                {"event": "::endgroup::"},
                {"event": "trying", "level": "info"},
                {
                    "event": "Task failed with exception",
                    "level": "error",
                    "error_detail": [{"exc_type": "AirflowException", "exc_value": "no disk\nis left"}],
                },
                {"event": "::group::Post Execute"},
                {"event": "more"},
            ]
        }
    ).lines
    assert logs.failure(lines) == ("AirflowException: no disk\nis left", ("info trying",))
    assert logs.failure(lines[:4]) == ("", ("info trying",))
    assert logs.chunk({"content": ["a plain line"]}).lines == (logs.ApiLogLine("a plain line"),)


def test_a_certificate_of_ones_own_authority_has_to_be_named(tls: tuple[str, Path], tmp_path: Path) -> None:
    url, authority = tls
    with pytest.raises(errors.CertificateError, match=r"not trusted: .*self.signed[\s\S]*--ca-file"):
        api(url, token="t").dag("shop")
    trusting = client.AirflowApi(login.AirflowLogin(url, token="t", ca_file=authority))
    with pytest.raises(errors.NotFoundError):
        trusting.dag("shop")
    with pytest.raises(errors.SecretFileError, match="holds no certificates"):
        client.AirflowApi(login.AirflowLogin(url, token="t", ca_file=tmp_path / "none.pem"))


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"detail": "no such DAG"}'
        self.send_response(404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server with a certificate that it signed itself; its address, and the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "airflow.test")])
    now = datetime.datetime.now(tz=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    public, private = tmp_path / "certificate.pem", tmp_path / "key.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}", public
        server.shutdown()
