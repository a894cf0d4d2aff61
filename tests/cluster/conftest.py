"""One cluster for all tests of this folder: `make test-cluster`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from benchmarks import cluster_field

from gantry.local.cluster import bookshop


@pytest.fixture(scope="session")
def field() -> Iterator[cluster_field.Field]:
    """The cluster, which has the bookshop and two deployments whose start scripts last until they are told to end."""
    settings = {**cluster_field.PATIENCE, **cluster_field.REMOTE_LOGS}
    with bookshop.running(cluster_field.ROOT, print, settings) as shop:
        yield cluster_field.furnish(shop)
