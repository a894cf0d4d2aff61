"""What the agent's scripts of one redeploy cost a server: processes, each by what was asked for, and processor time.

    PYTHONPATH=.:plugins .venv/bin/python benchmarks/script_cost.py

Needs root, and no Docker: the scripts run in a temporary folder. SSH and sudo are not in it, nor are the service's own
scripts, which are one echo each. With `--scripts FOLDER` those there (`bin`, `lib`) are measured instead of these.
"""

from __future__ import annotations

import argparse
import pathlib
import shutil
import statistics
import sys
import tempfile

from tests.unit.agent_scripts import redeploy, server


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--scripts", type=pathlib.Path, help="the agent's scripts of another version")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gantry-agent-") as folder:
        machine = server.Server.create(pathlib.Path(folder))
        if asked.scripts:
            shutil.copytree(asked.scripts, machine.path("enstratus"), dirs_exist_ok=True)
        with redeploy.redeploys(machine) as several:
            # A redeploy is over an earlier release.
            several.redeploy()
            rounds = [several.redeploy() for _ in range(asked.rounds)]
    forks = {name: min(each.each[name].forks for each in rounds) for name in rounds[0].each}
    for name, count in forks.items():
        print(f"{name:20} {count:4}")
    seconds = sorted(each.seconds for each in rounds)
    print(
        f"{'a redeploy':20} {sum(forks.values()):4} processes; CPU of {asked.rounds}: "
        f"least {seconds[0]:.2f} s, median {statistics.median(seconds):.2f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
