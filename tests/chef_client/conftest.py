"""Bare servers and a Chef server on a network of their own."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator

import docker
import pytest
from docker.errors import DockerException, ImageNotFound
from docker.models.networks import Network

from gantry.local.cloud import chef_server as goiardi

from . import proxy as proxies
from .nodes import Kitchen, Node
from .pool import Pool

# Another image may be tried, such as one that was built with the vendor's own client.
IMAGE = os.environ.get("GANTRY_CHEF_CLIENT_IMAGE", "gantry-server:latest")


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    try:
        client = docker.from_env()
        client.images.get(IMAGE)
    except ImageNotFound:
        pytest.skip(f"no image {IMAGE}: run docker/setup-machine.sh")
    except DockerException as error:
        pytest.skip(f"the Docker engine does not answer: {error}")
    network = client.networks.create(f"chef-client-{uuid.uuid4().hex[:8]}")
    network.reload()
    yield network
    network.remove()


@pytest.fixture(scope="session")
def address(network: Network) -> str:
    """This machine, as the servers see it."""
    return str(network.attrs["IPAM"]["Config"][0]["Gateway"])


@pytest.fixture(scope="session")
def kitchen(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kitchen]:
    if shutil.which(goiardi.PROGRAM) is None:
        pytest.skip(f"there is no {goiardi.PROGRAM}: run docker/setup-machine.sh")
    folder = tmp_path_factory.mktemp("kitchen")
    with goiardi.running(address, folder / "goiardi") as found:
        found.await_answer()
        yield Kitchen(found, folder / "repositories")


@pytest.fixture(scope="session")
def pool(network: Network, kitchen: Kitchen) -> Iterator[Pool]:
    """Bare servers."""
    pool = Pool(IMAGE, network, kitchen)
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture
def node(pool: Pool) -> Iterator[Node]:
    """A bare server, as if no test had had it before."""
    with pool.server() as node:
        yield node


@pytest.fixture(scope="session")
def shared(pool: Pool) -> Iterator[Node]:
    """A bare server for tests that change nothing on it."""
    with pool.server() as node:
        yield node


@pytest.fixture(scope="session")
def client(shared: Node) -> str:
    """What the servers' chef-client says of itself."""
    return shared.sh(
        "for it in chef-client cinc-client; do ! command -v $it >/dev/null || exec $it --version; done"
    )


@pytest.fixture(autouse=True)
def _of_this_client(request: pytest.FixtureRequest) -> None:
    """Leave out, and say why, what is about the stand-in where the image has another client."""
    mark = request.node.get_closest_marker("standin")
    if mark is not None and "stand-in" not in (said := request.getfixturevalue("client")):
        pytest.skip(f"the stand-in's own, and this is {said}: {mark.args[0]}")


@pytest.fixture
def proxy(kitchen: Kitchen, address: str) -> Iterator[proxies.Proxy]:
    """A server before the Chef server."""
    with proxies.before(kitchen, address) as proxy:
        yield proxy
