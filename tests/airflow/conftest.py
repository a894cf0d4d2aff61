"""One Airflow and one embedded cloud for all tests of this folder; a deployment of its own for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.airflow import shared, shell
from tests.airflow.shell import Gantry
from tests.airflow.stage import Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The running stage, which other processes may work on as well."""
    found = Stage(shared.find())
    found.connect("chef_default", found.chef_connection())
    yield found
    found.close()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test that kills what all share waits until no other is at work. Before its own time begins to count."""
    if item.get_closest_marker("airflow") is None:
        return (yield)
    with shared.used(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(scope="module")
def environ(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a person's shell has."""
    return shell.environ(stage, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def gantry(environ: dict[str, str]) -> Gantry:
    """Types a command."""
    return shell.typing(environ)


@pytest.fixture
def scrapped(stage: Stage) -> Iterator[Callable[[str], str]]:
    """Names for deployments that are taken away at the end of the test.

    Airflow keeps what happened under a name, so no test has one that another had.
    """
    used: list[str] = []

    def name(wanted: str) -> str:
        assert shared.take_name(wanted), f"another test had a deployment {wanted!r}: choose another name"
        used.append(wanted)
        return wanted

    yield name
    for each in used:
        stage.scrap(each)
