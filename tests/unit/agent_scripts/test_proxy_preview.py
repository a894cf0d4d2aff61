"""previewProxy with a real HAProxy: it says what startProxy and stopProxy would make, and changes nothing."""

from __future__ import annotations

import dataclasses
import io
import shlex
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import certificates

from .balancing import BLOG, SHOP, config, end, free_port, master_of, publish, workers
from .server import Server

KNOWN_LATER = "(known after launch)"


@dataclasses.dataclass(frozen=True)
class Preview:
    """What previewProxy has printed, by its words."""

    code: int
    err: str
    said: Mapping[str, list[str]]

    def __getitem__(self, word: str) -> list[str]:
        return self.said.get(word, [])


def preview(
    server: Server, *calls: tuple[str, ...], files: Mapping[str, str] | None = None, **environment: str
) -> Preview:
    buffer = io.BytesIO()
    lines = "".join(f"{shlex.join(call)}\n" for call in calls)
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in {**(files or {}), "calls": lines}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    done = subprocess.run(
        [server.bin("previewProxy")],
        env=server.environment | {"GANTRY_QUIET": "1"} | environment,
        input=buffer.getvalue(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    said: dict[str, list[str]] = {}
    for line in done.stdout.decode().splitlines():
        word, _, text = line.partition(" ")
        said.setdefault(word, []).append(text)
    return Preview(done.returncode, done.stderr.decode(), said)


def node(number: int, service: str = SHOP, names: str = "shop.test") -> tuple[str, ...]:
    """The arguments of startProxy for a node that need not answer."""
    primary, _, secondary = names.partition(",")
    return service, primary, secondary or "NONE", "127.0.0.1", f"127.0.0.{number}", "8000"


def start(balancer: Server, *arguments: str | Path) -> None:
    result = balancer.call("startProxy", *arguments, GANTRY_PROXY_SECONDS="5")
    assert result.code == 0, result.err


def lines(balancer: Server) -> list[str]:
    """The configuration without its sum."""
    return [line for line in config(balancer).splitlines() if "description" not in line]


def trace(server: Server) -> str:
    """Everything on the server, with its times and contents."""
    script = "find . -printf '%p %m %s %T@ %C@\\n' | sort; find . -type f -exec sha256sum {} + | sort"
    done = subprocess.run(["sh", "-c", script], cwd=server.root, capture_output=True, text=True, check=True)
    return done.stdout


def temporary() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("gantry-preview.*"))


def test_what_is_said_is_what_the_calls_then_make_and_saying_it_changes_nothing(balancer: Server) -> None:
    port = free_port()
    publish(balancer, SHOP, port)
    start(balancer, *node(1))
    start(balancer, *node(2))
    # What is to happen: a node leaves, one joins, a service gets more names, and another one comes on the same port.
    files = {"one": f"port.1.publicPort={port}\r\n", "two": f"port.1.publicPort={port}\n"}
    more = "shop.test,www.shop.test"
    before, master, children = trace(balancer), master_of(balancer), workers(master_of(balancer))
    left = temporary()
    said = preview(
        balancer,
        ("remove", "127.0.0.1"),
        ("config", SHOP, "one"),
        ("add", *node(2, names=more)),
        ("add", *node(3, names=more)),
        ("config", BLOG, "two"),
        ("add", *node(4, BLOG, "blog.test")),
        files=files,
    )
    assert said.code == 0, said
    assert said["path"] == [str(balancer.path("etc/haproxy/haproxy.cfg"))]
    assert said["before"] == lines(balancer)
    assert (said["refusal"], said["unknown"], said["reason"], said["note"]) == ([], [], [], [])
    assert trace(balancer) == before
    assert (master_of(balancer), workers(master)) == (master, children)
    assert temporary() <= left

    assert balancer.call("stopProxy", "127.0.0.1").code == 0
    start(balancer, *node(2, names=more))
    start(balancer, *node(3, names=more))
    publish(balancer, BLOG, port)
    start(balancer, *node(4, BLOG, "blog.test"))
    assert said["after"] == lines(balancer)


def test_what_is_there_already_stays_as_it_is(balancer: Server) -> None:
    publish(balancer, SHOP, free_port())
    start(balancer, *node(1))
    said = preview(balancer, ("add", *node(1)))
    assert said["before"] == said["after"] == lines(balancer)
    assert (said["reason"], said["note"]) == ([], [])
    # A person has changed the file: the next startProxy undoes that.
    file = balancer.path("etc/haproxy/haproxy.cfg")
    file.write_text(file.read_text() + "# mine\n")
    said = preview(balancer, ("add", *node(1)))
    assert said["before"] == [*said["after"], "# mine"]


def test_a_balancer_that_does_not_run_or_runs_with_something_else_is_a_reason(balancer: Server) -> None:
    publish(balancer, SHOP, free_port())
    start(balancer, *node(1))
    file = balancer.path("etc/haproxy/haproxy.cfg")
    file.write_text(file.read_text().replace("description gantry-", "description gantry-0"))
    assert preview(balancer, ("add", *node(1)))["reason"] == [
        "HAProxy runs with another configuration: a launch has it read this one"
    ]
    end(balancer)
    assert preview(balancer, ("add", *node(1)))["reason"] == ["HAProxy does not run: a launch starts it"]
    assert preview(balancer, ("remove", "127.0.0.9"))["reason"] == [], "stopProxy starts nothing"


def test_before_the_first_node_everything_is_new_and_what_another_has_written_is_not_shown(
    balancer: Server,
) -> None:
    port = free_port()
    calls = (("config", SHOP, "one"), ("add", *node(1)))
    files = {"one": f"port.1.publicPort={port}\n"}
    before = trace(balancer)
    said = preview(balancer, *calls, files=files)
    assert (said["before"], said["hidden"]) == ([], [])
    assert f"    bind *:{port}" in said["after"]
    assert trace(balancer) == before
    balancer.write("etc/haproxy/haproxy.cfg", "listen stats\n    stats auth admin:s3same\n")
    said = preview(balancer, *calls, files=files)
    assert said["hidden"] == ["it was not made by Gantry, and is kept as haproxy.cfg.before-gantry"]
    assert "s3same" not in repr(said)
    assert said["before"] == []
    # Nothing is balanced, and nobody is to be: there is no configuration to make.
    assert preview(balancer, ("remove", "127.0.0.1"))["after"] == []


def test_where_haproxy_is_missing_nothing_can_be_told(balancer: Server, tmp_path: Path) -> None:
    for name in ("sh", "tar", "mktemp", "rm", "cat"):
        (tmp_path / name).symlink_to(f"/bin/{name}")
    script = balancer.path("enstratus/lib/agent.sh")
    # It adds the folders in which haproxy is.
    script.write_text(script.read_text().replace("PATH=${PATH:+", "PATH=$PATH #"))
    said = preview(balancer, ("add", *node(1)), PATH=str(tmp_path))
    assert (said.code, said["unknown"]) == (0, ["HAProxy is not installed yet"]), said


def test_a_refusal_of_haproxys_is_said_beforehand_and_quotes_the_line(balancer: Server) -> None:
    publish(balancer, SHOP, free_port())
    start(balancer, *node(1))
    said = preview(
        balancer,
        ("config", BLOG, "one"),
        ("add", *node(2, BLOG, "blog.test")),
        files={"one": "port.1.publicPort=99999\n"},
    )
    (refusal,) = said["refusal"]
    assert refusal.startswith("HAProxy refuses the new configuration: ")
    assert 'in "frontend port-99999": bind *:99999' in refusal
    assert "gantry-preview" not in refusal
    assert "    bind *:99999" in said["after"]


def test_what_the_helper_itself_would_refuse_is_said_also_where_a_later_call_makes_it_good(
    balancer: Server,
) -> None:
    port = free_port()
    publish(balancer, SHOP, port)
    start(balancer, *node(1))
    said = preview(
        balancer,
        ("config", BLOG, "one"),
        ("add", *node(2, BLOG, "shop.test")),
        ("add", *node(1, SHOP, "other.test")),
        files={"one": f"port.1.publicPort={port}\n"},
    )
    assert said["refusal"] == [f"two services on port {port} have the name shop.test: {SHOP} and {BLOG}"]
    assert said["after"] == []
    # Where the control plane says that both are balanced here, the newest word counts.
    both = f"port.1.publicPort={port}\nbalancedServices={SHOP},{BLOG}\n"
    said = preview(
        balancer,
        ("config", BLOG, "one"),
        ("add", *node(2, BLOG, "shop.test")),
        ("add", *node(1, SHOP, "other.test")),
        files={"one": both},
    )
    assert said["refusal"] == []
    assert f"    use_backend {BLOG} if {{ req.hdr(host),field(1,:),lower -m str shop.test }}" in said["after"]


def test_of_a_certificate_only_the_public_part_is_needed_and_its_key_is_copied_nowhere(
    balancer: Server,
) -> None:
    publish(balancer, SHOP, free_port())
    own, renewed = certificates.sign("shop.test"), certificates.sign("shop.test")
    cert, key = balancer.write("cert.pem", own.pem), balancer.write("key.pem", own.key_pem)
    start(balancer, *node(1), cert, key, cert)
    files = {"own": own.pem, "renewed": renewed.pem}
    # The helper of the test sees what is in its temporary folder just before it is removed.
    watching = balancer.path("enstratus/bin/proxy-haproxy-preview")
    watching.rename(watching.with_name("real-preview"))
    seen = balancer.path("seen")
    balancer.script(watching, f'"${{0%/*}}/real-preview" "$@"\ncp -rP "$1" "{seen}.$$"\nexit 0')
    same = preview(balancer, ("add", *node(1), "own", "NONE", "own"), files=files)
    assert same["after"] == same["before"] == lines(balancer)
    # Without the chain, it is another file.
    for call in (("renewed", "NONE", "NONE"), ("own", "NONE")):
        other = preview(balancer, ("add", *node(1), *call), files=files)
        changed = [line for line in other["after"] if line not in other["before"]]
        assert changed == [f"    # {SHOP}: certificate {KNOWN_LATER}"]
        assert (other["refusal"], other["note"]) == ([], []), "checked with the one that is there"
    assert f"crt {balancer.path(f'enstratus/ws/proxy/{SHOP}/ssl.pem')}" in "".join(other["after"])
    plain = preview(balancer, ("add", *node(1)), files=files)
    assert not any("ssl" in line for line in plain["after"])
    # Another service comes in place of this one, whose files go.
    files["in-place"] = f"balancedServices={BLOG}\n"
    instead = preview(
        balancer, ("config", BLOG, "in-place"), ("add", *node(2, BLOG, "blog.test")), files=files
    )
    assert not any(SHOP in line for line in instead["after"]), instead
    copies = [path for path in balancer.root.glob("seen.*/**/*") if path.is_file() and not path.is_symlink()]
    assert len(copies) > 5 * 5
    assert not any(b"PRIVATE KEY" in path.read_bytes() for path in copies)


def test_a_first_certificate_cannot_be_checked_and_that_is_said(balancer: Server) -> None:
    publish(balancer, SHOP, free_port())
    said = preview(
        balancer, ("add", *node(1), "own", "NONE"), files={"own": certificates.sign("shop.test").pem}
    )
    assert f"    # {SHOP}: certificate {KNOWN_LATER}" in said["after"]
    assert said["note"] == ["HAProxy could not check it: a certificate comes only with the launch"]


def test_a_helper_of_ones_own_is_asked_only_if_it_has_a_preview(server: Server) -> None:
    server.custom("proxy-mine", "touch $GANTRY_ROOT/called")
    server.write("enstratus/custom/proxy-helper", "proxy-mine\n")
    said = preview(server, ("remove", "127.0.0.1"))
    assert (said.code, len(said["unknown"])) == (0, 1), said
    assert "the helper proxy-mine has no preview" in said["unknown"][0]
    server.custom("proxy-mine-preview", 'echo "path /etc/mine"; sed "s/^/after /" "$1/calls"')
    said = preview(server, ("remove", "127.0.0.1"))
    assert (said["path"], said["after"]) == (["/etc/mine"], ["remove 127.0.0.1"])
    server.custom("proxy-mine-preview", "exit 3")
    assert preview(server, ("remove", "127.0.0.1")).code == 21
    assert not server.path("called").exists()


def test_a_script_of_ones_own_in_place_of_startproxy_cannot_be_foreseen_and_hooks_are_mentioned(
    balancer: Server,
) -> None:
    hook = balancer.custom("startProxy-post", "exit 0")
    said = preview(balancer, ("add", *node(1)))
    assert said["note"] == [f"{hook} runs as well; what it does is not shown"]
    assert said["after"]
    own = balancer.custom("stopProxy", "exit 0")
    said = preview(balancer, ("add", *node(1)))
    assert (said["unknown"], said["after"]) == ([f"stopProxy is replaced by {own}"], [])


@pytest.mark.parametrize("calls", [[("what", "x")], [("add", "a1")]])
def test_calls_that_are_none_are_a_refusal_and_no_accident(
    balancer: Server, calls: list[tuple[str, ...]]
) -> None:
    said = preview(balancer, *calls)
    assert (said.code, len(said["refusal"])) == (0, 1), said
    broken = subprocess.run(
        [balancer.bin("previewProxy")],
        env=balancer.environment,
        input=b"no tar",
        capture_output=True,
        check=False,
    )
    assert broken.returncode == 20
