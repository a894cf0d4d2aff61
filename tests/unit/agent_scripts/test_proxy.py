"""startProxy and stopProxy with a real HAProxy: nodes join and leave, and no request fails meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import certificates

from .balancing import BLOG, SHOP, config, end, free_port, master_of, publish, workers
from .server import Result, Server, is_running, until


class Node(http.server.ThreadingHTTPServer):
    """An application server that answers with its own port."""

    hold: threading.Event | None = None

    @property
    def port(self) -> str:
        return str(self.server_port)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Node

    def do_GET(self) -> None:
        if self.path == "/slow" and self.server.hold:
            self.server.hold.wait(60)
        body = f"{self.server.port} {self.headers['X-Forwarded-For']} {self.headers['X-Forwarded-Proto']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    with contextlib.ExitStack() as stack:
        # One address each, since stopProxy goes by addresses.
        running = [stack.enter_context(Node((f"127.0.0.{number}", 0), Handler)) for number in (1, 2, 3)]
        for node in running:
            threading.Thread(target=node.serve_forever, daemon=True).start()
            stack.callback(node.shutdown)
        yield running


def join(
    balancer: Server, service: str, node: Node, *ssl_files: Path, names: str = "shop.test,NONE"
) -> Result:
    primary, _, secondary = names.partition(",")
    address = str(node.server_address[0])
    return balancer.call(
        "startProxy",
        service,
        primary,
        secondary,
        "127.0.0.1",
        address,
        node.port,
        *ssl_files,
        GANTRY_PROXY_SECONDS="2",
    )


def ask(port: int, host: str = "shop.test", path: str = "/", scheme: str = "http") -> str:
    request = urllib.request.Request(f"{scheme}://127.0.0.1:{port}{path}", headers={"Host": host})
    context = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.code)


def answering(port: int, nodes: list[Node]) -> bool:
    """Whether all of these nodes answer, and no others."""
    missing = {node.port for node in nodes}
    for _ in range(40):
        answer = ask(port).split()[0]
        assert answer in {node.port for node in nodes}
        missing.discard(answer)
        if not missing:
            return True
    return False


def test_nodes_join_and_leave_and_no_request_fails(balancer: Server, nodes: list[Node]) -> None:
    port = free_port()
    publish(balancer, SHOP, port)
    result = join(balancer, SHOP, nodes[0])
    assert result.code == 0, result.err
    assert ask(port) == f"{nodes[0].port} 127.0.0.1 None"
    master = master_of(balancer)
    failures: list[object] = []
    stop = threading.Event()

    def hammer() -> None:
        while not stop.is_set():
            try:
                answer = ask(port)
                if not answer.endswith("None"):
                    failures.append(answer)
            except OSError as error:
                failures.append(error)

    visitors = [threading.Thread(target=hammer) for _ in range(2)]
    for visitor in visitors:
        visitor.start()
    try:
        for node in nodes[1:]:
            assert join(balancer, SHOP, node).code == 0
        assert answering(port, nodes)
        assert balancer.call("stopProxy", "127.0.0.1").code == 0
        assert answering(port, nodes[1:])
    finally:
        stop.set()
        for visitor in visitors:
            visitor.join()
    assert failures == []
    assert master_of(balancer) == master


def test_what_is_there_already_changes_nothing(balancer: Server, nodes: list[Node]) -> None:
    publish(balancer, SHOP, free_port())
    join(balancer, SHOP, nodes[0])
    before = config(balancer), workers(master_of(balancer))
    result = join(balancer, SHOP, nodes[0])
    assert (result.code, "already" in result.err) == (0, True)
    result = balancer.call("stopProxy", "127.0.0.77")
    assert (result.code, "no service has a node" in result.err) == (0, True)
    # 127.0.0.1 is not a part of it.
    assert balancer.call("stopProxy", "127.0.0").code == 0
    assert (config(balancer), workers(master_of(balancer))) == before


def test_nothing_to_leave_on_a_server_without_services(balancer: Server) -> None:
    assert balancer.call("stopProxy", "127.0.0.1").code == 0
    assert not balancer.path("etc/haproxy/haproxy.cfg").exists()


def test_same_nodes_same_bytes(balancer: Server, nodes: list[Node]) -> None:
    publish(balancer, SHOP, free_port())
    for node in nodes[:2]:
        join(balancer, SHOP, node)
    first = config(balancer)
    balancer.call("stopProxy", "127.0.0.1")
    for node in reversed(nodes[:2]):
        join(balancer, SHOP, node, names="Shop.test,NONE")
    assert config(balancer) == first


def test_a_request_under_way_is_finished_when_its_node_leaves(balancer: Server, nodes: list[Node]) -> None:
    port = free_port()
    publish(balancer, SHOP, port)
    join(balancer, SHOP, nodes[0])
    nodes[0].hold = threading.Event()
    answers: list[str] = []
    visitor = threading.Thread(target=lambda: answers.append(ask(port, path="/slow")))
    visitor.start()
    join(balancer, SHOP, nodes[1])
    assert balancer.call("stopProxy", "127.0.0.1").code == 0
    assert answering(port, nodes[1:2])
    nodes[0].hold.set()
    visitor.join()
    assert answers[0].split()[0] == nodes[0].port


def test_a_node_is_drained_when_the_last_request_to_it_has_ended_and_not_before(
    balancer: Server, nodes: list[Node]
) -> None:
    port = free_port()
    publish(balancer, SHOP, port)
    join(balancer, SHOP, nodes[0])
    held = balancer.call("awaitDrained", SHOP, "127.0.0.1", "0")
    assert (held.code, "has not left" in held.err) == (0, True)
    nodes[0].hold = threading.Event()
    answers: list[str] = []
    visitor = threading.Thread(target=lambda: answers.append(ask(port, path="/slow")))
    visitor.start()
    join(balancer, SHOP, nodes[1])
    assert balancer.call("stopProxy", "127.0.0.1").code == 0
    in_vain = balancer.call("awaitDrained", SHOP, "127.0.0.1", "1")
    assert in_vain.code == 0, in_vain.err
    assert "HAProxy finishes what came before" in in_vain.err
    assert "not drained after 1 s; going on" in in_vain.err
    waiting = balancer.start("awaitDrained", SHOP, "127.0.0.1", "30")
    assert answers == []
    nodes[0].hold.set()
    _, said = waiting.communicate(timeout=60)
    assert (waiting.returncode, "nothing is under way to 127.0.0.1" in said) == (0, True)
    visitor.join()
    assert answers[0].split()[0] == nodes[0].port


def test_a_visitor_whose_connection_stays_is_answered_when_the_node_that_it_knows_has_left(
    balancer: Server, nodes: list[Node]
) -> None:
    port = free_port()
    publish(balancer, SHOP, port)
    join(balancer, SHOP, nodes[0])
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as visitor:
        for node in (None, nodes[1]):
            if node is not None:
                join(balancer, SHOP, node)
                assert balancer.call("stopProxy", "127.0.0.1").code == 0
            visitor.request("GET", "/", headers={"Host": "shop.test"})
            answer = visitor.getresponse()
            answer.read()
            assert answer.status == 200
        # The old worker says goodbye with its answer, and not while the visitor may be asking.
        assert answer.will_close
    assert "nothing is under way" in balancer.call("awaitDrained", SHOP, "127.0.0.1", "10").err


def test_where_no_balancer_runs_nothing_is_under_way(balancer: Server) -> None:
    result = balancer.call("awaitDrained", SHOP, "127.0.0.1", "10")
    assert (result.code, "nothing is under way" in result.err) == (0, True)
    assert balancer.call("awaitDrained", SHOP, "127.0.0.1").code == 2
    assert balancer.call("awaitDrained", SHOP, "127.0.0.1", "soon").code == 2


def test_services_on_one_port_are_told_apart_by_their_names(balancer: Server, nodes: list[Node]) -> None:
    port = free_port()
    publish(balancer, SHOP, port)
    publish(balancer, BLOG, port)
    assert join(balancer, SHOP, nodes[0], names="shop.test,www.shop.test,m.shop.test").code == 0
    # The only one gets everything.
    assert ask(port, "elsewhere.test").split()[0] == nodes[0].port
    assert join(balancer, BLOG, nodes[1], names="blog.test,NONE").code == 0
    for host, node in [("shop.test", 0), ("M.Shop.Test:80", 0), ("www.shop.test", 0), ("blog.test", 1)]:
        assert ask(port, host).split()[0] == nodes[node].port
    assert ask(port, "elsewhere.test") == "503"
    before = config(balancer)
    result = join(balancer, BLOG, nodes[2], names="shop.test,NONE")
    assert (result.code, "the name shop.test" in result.err) == (21, True)
    assert config(balancer) == before
    assert join(balancer, BLOG, nodes[2], names="blog.test,NONE").code == 0


def many(count: int, length: int, domain: str) -> list[str]:
    """Different host names of about that length."""
    return [f"{'x' * (length - len(domain) - 6)}{number:05}.{domain}" for number in range(count)]


@pytest.mark.parametrize(("count", "length"), [(57, 12), (400, 63), (1500, 20)])
def test_any_number_of_names_can_stand_in_front_of_one_service(
    balancer: Server, nodes: list[Node], count: int, length: int
) -> None:
    port = free_port()
    publish(balancer, SHOP, port)
    publish(balancer, BLOG, port)
    names = many(count, length, "test")
    assert join(balancer, BLOG, nodes[1], names="blog.example,NONE").code == 0
    result = join(balancer, SHOP, nodes[0], names=",".join(names))
    assert result.code == 0, result
    for host in (names[0], names[count // 2], names[-1]):
        assert ask(port, host).split()[0] == nodes[0].port
    assert ask(port, "blog.example").split()[0] == nodes[1].port
    assert max(map(len, config(balancer).splitlines())) < 2048


def test_a_port_with_more_certificates_than_a_line_holds_shows_each_visitor_the_right_one(
    balancer: Server, nodes: list[Node], tmp_path: Path
) -> None:
    port, services = free_port(), [f"a{number}" for number in range(100, 133)]
    for service in services[:-1]:
        made = certificates.sign(f"{service}.test")
        folder = balancer.path(f"enstratus/ws/proxy/{service}")
        (folder / "nodes").mkdir(parents=True)
        (folder / "names").write_text(f"{service}.test\n")
        (folder / "ssl.pem").write_text(made.pem + made.key_pem)
        publish(balancer, service, port)
    made, last = certificates.sign(f"{services[-1]}.test"), services[-1]
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    files[0].write_text(made.pem)
    files[1].write_text(made.key_pem)
    publish(balancer, last, port)
    result = join(balancer, last, nodes[0], *files, names=f"{last}.test,NONE")
    assert result.code == 0, result
    assert ask(port, f"{last}.test", scheme="https").split()[0] == nodes[0].port
    context = ssl._create_unverified_context()
    for service in (services[0], services[30], last):
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            context.wrap_socket(plain, server_hostname=f"{service}.test") as secure,
        ):
            shown = secure.getpeercert(binary_form=True)
        assert shown is not None
        assert f"{service}.test".encode() in shown


def test_names_that_move_between_services_of_one_port_follow_the_newest_word(
    balancer: Server, nodes: list[Node]
) -> None:
    port = free_port()
    both = f"balancedServices={SHOP},{BLOG}\n"
    publish(balancer, SHOP, port, both)
    publish(balancer, BLOG, port, both)
    assert join(balancer, SHOP, nodes[0], names="one.test,two.test").code == 0
    assert join(balancer, BLOG, nodes[1], names="three.test,NONE").code == 0
    # They change places, whoever comes first.
    taken = join(balancer, BLOG, nodes[1], names="one.test,two.test")
    assert (taken.code, f"names of {SHOP} are those of {BLOG} now" in taken.err) == (0, True), taken
    assert ask(port, "one.test").split()[0] == nodes[1].port
    assert join(balancer, SHOP, nodes[0], names="three.test,NONE").code == 0
    assert [ask(port, f"{name}.test").split()[0] for name in ("one", "two", "three")] == [
        nodes[1].port,
        nodes[1].port,
        nodes[0].port,
    ]
    # On another port the same name is another one's.
    other = free_port()
    publish(balancer, "a3", other, f"balancedServices={SHOP},{BLOG},a3\n")
    assert join(balancer, "a3", nodes[2], names="three.test,NONE").code == 0
    assert ask(port, "three.test").split()[0] == nodes[0].port


def test_a_refusal_of_haproxys_quotes_the_line_and_tells_whose_it_is(
    balancer: Server, nodes: list[Node]
) -> None:
    publish(balancer, SHOP, free_port())
    assert join(balancer, SHOP, nodes[0]).code == 0
    publish(balancer, BLOG, 99999)
    result = join(balancer, BLOG, nodes[1])
    assert (result.code, 'in "frontend port-99999": bind *:99999' in result.err) == (21, True), result


def test_a_load_balancer_that_stands_in_front_of_another_service_now_takes_its_name_along(
    balancer: Server, nodes: list[Node]
) -> None:
    port, other_port = free_port(), free_port()
    both = f"balancedServices={SHOP},{SHOP}.admin\n"
    publish(balancer, SHOP, port, both)
    publish(balancer, f"{SHOP}.admin", other_port, both)
    assert join(balancer, SHOP, nodes[0]).code == 0
    assert join(balancer, f"{SHOP}.admin", nodes[1], names="admin.test,NONE").code == 0
    assert (ask(port).split()[0], ask(other_port).split()[0]) == (nodes[0].port, nodes[1].port)
    # Its place is not taken by one that cannot be loaded.
    publish(balancer, BLOG, other_port, f"balancedServices={BLOG},{SHOP}.admin\n")
    assert join(balancer, BLOG, nodes[2], Path("/dev/null"), Path("/dev/null")).code == 21
    assert ask(port).split()[0] == nodes[0].port

    publish(balancer, BLOG, port, f"balancedServices={BLOG},{SHOP}.admin\n")
    result = join(balancer, BLOG, nodes[2])
    assert (result.code, f"{SHOP} is not balanced here any more" in result.err) == (0, True), result
    assert (ask(port).split()[0], ask(other_port).split()[0]) == (nodes[2].port, nodes[1].port)
    assert nodes[0].port not in config(balancer)
    assert "has this configuration already" in join(balancer, BLOG, nodes[2]).err


def test_a_node_that_listens_on_another_port_now_is_asked_there_only(
    balancer: Server, nodes: list[Node]
) -> None:
    port = free_port()
    publish(balancer, SHOP, port)
    assert join(balancer, SHOP, nodes[0]).code == 0
    with Node((str(nodes[0].server_address[0]), 0), Handler) as moved:
        threading.Thread(target=moved.serve_forever, daemon=True).start()
        assert join(balancer, SHOP, moved).code == 0
        assert answering(port, [moved])
        assert config(balancer).count("    server ") == 1
        moved.shutdown()


def test_many_starts_at_once_all_count(balancer: Server, nodes: list[Node]) -> None:
    port = free_port()
    publish(balancer, SHOP, port)
    codes: list[int] = []
    calls = [
        threading.Thread(target=lambda node=node: codes.append(join(balancer, SHOP, node).code))
        for node in nodes
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert codes == [0, 0, 0]
    assert answering(port, nodes)


def test_a_port_that_is_taken_leaves_all_as_it_was(balancer: Server, nodes: list[Node]) -> None:
    port = free_port()
    publish(balancer, SHOP, port)
    join(balancer, SHOP, nodes[0])
    before = config(balancer)
    with socket.create_server(("0.0.0.0", 0)) as taken:
        publish(balancer, BLOG, taken.getsockname()[1])
        result = join(balancer, BLOG, nodes[1])
        assert (result.code, "as it was before" in result.err) == (21, True)
        assert config(balancer) == before
        assert not balancer.path(f"enstratus/ws/proxy/{BLOG}/names").exists()
        assert ask(port).split()[0] == nodes[0].port
        # And the balancer is fit for the next change.
        assert join(balancer, SHOP, nodes[2]).code == 0
        assert answering(port, [nodes[0], nodes[2]])


def test_a_refused_configuration_leaves_all_as_it_was(balancer: Server, nodes: list[Node]) -> None:
    port = free_port()
    publish(balancer, SHOP, port)
    join(balancer, SHOP, nodes[0])
    before = config(balancer)
    publish(balancer, BLOG, 99999)
    result = join(balancer, BLOG, nodes[1])
    assert (result.code, "HAProxy refuses" in result.err) == (21, True)
    assert (config(balancer), ask(port).split()[0]) == (before, nodes[0].port)
    publish(balancer, BLOG, port, "port.1.protocol=TCP\n")
    result = join(balancer, BLOG, nodes[1])
    assert (result.code, "different protocols" in result.err) == (21, True)


def test_a_dead_balancer_is_started_again(balancer: Server, nodes: list[Node]) -> None:
    port = free_port()
    publish(balancer, SHOP, port)
    join(balancer, SHOP, nodes[0])
    end(balancer)
    assert join(balancer, SHOP, nodes[0]).code == 0
    assert answering(port, nodes[:1])


def test_a_balancer_that_something_else_started_is_taken_over(
    balancer: Server, nodes: list[Node], need: dict[str, str]
) -> None:
    port = free_port()
    alone = (
        "defaults\n  mode http\n  timeout client 1s\n  timeout server 1s\n  timeout connect 1s\n"
        f"frontend old\n  bind *:{port}\n"
    )
    balancer.write("etc/haproxy/haproxy.cfg", alone)
    balancer.path("run").mkdir()
    pid_file, its_config = balancer.path("run/haproxy.pid"), balancer.path("etc/haproxy/haproxy.cfg")
    subprocess.run([need["haproxy"], "-D", "-p", pid_file, "-f", its_config], check=True)
    old = master_of(balancer)
    publish(balancer, SHOP, port)
    assert join(balancer, SHOP, nodes[0]).code == 0
    until(lambda: not is_running(old), "the old one has ended")
    assert answering(port, nodes[:1])
    assert balancer.path("etc/haproxy/haproxy.cfg.before-gantry").read_text() == alone


def test_https_ends_at_the_balancer(balancer: Server, nodes: list[Node]) -> None:
    port = free_port()
    publish(balancer, SHOP, port)
    cert, key = balancer.path("tmp-cert.pem"), balancer.path("tmp-key.pem")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=shop.test"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", cert], check=True, capture_output=True)
    assert join(balancer, SHOP, nodes[0], cert, key, cert).code == 0
    assert ask(port, scheme="https").split()[::2] == [nodes[0].port, "https"]
    pem = balancer.path(f"enstratus/ws/proxy/{SHOP}/ssl.pem")
    assert pem.stat().st_mode & 0o777 == 0o600
    assert pem.read_text().rstrip().endswith("PRIVATE KEY-----")
    assert join(balancer, SHOP, nodes[0], cert, balancer.path("nowhere")).code == 21
    broken = balancer.write("broken.pem", "no key")
    assert join(balancer, SHOP, nodes[1], cert, broken).code == 21
    assert ask(port, scheme="https").split()[0] == nodes[0].port


@pytest.fixture
def secure_node(tmp_path: Path) -> Iterator[Node]:
    """A node that speaks HTTPS itself, with a certificate that nobody trusts."""
    signed = certificates.sign("node.test")
    path = tmp_path / "node.pem"
    path.write_text(signed.pem + signed.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with Node(("127.0.0.4", 0), Handler) as node:
        node.socket = context.wrap_socket(node.socket, server_side=True)
        threading.Thread(target=node.serve_forever, daemon=True).start()
        yield node
        node.shutdown()


def shown_certificate(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port))


def test_https_of_the_nodes_is_passed_through_or_spoken_with_the_balancers_own_certificate(
    balancer: Server, secure_node: Node, tmp_path: Path
) -> None:
    port = free_port()
    publish(balancer, SHOP, port, "port.1.protocol=https\n")
    assert join(balancer, SHOP, secure_node).code == 0
    assert ask(port, scheme="https").split()[0] == secure_node.port
    assert shown_certificate(port) in (tmp_path / "node.pem").read_text()

    own = certificates.sign("shop.test")
    cert, key = balancer.write("cert.pem", own.pem), balancer.write("key.pem", own.key_pem)
    assert join(balancer, SHOP, secure_node, cert, key).code == 0
    assert ask(port, scheme="https").split()[::2] == [secure_node.port, "https"]
    assert shown_certificate(port) == own.pem


def test_a_renewed_certificate_is_shown_and_the_same_one_changes_nothing(
    balancer: Server, nodes: list[Node]
) -> None:
    port = free_port()
    publish(balancer, SHOP, port)
    for number in range(2):
        own = certificates.sign("shop.test")
        files = balancer.write("cert.pem", own.pem), balancer.write("key.pem", own.key_pem)
        assert join(balancer, SHOP, nodes[0], *files).code == 0, number
        assert shown_certificate(port) == own.pem
    assert "has this configuration already" in join(balancer, SHOP, nodes[0], *files).err


def test_another_balancers_helper_can_be_put_in_place(server: Server) -> None:
    server.custom("proxy-mine", 'echo "mine $*"')
    server.write("enstratus/custom/proxy-helper", "proxy-mine\n")
    arguments = (SHOP, "shop.test", "NONE", "10.0.0.1", "10.0.0.2", "80")
    result = server.call("startProxy", *arguments)
    assert (result.code, result.out) == (0, "mine add a1 shop.test NONE 10.0.0.1 10.0.0.2 80\n")
    server.custom("proxy-mine", "exit 3")
    assert server.call("startProxy", *arguments).code == 21
    assert server.call("stopProxy", "10.0.0.2").code == 21
    assert server.call("stopProxy", "10.0.0.2", GANTRY_PROXY_HELPER="../bin/job").code == 21


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("a1", "shop.test", "NONE", "10.0.0.1", "10.0.0.2"),
        ("a1", "shop.test", "NONE", "10.0.0.1", "10.0.0.2", "80", "/cert"),
        ("../a1", "shop.test", "NONE", "10.0.0.1", "10.0.0.2", "80"),
        ("a1", "shop test", "NONE", "10.0.0.1", "10.0.0.2", "80"),
        ("a1", "shop.test", "x,y z", "10.0.0.1", "10.0.0.2", "80"),
        ("a1", "shop.test", "NONE", "10.0.0.1", "10.0.0.2/x", "80"),
        ("a1", "shop.test", "NONE", "10.0.0.1", "10.0.0.2", "http"),
        ("a1", "shop.test", "NONE", "10.0.0.1", "10.0.0.2", "80\n    user root"),
    ],
)
def test_wrong_arguments_are_a_failure_and_change_nothing(
    balancer: Server, arguments: tuple[str, ...]
) -> None:
    assert balancer.call("startProxy", *arguments).code == 21
    assert not balancer.path("enstratus/ws/proxy").exists()
    assert balancer.call("stopProxy", "10.0.0.2 10.0.0.3").code == 21


class Ipv6Node(Node):
    """An application server that only IPv6 reaches."""

    address_family = socket.AF_INET6


@pytest.fixture
def ipv6_node() -> Iterator[Ipv6Node]:
    try:
        node = Ipv6Node(("::1", 0), Handler)
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    with node:
        threading.Thread(target=node.serve_forever, daemon=True).start()
        yield node
        node.shutdown()


def test_a_balancer_that_is_known_by_an_ipv6_address_listens_there_too_and_sends_to_ipv6_nodes(
    balancer: Server, ipv6_node: Ipv6Node
) -> None:
    port = free_port()
    publish(balancer, "a1002", port, "addresses=2001:db8::15\n")
    assert join(balancer, "a1002", ipv6_node).code == 0
    assert f"bind :::{port} v4v6\n" in config(balancer)
    assert f" [::1]:{ipv6_node.port} check" in config(balancer)
    with urllib.request.urlopen(f"http://[::1]:{port}/", timeout=60) as answer:
        assert answer.read().decode().split()[0] == ipv6_node.port
    # IPv4 too.
    assert ask(port).split()[0] == ipv6_node.port
    assert balancer.call("stopProxy", "::1").code == 0
    assert "[::1]" not in config(balancer)


def test_a_balancer_that_is_known_by_ipv4_needs_no_ipv6(balancer: Server, nodes: list[Node]) -> None:
    port = free_port()
    publish(balancer, "a1002", port, "addresses=10.0.0.15\n")
    assert join(balancer, "a1002", nodes[0]).code == 0
    assert f"bind *:{port}\n" in config(balancer)
