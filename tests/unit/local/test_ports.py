"""A port is chosen once, also while the server that it is for has not begun to listen."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from gantry.local.demo import airflow_process, ports

OTHER_AIRFLOW = f"""#!{sys.executable}
# Healthy, and of somebody else: it refuses our password.
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        part = '{{"status": "healthy"}}'
        names = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        self.answer(200, "{{" + ", ".join(f'"{{name}}": {{part}}' for name in names) + "}}")

    def do_POST(self):
        self.answer(401, "{{}}")

    def answer(self, status, text):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

http.server.HTTPServer(("127.0.0.1", int(os.environ["AIRFLOW__API__PORT"])), Handler).serve_forever()
"""


def test_two_that_start_at_once_get_ports_of_their_own() -> None:
    with ports.claimed() as wanted, ports.claimed(preferred=wanted) as other:
        assert other != wanted
        with (
            pytest.raises(ports.PortTakenError, match=rf"port {wanted} of 127\.0\.0\.1 is taken"),
            ports.claimed(wanted),
        ):
            pass
    with ports.claimed(preferred=wanted) as again:
        assert again == wanted


def test_a_port_that_a_program_listens_on_is_not_chosen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with ports.claimed(preferred=taken) as other:
            assert other != taken
        with pytest.raises(ports.PortTakenError), ports.claimed(taken):
            pass


def test_an_airflow_that_does_not_know_our_password_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "airflow"
    program.parent.mkdir()
    program.write_text(OTHER_AIRFLOW)
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
    with pytest.raises(
        airflow_process.AirflowStartError, match=r"another Airflow has taken http://127\.0\.0\.1:\d+"
    ):
        airflow_process.start(tmp_path / "home", tmp_path, {})
