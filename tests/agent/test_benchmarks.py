"""Benchmarks that need servers run, in their smallest form, and measure what they say. Times are not looked at."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import docker
import pytest

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]


def script(*words: str) -> list[str]:
    """What a benchmark prints."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    command = [sys.executable, str(ROOT / "benchmarks" / words[0]), *words[1:]]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout.splitlines()


def test_the_tools_bring_the_same_service_to_the_same_servers() -> None:
    # It fails by itself where a service does not run as configured.
    heads, *lines = script(
        "fleet.py", "--servers", "1", "--rounds", "1", "--fan-out", "2", "--without-ansible"
    )
    assert heads.startswith("1 servers")
    # ansible-core takes longer than all else of this: `make benchmark` has it.
    tools = ["pyinfra", "Gantry's"]
    words = [line.split()[0] for line in lines]
    assert words == ["redeploy", *tools, "nothing", *tools]
    of_pyinfra = [line for line in lines if "pyinfra" in line]
    assert all(line.count("(1.00)") == 4 for line in of_pyinfra)


def test_servers_of_a_benchmark_are_gone_after_it() -> None:
    owners = {
        each.labels["gantry.benchmark"]
        for each in docker.from_env().containers.list(all=True, filters={"label": "gantry.benchmark"})
    }
    assert [each for each in owners if not Path("/proc", each).exists()] == []


def test_a_step_is_measured() -> None:
    lines = script("step_cost.py")
    assert [line.split("  ")[0] for line in lines[:3]] == ["a step", "redeploy", "nothing to do"]
    assert "forks of a redeploy, by what was asked for" in lines[4]
