"""`python -m gantry.local.cluster`: the bookshop launched by an Airflow of ten machines, and where each step ran."""

from __future__ import annotations

import argparse
import collections
import json
import signal
import sys
import threading
from pathlib import Path

from gantry import errors
from gantry.cli.support import console
from gantry.local.cloud import control, state
from gantry.local.cluster import stage
from gantry.local.demo import cleanup, example
from gantry.local.demo import run as demo

NAME = "demo-cluster"
_DAG = "bookshop"
_LAUNCH_SECONDS = 900.0


def main(arguments: list[str] | None = None) -> int:
    """Start it, launch, report where the steps ran, and wait for Ctrl-C; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gantry.local.cluster", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the launch")
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="default: the current folder")
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Python leaves SIGINT ignored if a shell started us in the background.
        signal.signal(number, signal.default_int_handler)
    try:
        with cleanup.only_one(NAME):
            _launch(options.project.resolve(), once=options.once)
    except errors.GantryError as error:
        console.out.print(f"cluster: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _launch(project: Path, *, once: bool) -> None:
    try:
        cloud = control.up(NAME)
        shop = example.prepare(cloud, project / "include", state.directory(NAME) / "example")
        connections = {
            name.removeprefix("AIRFLOW_CONN_").lower(): json.loads(value)
            for name, value in shop.environment.items()
        }
        with stage.running(NAME, connections, project, demo.say) as cluster:
            api = cluster.api()
            api.await_dag(_DAG)
            run = api.trigger(_DAG)
            ended = api.await_run(_DAG, run, _LAUNCH_SECONDS)
            _tell(cluster, run)
            demo.say(f"the launch of {_DAG}: {ended}")
            if not once:
                demo.say(
                    f"Airflow: {cluster.url}   user admin   password {cluster.password}   Ctrl-C ends it"
                )
                threading.Event().wait()
    finally:
        control.down(NAME)


def _tell(cluster: stage.Cluster, run: str) -> None:
    """Print a line for each task instance, and their number per machine."""
    found = sorted(stage.places(cluster, _DAG, run), key=lambda each: (each.task, each.map_index))
    for each in found:
        index = f"[{each.map_index}]" if each.map_index >= 0 else ""
        demo.say(f"  {each.worker:<12} {each.state:<10} {each.task}{index}")
    for worker, count in sorted(collections.Counter(each.worker for each in found).items()):
        demo.say(f"{worker}: {count} task instances")


if __name__ == "__main__":
    sys.exit(main())
