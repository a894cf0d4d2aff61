"""Faults in the middle of a long script, on an Airflow of several machines: how does the launch end?

Each of the faults of `cluster_field.py`, or those that are named; those joined by + happen in the middle of the same
scripts. `make demo CLUSTER=1` makes the environment that it needs.

    export PYTHONPATH=.:plugins
    docker/with-machine.sh --cluster .work/cluster/bin/python benchmarks/cluster_faults.py
    docker/with-machine.sh --cluster .work/cluster/bin/python benchmarks/cluster_faults.py redis+postgres worker-killed
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

from benchmarks import cluster_field

from gantry.local.cluster import bookshop

FAULTS: dict[str, Callable[[cluster_field.Trial], str]] = {
    "api-server": cluster_field.api_server,
    "triggerer": cluster_field.triggerer,
    "worker-killed": cluster_field.worker_killed,
    "worker-cold": cluster_field.worker_cold,
    "worker-warm": cluster_field.worker_warm,
    "schedulers": cluster_field.schedulers,
    "redis": cluster_field.redis,
    "postgres": cluster_field.postgres,
    "cable": cluster_field.cable,
}


def try_(field: cluster_field.Field, names: Sequence[str]) -> None:
    """Faults one after another in the middle of the same scripts, from launch to end."""
    trial = cluster_field.begin(field, ", ".join(names))
    began = time.monotonic()
    for name in names:
        done = FAULTS[name](trial)
        print(f"{time.monotonic() - began:4.0f} s  {name}: {done}", flush=True)
    for outcome in cluster_field.outcomes(trial):
        print(f"  {outcome}", flush=True)
    print(f"{time.monotonic() - began:4.0f} s  over", flush=True)


def main() -> None:
    """Start the cluster, go through the faults, and remove it."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "faults", nargs="*", help=f"of {', '.join(FAULTS)}; joined by + in the same scripts; default: all"
    )
    chosen = parser.parse_args().faults or list(FAULTS)
    with bookshop.running(cluster_field.ROOT, print, cluster_field.PATIENCE) as shop:
        field = cluster_field.furnish(shop)
        for names in chosen:
            try_(field, names.split("+"))


if __name__ == "__main__":
    main()
