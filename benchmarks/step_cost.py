"""What one step costs on one server: connections, commands, forks, processor and wall time, each by its cause.

    PYTHONPATH=.:plugins .venv/bin/python benchmarks/step_cost.py

The step is a service's redeploy (a file, then put, configure, stop, start, await), and the same with nothing to do. The
service's own scripts are empty, so that what is counted is the way to them. Times are the best of some rounds; the
counts are the same in each, or nearly so: `tests/agent/test_step_cost.py` holds them.
"""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile

from tests.agent import conftest, costs

from gantry.agent import fan_out

ROUNDS = 5


def main() -> int:
    """Start a server, measure, print."""
    with (
        tempfile.TemporaryDirectory() as folder,
        conftest.cloud_with(f"cost-{os.getpid()}", pathlib.Path(folder), (("deploy", 1),)) as machines,
    ):
        machine = conftest.with_agent(machines[0])
        costs.serve(machine)
        print(f"{'a step':16} {'connections':>11} {'commands':>9} {'forks':>6} {'wall s':>7} {'cpu s':>6}")
        for what, work in (("redeploy", costs.configure()), ("nothing to do", fan_out.Work())):
            rounds = [costs.measured(machine, f"{what[:4]}-{number}", work) for number in range(ROUNDS)]
            best = min(rounds, key=lambda each: each.seconds)
            forks, cpu = min(each.forks for each in rounds), min(each.cpu for each in rounds)
            print(
                f"{what:16} {best.connections:11} {best.commands:9} {forks:6} {best.seconds:7.2f} {cpu:6.2f}"
            )
        print("\nforks of a redeploy, by what was asked for (the connection itself is not in it)")
        for cause, forks in costs.causes(machine, "causes", costs.configure()).items():
            print(f"    {cause:20} {forks:4}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
