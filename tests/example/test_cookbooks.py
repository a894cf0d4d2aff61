"""The bookshop's cookbooks make of a bare server what its services expect, and then leave it alone."""

from __future__ import annotations

import dataclasses
import json
import shutil
import uuid
from collections.abc import Iterator

import docker
import pytest
from docker.errors import DockerException, ImageNotFound
from docker.models.networks import Network

from gantry import archive
from gantry.configuration_management import chef_server
from gantry.local.cloud import chef_repository
from gantry.local.cloud import chef_server as goiardi

from .servers import BARE_IMAGE, DATABASE_ID, ROOT, Result, Server

pytestmark = pytest.mark.docker

ROLES = ("databaseServer", "applicationServer", "loadBalancer")


@dataclasses.dataclass(frozen=True)
class Node:
    """A server, and a Chef server that knows the bookshop's roles."""

    server: Server
    role: str
    chef: goiardi.Running

    def converge(self) -> Result:
        """Run chef-client."""
        return self.server.attempt("chef-client -j /etc/chef/first-boot.json 2>&1")

    def prepare(self) -> None:
        """What the agent puts there before the first run."""
        self.server.run("mkdir -p /etc/chef/trusted_certs")
        self.server.write("/etc/chef/trusted_certs/chef.crt", self.chef.certificate)
        self.server.write(
            "/etc/chef/validation.pem", (self.chef.folder / f"{goiardi.VALIDATOR}.pem").read_text()
        )
        self.server.write("/etc/chef/first-boot.json", json.dumps({"run_list": [f"role[{self.role}]"]}))
        self.server.write(
            "/etc/chef/client.rb",
            f"chef_server_url '{self.chef.url}'\nvalidation_client_name '{goiardi.VALIDATOR}'\n"
            f"node_name 'bookshop-{self.role}'\nlog_location STDOUT\nchef_license 'accept'\n",
        )


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    try:
        client = docker.from_env()
        client.images.get(BARE_IMAGE)
    except ImageNotFound:
        pytest.skip(f"no image {BARE_IMAGE}: run docker/setup-machine.sh")
    except DockerException as error:
        pytest.skip(f"the Docker engine does not answer: {error}")
    network = client.networks.create(f"bookshop-{uuid.uuid4().hex[:8]}")
    network.reload()
    yield network
    network.remove()


@pytest.fixture(scope="module")
def chef(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[goiardi.Running]:
    if shutil.which(goiardi.PROGRAM) is None:
        pytest.skip(f"there is no {goiardi.PROGRAM}: run docker/setup-machine.sh")
    address = network.attrs["IPAM"]["Config"][0]["Gateway"]
    with goiardi.running(address, tmp_path_factory.mktemp("goiardi") / "chef") as chef:
        chef.await_answer()
        actor = chef_server.Actor(goiardi.ADMIN, (chef.folder / f"{goiardi.ADMIN}.pem").read_text())
        chef_repository.upload(
            ROOT / "include/chef", chef_server.ChefServer(chef.url, actor, chef.certificate)
        )
        yield chef


@pytest.fixture(scope="module", params=ROLES)
def node(request: pytest.FixtureRequest, network: Network, chef: goiardi.Running) -> Iterator[Node]:
    """A bare server whose first Chef run has succeeded."""
    container = docker.from_env().containers.run(
        BARE_IMAGE,
        entrypoint=["sleep", "infinity"],
        command=[],
        init=True,
        detach=True,
        hostname=f"bookshop-{request.param.lower()}",
        network=network.name,
    )
    try:
        node = Node(Server(container, str(network.name)), request.param, chef)
        node.prepare()
        first = node.converge()
        assert first.code == 0, first.out
        yield node
    finally:
        container.remove(force=True, v=True)


def test_a_second_run_changes_nothing(node: Node) -> None:
    again = node.converge()
    assert again.code == 0, again.out
    assert " 0/" in again.out.partition("nfra Phase complete,")[2], again.out


def test_it_has_what_its_service_expects(node: Node) -> None:
    expected = {
        "databaseServer": "mariadbd --version && mariadb --version && command -v mariadb-install-db",
        "applicationServer": "/usr/bin/python3 -c 'import pymysql'",
        "loadBalancer": "haproxy -v && socat -V",
    }
    node.server.run(expected[node.role])


def test_no_process_of_a_package_stands_in_a_service_s_way(node: Node) -> None:
    # MariaDB belongs to the service db.
    assert node.server.attempt("pgrep -x 'mariadbd|mysqld'").out == ""
    for level in "2345":
        assert node.server.attempt(f"ls /etc/rc{level}.d | grep -i '^S.*mariadb'").out == ""


@pytest.mark.parametrize("node", ["databaseServer"], indirect=True)
def test_an_instance_that_the_package_started_is_stopped(node: Node) -> None:
    node.server.run("service mariadb start && pgrep -x mariadbd")
    stopped = node.converge()
    assert stopped.code == 0, stopped.out
    assert node.server.attempt("pgrep -x mariadbd").out == ""


@pytest.mark.parametrize("node", ["databaseServer"], indirect=True)
def test_a_run_leaves_the_service_alone_and_shows_people_the_way_to_it(
    node: Node, archives: dict[str, archive.BuiltArchive]
) -> None:
    server = node.server
    server.install(archives[DATABASE_ID], DATABASE_ID)
    facts = server.write(
        f"/mnt/services/{DATABASE_ID}/cfg/enstratus.cfg",
        f"[enStratus]\nserviceId={DATABASE_ID}\nrunAsUser=c100\naddresses={server.address}\n"
        "port.1.privatePort=3306\n",
    )
    for script, arguments in (("configure", (DATABASE_ID, facts)), ("start", ())):
        result = server.script(DATABASE_ID, script, *arguments)
        assert result.code == 0, result
    process = server.run("pgrep -x mariadbd")
    again = node.converge()
    assert " 0/" in again.out.partition("nfra Phase complete,")[2], again.out
    assert server.run("pgrep -x mariadbd") == process
    # Without being told where: the client's settings are Chef's.
    assert server.run("mariadb -N -e 'SELECT @@port'") == "3306"


def test_who_logs_in_reads_what_the_server_is_for(node: Node) -> None:
    purpose = json.loads((ROOT / f"include/chef/roles/{node.role}.json").read_text())["default_attributes"]
    line = f"bookshop-{node.role}: {purpose['bookshop']['purpose']} of the bookshop."
    assert line in node.server.run("cat /etc/motd")
