"""Building the bookshop's launch DAG from its definition, against the same DAG written by hand.

    PYTHONPATH=.:plugins .venv/bin/python benchmarks/dag_build.py

The one by hand is written from the DAG that the definition makes (`hand_written.py`): both have the same tasks, edges,
groups, form and page. The time is the process's own, the best of many rounds that take turns, so that a busy machine
does not count. Exits 1 when the definition takes longer than the limit allows.
"""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

# Removed with the process.
os.environ.setdefault("AIRFLOW_HOME", (HOME := tempfile.TemporaryDirectory(prefix="gantry-benchmark-")).name)

from airflow.sdk import DAG
from benchmarks import hand_written

import gantry.definition
from gantry import names
from gantry.dag import compile as dag_compile

BOOKSHOP = pathlib.Path(__file__).parents[1] / "include/bookshop/bookshop.yaml"
ROUNDS = 60
LIMIT = 1.3


def from_definition() -> DAG:
    return dag_compile.operation_dag(gantry.definition.load(BOOKSHOP), names.Operation.LAUNCH)


def shape(dag: DAG) -> tuple[object, ...]:
    """What two DAGs that do the same have in common: groups, tasks and their kinds, edges, form."""
    groups = {name: sorted(each.children) for name, each in dag.task_group.get_task_group_dict().items()}
    tasks = {task.task_id: (type(task), sorted(task.downstream_task_ids)) for task in dag.tasks}
    return groups, tasks, dag.params.dump()


def best(builders: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """The shortest time of each, in seconds."""
    times: list[list[float]] = [[] for _ in builders]
    for _ in range(rounds):
        for build, taken in zip(builders, times, strict=True):
            begun = time.process_time()
            build()
            taken.append(time.process_time() - begun)
    return [min(taken) for taken in times]


def main(rounds: int = ROUNDS) -> int:
    ours = from_definition()
    by_hand = hand_written.written(ours)
    theirs = by_hand()
    if shape(ours) != shape(theirs):
        print("the two are not the same: hand_written.py leaves something out")
        return 1
    edges = sum(len(task.downstream_task_ids) for task in ours.tasks)
    print(f"both: {len(ours.tasks)} tasks, {edges} edges")
    reading, definition, hand = best(
        [lambda: gantry.definition.load(BOOKSHOP), from_definition, by_hand], rounds
    )
    print(f"reading and checking the definition: {reading * 1e3:6.1f} ms")
    print(f"definition to DAG, all together:     {definition * 1e3:6.1f} ms")
    print(f"by hand:                             {hand * 1e3:6.1f} ms")
    print(f"ratio:                               {definition / hand:6.2f} (limit {LIMIT:g})")
    return 0 if definition / hand <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
