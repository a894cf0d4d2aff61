"""All benchmarks, one after the other.

    make benchmark

Goes on where one of them is past its limit, or cannot run, and exits 1 then.
"""

from __future__ import annotations

import os
import pathlib
import shlex
import subprocess
import sys
import time

_ROOT = pathlib.Path(__file__).parents[1]
ALL = (
    "dag_build.py",
    "validate.py",
    "deployments_page.py",
    "deployments_page.py --postgresql",
    "script_cost.py",
    "step_cost.py",
    "simulated.py",
    "launch.py",
    "fleet.py --servers 1 --peers .work/peers",
    "fleet.py --servers 5 --peers .work/peers",
    "fleet.py --servers 20 --peers .work/peers",
    "fleet_launch.py --servers 20 --peers .work/peers",
)


def main() -> int:
    """Run them; the names of those that have failed are the last line."""
    failed = []
    environment = {**os.environ, "PYTHONPATH": f"{_ROOT}:{_ROOT / 'plugins'}"}
    for each in ALL:
        print(f"\n== {each}", flush=True)
        begun = time.monotonic()
        command = [sys.executable, *shlex.split(f"benchmarks/{each}")]
        code = subprocess.run(command, cwd=_ROOT, env=environment, check=False).returncode
        print(f"   {time.monotonic() - begun:.0f} s, exit code {code}", flush=True)
        if code != 0:
            failed.append(each)
    print(f"\nfailed, or past their limits: {', '.join(failed)}" if failed else "\nall within their limits")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
