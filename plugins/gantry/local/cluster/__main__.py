"""`python -m gantry.local.cluster`: the bookshop launched by an Airflow of ten machines, and where each step ran."""

from __future__ import annotations

import argparse
import collections
import contextlib
import logging
import sys
import threading
from pathlib import Path
from typing import Any

from gantry import errors, overview, requests
from gantry.cli.queries import run_follower
from gantry.cli.support import console
from gantry.local import errors as local_errors
from gantry.local.cluster import bookshop, stage
from gantry.local.demo import cleanup, environment, verify
from gantry.local.demo import run as demo

_MOST_SECONDS = 900.0


def main(arguments: list[str] | None = None) -> int:
    """Start it, launch, report where the steps ran, and wait for Ctrl-C; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gantry.local.cluster", description=__doc__)
    parser.add_argument(
        "--once", action="store_true", help="check the result, launch again, terminate, and end"
    )
    parser.add_argument("--clean", action="store_true", help="only remove what a killed one left")
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="default: the current folder")
    options = parser.parse_args(arguments)
    # As in the demo: what the rooms below log would tear the table.
    logging.getLogger("gantry").addHandler(logging.NullHandler())
    try:
        if options.clean:
            return _clean()
        with bookshop.only_one(), demo.attended(bookshop.remove, bookshop.left, bookshop.NAME):
            _demo(options.project.resolve(), once=options.once)
    except errors.GantryError as error:
        console.out.print(f"cluster: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _demo(project: Path, *, once: bool) -> None:
    demo.say("starting the stage: an embedded cloud, and Airflow on machines of its own")
    on = bookshop.start(project, demo.say)
    on.api.await_dag(environment.DAG)
    _run(on, environment.DAG)
    if not once:
        demo.say(
            f"Airflow: {on.cluster.url}   user {stage.USER}   password {on.cluster.password}   "
            f"logs of its machines: {on.cluster.supervisor.folder}   Ctrl-C ends it"
        )
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
        return
    demo.checked(verify.configured(on))
    demo.checked(verify.sells(on))
    before = verify.snapshot(on)
    _run(on, environment.DAG)
    demo.checked(verify.unchanged(before, verify.snapshot(on)))
    on.api.await_dag(environment.TERMINATE)
    confirm = requests.TerminateRequest(confirm=on.definition.deployment).conf()
    _run(on, environment.TERMINATE, confirm)
    demo.checked(verify.nothing_left(on))


def _run(on: bookshop.ClusterBookshop, dag: str, conf: dict[str, Any] | None = None) -> None:
    """Trigger a DAG, show the run to its end, and say where its steps ran."""
    demo.say("")
    demo.say(f"running: DAG {dag}")
    watch = run_follower.RunFollower(on.api, on.definition.deployment, on.definition, on.servers)
    found = demo.watched(watch, dag, conf, seconds=_MOST_SECONDS)
    _tell(on.cluster, found)
    demo.say(f"{demo.headline(found)}: {found.seconds() or 0:.1f} s from trigger to end")


def _tell(cluster: stage.Cluster, found: overview.RunSnapshot) -> None:
    """A line for each task instance, and how many each machine had."""
    demo.say("where each step ran")
    there = list(stage.places(cluster, *found.run.key))
    for each in sorted(there, key=lambda each: (each.task, each.map_index)):
        index = f"[{each.map_index}]" if each.map_index >= 0 else ""
        # What Airflow leaves out has no process.
        demo.say(f"  {each.worker or '-':<12} {each.state:<10} {each.task}{index}")
    counts = collections.Counter(each.worker for each in there if each.worker)
    demo.say("   ".join(f"{worker}: {count} task instances" for worker, count in sorted(counts.items())))


def _clean() -> int:
    try:
        with bookshop.only_one():
            for thing in bookshop.remove(bookshop.NAME):
                demo.say(f"removed what a killed run left: {thing}")
    except cleanup.AlreadyRunningError:
        # It is in use, and nothing that was left.
        pass
    except local_errors.EngineUnreachableError:
        # Only processes could be left, and they have been ended.
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
