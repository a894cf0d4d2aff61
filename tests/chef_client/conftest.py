"""Bare servers and a Chef server on a network of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator

import docker
import pytest
from docker.errors import DockerException, ImageNotFound
from docker.models.networks import Network

from gantry.local import chef_server as goiardi

from . import proxy as proxies
from .nodes import Kitchen, Node

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


@contextlib.contextmanager
def bare_server(network: Network, kitchen: Kitchen) -> Iterator[Node]:
    """A bare server, whose name nobody had before."""
    name = f"node-{uuid.uuid4().hex[:8]}"
    container = docker.from_env().containers.run(
        IMAGE,
        entrypoint=["sleep", "infinity"],
        command=[],
        init=True,
        detach=True,
        hostname=name,
        network=network.name,
    )
    try:
        yield Node(container, name, kitchen)
    finally:
        container.remove(force=True, v=True)


@pytest.fixture
def node(network: Network, kitchen: Kitchen) -> Iterator[Node]:
    """A bare server for one test."""
    with bare_server(network, kitchen) as node:
        yield node


@pytest.fixture(scope="session")
def shared(network: Network, kitchen: Kitchen) -> Iterator[Node]:
    """A bare server for tests that change nothing on it."""
    with bare_server(network, kitchen) as node:
        yield node


@pytest.fixture
def proxy(kitchen: Kitchen, address: str) -> Iterator[proxies.Proxy]:
    """A server before the Chef server."""
    with proxies.before(kitchen, address) as proxy:
        yield proxy
