"""What a plan says of the load balancers' own configuration: what their servers are asked, and what is shown of it."""

from __future__ import annotations

import asyncio
import io
import json
import shlex
import tarfile
from collections.abc import Sequence
from typing import cast

import pytest

from gantry import errors, names
from gantry.agent import errors as agent_errors
from gantry.agent import fan_out, jobs, session, ssh
from gantry.preview import balancers, probe, report, state
from tests import certificates

from . import stages
from .stages import ADDRESSES, DEFINITION, PASSWORD, Story

PROXY = names.ServerName("bookshop-proxy-1")
HAPROXY = "/etc/haproxy/haproxy.cfg"
LATER = "(known after launch)"
SECURE = DEFINITION.replace("port: 80,", "tls: {connection: shop_tls},")
NONE = balancers.PlannedCalls(())


def calls_of(story: Story, states: stages.States | None = None) -> balancers.PlannedCalls:
    found = balancers.planned(story.walk(states).work[PROXY])
    assert found is not None
    return found


def unpacked(calls: balancers.PlannedCalls) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(calls.archive())) as archive:
        found = {member.name: archive.extractfile(member) for member in archive}
    return {name: file.read().decode() for name, file in found.items() if file is not None}


def said(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


class Server:
    """A server's session that answers each command with a text, or with its exit code."""

    def __init__(self, *answers: str | int) -> None:
        self.answers = list(answers)
        self.commands: list[tuple[str, ...]] = []

    async def run(self, *command: str, stdin: bytes = b"") -> str:
        assert bool(stdin) == (command[0] != "find")
        self.commands.append(command)
        answer = self.answers.pop(0)
        if isinstance(answer, int):
            raise agent_errors.CommandError(PROXY, command[0], answer, f"previewProxy: no {PASSWORD}\n")
        return answer

    def asked(self, stale: Sequence[str] = ()) -> report.BalancerPreview:
        server = cast("session.Session", self)
        return asyncio.run(balancers.ask(server, PROXY, NONE, stale, {PASSWORD}))


def test_a_server_is_sent_what_the_launch_would_call_there_in_its_order() -> None:
    story = Story().but(addresses={**ADDRESSES, "application-2": None})
    calls = calls_of(story)
    files = unpacked(calls)
    lines = [shlex.split(line) for line in files["calls"].splitlines()]
    assert [line[:2] for line in lines] == [["config", "a1002"], ["add", "a1002"], ["add", "a1002"]]
    assert "port.1.publicPort=80" in files[lines[0][2]]
    assert lines[1] == ["add", "a1002", "shop.example.com", "NONE", "10.0.0.31", "10.0.0.21", "8000"]
    # The address of a server that is not there yet has to be one, for HAProxy.
    assert lines[2][5].startswith("240.")
    shown = balancers.read(
        PROXY, said("path x", f"after server {lines[2][5]}_8000 {lines[2][5]}:8000"), calls
    )
    assert shown.diff[-1] == f"+server {LATER}_8000 {LATER}:8000"


def test_a_rolling_update_is_sent_with_all_its_steps() -> None:
    launched = Story().walk().states
    calls = calls_of(Story().but(text=DEFINITION.replace("Hello", "Welcome")), launched)
    words = [line.split()[0] for line in unpacked(calls)["calls"].splitlines()]
    assert words == ["remove", "config", "add", "remove", "config", "add", "config", "add", "add"]


def test_a_private_key_is_not_sent(connections: None, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = certificates.sign("shop.example.com")
    extra = json.dumps({"certificate": signed.pem, "chain": signed.pem})
    connection = {"conn_type": "tls", "password": signed.key_pem, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_TLS", json.dumps(connection))
    calls = calls_of(Story(SECURE))
    files = unpacked(calls)
    line = shlex.split(files["calls"].splitlines()[-1])
    assert (files[line[7]].strip(), line[8]) == (signed.pem.strip(), "NONE")
    assert "PRIVATE KEY" not in repr(files)


def test_where_the_balancer_is_not_called_nothing_is_asked() -> None:
    assert balancers.planned([fan_out.Work()]) is None
    only_file = fan_out.Work((session.RemoteFile("/enstratus/ws/proxy/a1/enstratus.cfg", b"x"),))
    assert balancers.planned([only_file]) is None
    other = fan_out.Work((), (jobs.Job("wait", "awaitDrained", ("a1", "10.0.0.1", "1"), 1),))
    assert balancers.planned([other]) is None


def test_the_difference_is_a_unified_diff_and_what_stays_is_none() -> None:
    found = balancers.read(
        PROXY,
        said(f"path {HAPROXY}", "before a", "before b", "after a", "after c", "reason r", "note n"),
        NONE,
    )
    assert found == report.BalancerPreview(
        PROXY,
        HAPROXY,
        (f"--- {HAPROXY}", f"+++ {HAPROXY}", "@@ -1,2 +1,2 @@", " a", "-b", "+c"),
        reasons=("r",),
        notes=("n",),
    )
    same = balancers.read(PROXY, said(f"path {HAPROXY}", "before a", "after a"), NONE)
    assert (same.diff, same.changes) == ((), False)
    # The helper made none: the calls do not touch it.
    assert not balancers.read(PROXY, said(f"path {HAPROXY}", "before a"), NONE).changes
    assert balancers.read(PROXY, said(f"path {HAPROXY}", "after a"), NONE).diff[0] == "--- /dev/null"
    hidden = balancers.read(PROXY, said(f"path {HAPROXY}", "hidden not ours", "after a"), NONE)
    assert hidden.diff[0] == f"--- {HAPROXY} (not shown: not ours)"
    refused = balancers.read(PROXY, said(f"path {HAPROXY}", "before a", "refusal no"), NONE)
    assert (refused.refusal, refused.diff, refused.changes) == ("no", (), True)


def test_secrets_and_what_a_terminal_would_obey_are_not_shown() -> None:
    lines = [
        "    stats auth admin:s3same",
        "setenv KEY s3same",
        "    user joe insecure-password s3same",
        "    http-request set-header Authorization Basic\\ s3same",
        f"    # {PASSWORD} and \x1b]0;title\x07",
    ]
    text = said(f"path {HAPROXY}", *(f"before {line}" for line in lines), "after x")
    found = balancers.read(PROXY, text, NONE, {PASSWORD, "ab"})
    assert found.diff[3:-1] == (
        "-    stats auth (secret)",
        "-setenv (secret)",
        "-    user joe insecure-password (secret)",
        "-    http-request set-header Authorization (secret)",
        "-    # (secret) and �]0;title�",
    )
    # Names of hosts are no secrets.
    names_ = "use_backend a1 if { req.hdr(host),field(1,:),lower -m str auth.example.com tokens.example.com }"
    assert balancers.read(PROXY, said("path x", f"after {names_}"), NONE).diff[-1] == f"+{names_}"


def test_an_agent_of_an_earlier_version_has_no_preview_and_that_is_said() -> None:
    for server in (Server(""), Server(1)):
        found = server.asked(["bin/previewProxy", "lib/agent.sh"])
        assert "a launch sends them first" in (found.unknown or "")
        assert [command[0] for command in server.commands] == ["find"]
    # One that has it, in another version: it is shown, and said.
    server = Server("/enstratus/bin/previewProxy\n", said("path x", "after a"))
    found = server.asked(["bin/previewProxy"])
    assert (found.diff[-1], found.unknown) == ("+a", None)
    (note,) = found.notes
    assert "a launch sends others first" in note
    assert Server(said("path x", "after a")).asked(["bin/job"]).notes == ()


def test_a_preview_that_fails_is_unknown_and_no_failure_of_the_plan() -> None:
    assert Server(21).asked().unknown == "previewProxy: no (secret)"
    assert "expected form" in (Server("Welcome!\n").asked().unknown or "")
    assert (
        Server(said("unknown HAProxy is not installed yet")).asked().unknown == "HAProxy is not installed yet"
    )


def test_each_balancer_has_an_answer_or_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    here, new, away, silent, idle = (names.ServerName(f"bookshop-proxy-{slot}") for slot in range(1, 6))
    answered = report.BalancerPreview(here, HAPROXY, ("+x",))

    def look(visits: Sequence[probe.ProbeRequest[object]]) -> dict[names.ServerName, object]:
        assert {each.target.name for each in visits} == {here, silent}
        return {here: answered, silent: errors.GantryError(f"{silent}: no answer\nAsk again.")}

    monkeypatch.setattr(probe, "look", look)
    login = ssh.Login("root", None, None, "ssh")  # type: ignore[arg-type]
    asked = {
        name: probe.state(ssh.Target(name, "i", "10.0.0.1", ""), ssh.Access(login), probe.Interest())
        for name in (here, silent, idle)
    }
    states = {name: state.ServerState() for name in (here, new, silent, idle)}
    works = Story().walk().work[PROXY]
    found = balancers.foresee(
        (here, new, away, silent, idle),
        probe.Answers(states, {away: "it is stopped"}, asked),
        {here: works, new: works, silent: works},
        (),
    )
    assert found == (
        answered,
        report.BalancerPreview(new, unknown="the server is not there yet"),
        report.BalancerPreview(away, unknown="it is stopped"),
        report.BalancerPreview(silent, unknown="no answer"),
        report.BalancerPreview(idle),
    )
