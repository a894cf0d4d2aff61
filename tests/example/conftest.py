"""Servers for the bookshop: containers of the server image."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import docker
import pytest
from docker.errors import DockerException, ImageNotFound
from docker.models.containers import Container

from gantry import archive

from .servers import APPLICATION_ID, BOOKSHOP, DATABASE_ID, SERVER_IMAGE, Server


@pytest.fixture(scope="module")
def make_server() -> Iterator[Callable[[str], Server]]:
    """Makes servers, which last as long as the tests of one module: a database that nobody asks any more works too."""
    try:
        client = docker.from_env()
        client.images.get(SERVER_IMAGE)
    except ImageNotFound:
        pytest.skip(f"no image {SERVER_IMAGE}: build it from docker/server")
    except DockerException as error:
        pytest.skip(f"the Docker engine does not answer: {error}")
    run = uuid.uuid4().hex[:8]
    network = client.networks.create(f"bookshop-{run}")
    containers: list[Container] = []

    def make(name: str) -> Server:
        container = client.containers.run(
            SERVER_IMAGE,
            entrypoint=["sleep", "infinity"],
            command=[],
            init=True,
            detach=True,
            name=f"bookshop-{run}-{name}",
            hostname=name,
            network=network.name,
        )
        containers.append(container)
        return Server(container, str(network.name))

    try:
        yield make
    finally:
        for container in containers:
            container.remove(force=True, v=True)
        network.remove()


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, archive.BuiltArchive]:
    folder = tmp_path_factory.mktemp("archives")
    return {
        service_id: archive.build_archive(BOOKSHOP / "services" / source, folder / f"{source}Service.tar.gz")
        for source, service_id in (("db", DATABASE_ID), ("app", APPLICATION_ID))
    }
