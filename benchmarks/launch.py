"""The bookshop's launch on a real Airflow, beside the same by an earlier commit: `gantry demo run --once`.

    .venv/bin/python benchmarks/launch.py [--baseline REVISION] [--rounds 1]

Each version runs in a folder of its own, made from its commit, with the packages of this environment; they take turns.
What is printed, for each version: seconds from the trigger to the end of the first launch, of one with nothing changed,
and of the termination (the best of the rounds each), and the processor time of a round: the demo's command, Airflow
and the embedded cloud, without the servers. Then the same as multiples of the baseline's.

Needs the Docker Engine and the servers' image (`make setup`). Exits 1 if a demo fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_END = re.compile(r": (\d+\.\d) s from trigger to end$", re.MULTILINE)


class DemoFailedError(Exception):
    """A demo did not run to its end. The message is the end of its output."""


@dataclass(frozen=True)
class Cost:
    """What a version took, in seconds.

    Attributes:
        first: from the trigger to the end of the first launch.
        unchanged: the same of a launch with nothing changed.
        termination: the same of the termination.
        cpu: processor time of everything but the servers.
    """

    first: float
    unchanged: float
    termination: float
    cpu: float


def main() -> int:
    """Run the versions in turns, and print the table."""
    parser = argparse.ArgumentParser(description="The bookshop's launch, beside an earlier commit's.")
    parser.add_argument("--baseline", metavar="REVISION", help="a commit, tag or branch of this repository")
    parser.add_argument("--rounds", type=int, default=1, help="default: %(default)s")
    options = parser.parse_args()
    revisions = {"now": "HEAD"}
    if options.baseline:
        revisions[options.baseline] = options.baseline
    costs: dict[str, list[Cost]] = {name: [] for name in revisions}
    with tempfile.TemporaryDirectory(prefix="gantry-benchmark-") as folder:
        trees = {name: extract(revision, Path(folder, name)) for name, revision in revisions.items()}
        for _ in range(options.rounds):
            for name, tree in trees.items():
                try:
                    costs[name].append(demo(tree))
                except DemoFailedError as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    return 1
    for line in table({name: best(found) for name, found in costs.items()}):
        print(line)
    return 0


def extract(revision: str, folder: Path) -> Path:
    """Make a folder of a commit's files."""
    folder.mkdir(parents=True)
    with (
        subprocess.Popen(["git", "archive", revision], cwd=ROOT, stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as archive,
    ):
        archive.extractall(folder, filter="data")
    return folder


def demo(tree: Path) -> Cost:
    """Run the demo of a version once. Raises DemoFailedError."""
    with _alone(tree) as environment:
        command = [sys.executable, "-c", "from gantry import cli; cli.main()", "demo", "run", "--once"]
        done = subprocess.run(
            [
                sys.executable,
                str(ROOT / "benchmarks/usage.py"),
                *command,
                "--name",
                f"benchmark-{os.getpid()}",
            ],
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise DemoFailedError(f"exit code {done.returncode}\n{done.stderr[-3000:]}")
    return cost(done.stderr, json.loads(done.stdout)["cpu"])


@contextlib.contextmanager
def _alone(tree: Path) -> Iterator[Mapping[str, str]]:
    # Airflow's home of the person who runs this stays out of it.
    with tempfile.TemporaryDirectory(prefix="gantry-benchmark-home-") as home:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "GANTRY"))}
        yield {**kept, "PYTHONPATH": str(tree / "plugins"), "AIRFLOW_HOME": home, "COLUMNS": "120"}


def cost(output: str, cpu: float) -> Cost:
    """Read the times from a demo's output. Raises DemoFailedError if there are not three."""
    match [float(each) for each in _END.findall(output)]:
        case [first, unchanged, termination]:
            return Cost(first, unchanged, termination, cpu)
        case found:
            raise DemoFailedError(f"{len(found)} times in place of three in its output\n{output[-3000:]}")


def best(costs: Iterable[Cost]) -> Cost:
    """The least of each."""
    found = list(costs)
    return Cost(*(min(getattr(each, name) for each in found) for name in Cost.__dataclass_fields__))


def table(costs: Mapping[str, Cost]) -> Iterable[str]:
    """What is printed; the multiples are those of the last version."""
    names = tuple(Cost.__dataclass_fields__)
    yield f"{'':12}" + "".join(f"{name:>18}" for name in names)
    of_baseline = list(costs.values())[-1]
    for version, found in costs.items():
        cells = (
            f"{getattr(found, name):8.1f} s ({getattr(found, name) / getattr(of_baseline, name):.2f})"
            for name in names
        )
        yield f"{version[:12]:12}" + "".join(f"{cell:>18}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
