"""One cluster for all tests of this folder: `make test-cluster`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from benchmarks import cluster_field

from gantry.local.cluster import bookshop
from tests.cluster import git_server


@pytest.fixture(scope="session")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[git_server.Repository]:
    """A repository of definitions, which the cluster has as a DAG bundle beside its DAG folder."""
    with git_server.serving(tmp_path_factory.mktemp("git")) as found:
        yield found


@pytest.fixture(scope="session")
def field(git: git_server.Repository) -> Iterator[cluster_field.Field]:
    """The cluster, which has the bookshop and two deployments whose start scripts last until they are told to end."""
    settings = {**cluster_field.PATIENCE, **cluster_field.REMOTE_LOGS, **git.settings()}
    with bookshop.running(cluster_field.ROOT, print, settings) as shop:
        yield cluster_field.furnish(shop)
