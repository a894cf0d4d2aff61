"""Benchmarks run, in their smallest form, and measure what they say. Times are not looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from benchmarks import (
    dag_build,
    fleet,
    fleet_launch,
    hand_written,
    launch,
    run_all,
    simulated,
    simulated_servers,
    validate,
)

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
PARTS = {
    # Faults are looked at, and not timed: docs/distributed.md.
    "cluster_faults",
    "cluster_scale",
    "cluster_field",
    "fleet_gantry",
    "fleet_peers",
    "fleet_servers",
    "hand_written",
    "run_all",
    "simulated_servers",
    "usage",
}
"""What benchmarks are made of."""


def script(*words: str) -> subprocess.CompletedProcess[str]:
    """One as a process, as its own head says that it is run. It leaves no temporary file."""
    command = [sys.executable, str(FOLDER / words[0]), *words[1:]]
    with tempfile.TemporaryDirectory() as folder:
        # PostgreSQL's own user has to get in.
        Path(folder).chmod(0o711)
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "TMPDIR": folder}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert list(Path(folder).iterdir()) == []
    return done


def test_each_benchmark_is_run_by_make_and_told_of() -> None:
    there = {each.stem for each in FOLDER.glob("*.py")} - PARTS
    run = {each.split(".py")[0] for each in run_all.ALL}
    assert run == there
    page = (FOLDER / "README.md").read_text()
    assert {each for each in there if f"benchmarks/{each}.py" not in page} == set()


def test_the_dag_by_hand_is_the_one_that_the_definition_makes() -> None:
    ours = dag_build.from_definition()
    by_hand = hand_written.written(ours)()
    assert dag_build.shape(by_hand) == dag_build.shape(ours)
    # Without the edges that Airflow does not add by itself it is another one.
    assert dag_build.shape(hand_written.made(ours, ())()) != dag_build.shape(ours)


def test_building_a_dag_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert dag_build.main(rounds=1) in (0, 1)
    said = capsys.readouterr().out
    assert said.startswith("both: ")
    assert [line.partition(":")[0] for line in said.splitlines()][1:] == [
        "reading and checking the definition",
        "definition to DAG, all together",
        "by hand",
        "ratio",
    ]


def test_validating_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(validate, "ROUNDS", 1)
    assert validate.main() in (0, 1)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:16].strip() for line in lines] == ["gantry validate", "JSON Schema", "Airflow"]


def test_the_page_of_deployments_is_measured() -> None:
    ended = script("deployments_page.py", "--deployments", "3")
    assert ended.returncode in (0, 1), ended.stderr[-2000:]
    paths = [line.split()[0] for line in ended.stdout.splitlines() if line.startswith("/")]
    assert paths[0] == "/gantry/"
    assert paths[-1] == "/api/v2/dags?limit=50"


def test_simulated_servers_are_worked_on_once_and_then_left_alone() -> None:
    first, again = simulated.simulate(3, fan_out=2, lines=7)
    assert [first.what, again.what] == ["redeploy", "nothing changed"]
    for each in (first, again):
        # Two steps, each with one connection to a server.
        assert each.seen["connections"] == 2 * 3
        assert each.seen["dropped"] == 0
        assert 1 <= each.seen["open_by_user"] <= each.share == 2
        assert each.seen["logging_in"] == 1
    # Six jobs, and what the service has printed when it was started.
    assert first.lines == 3 * (6 + 7)
    assert again.lines == 0
    assert again.seen["orders"] < first.seen["orders"]
    # One number of servers alone does not grow.
    assert simulated.findings([first, again]) == []


def test_what_simulated_servers_have_seen_amiss_is_told() -> None:

    def run(servers: int, cpu: float, **seen: int) -> simulated.Run:
        counts = {"dropped": 0, "open_by_user": 1, **seen}
        return simulated.Run(servers, 8, "redeploy", 1.0, cpu, 100.0, 0, counts)

    assert simulated.findings([run(100, 1.0), run(1000, 10.0)]) == []
    (dropped,) = simulated.findings([run(100, 1.0, dropped=3)])
    assert "MaxStartups has dropped 3" in dropped
    (held,) = simulated.findings([run(100, 1.0, open_by_user=14)])
    assert "held 14 connections for 13 servers" in held
    (grown,) = simulated.findings([run(100, 1.0), run(1000, 30.0)])
    assert "30 ms of CPU" in grown


def test_a_simulated_server_drops_whom_sshd_would_drop() -> None:
    servers = simulated_servers.Servers(0)
    machine = servers.machine("127.1.0.1")
    assert all(servers.came(machine) for _ in range(10))
    assert servers.seen.dropped == 0
    for _ in range(2000):
        servers.came(machine)
    assert 10 < servers.seen.logging_in <= 100
    assert servers.seen.dropped == 2010 - servers.seen.logging_in


def test_what_a_command_leaves_behind_is_ended() -> None:
    # As ansible's connections: a session of its own, and nothing of the command's is open in it.
    left = "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!; exit 3"
    ended = script("usage.py", "sh", "-c", left)
    assert ended.returncode == 3
    assert json.loads(ended.stdout).keys() == {"seconds", "cpu", "memory"}
    assert not Path("/proc", ended.stderr.strip()).exists()


def test_the_table_of_a_fleet_tells_multiples_of_pyinfra() -> None:
    found = {
        "redeploy": {"pyinfra": fleet.Used(4.0, 2.0, 1.0, 50.0), "Gantry": fleet.Used(2.0, 3.0, 0.5, 100.0)}
    }
    heads, what, pyinfra, gantry = fleet.table(found, 20)
    assert heads.startswith("20 servers")
    assert what == "redeploy"
    assert pyinfra.split() == [
        "pyinfra",
        *["4.00", "(1.00)", "2.00", "(1.00)", "1.00", "(1.00)", "50.00", "(1.00)"],
    ]
    assert gantry.split() == [
        "Gantry",
        *["2.00", "(0.50)", "3.00", "(1.50)", "0.50", "(0.50)", "100.00", "(2.00)"],
    ]
    assert fleet.best([fleet.Used(4, 1, 1, 5), fleet.Used(3, 2, 1, 9)]) == fleet.Used(3, 1, 1, 5)


def test_the_times_of_a_launch_are_read_from_the_demos_output() -> None:
    output = "RUNNING with 4 servers: 49.0 s from trigger to end\n  12.0 s  install\n"
    with pytest.raises(launch.DemoFailedError, match="1 times in place of three"):
        launch.cost(output, 80.0)
    output += "RUNNING with 4 servers: 16.9 s from trigger to end\nSTOPPED: 10.7 s from trigger to end\n"
    assert launch.cost(output, 80.0) == launch.Cost(49.0, 16.9, 10.7, 80.0)


def test_the_table_of_launches_tells_multiples_of_the_baseline() -> None:
    now, before = launch.Cost(40.0, 8.0, 10.0, 50.0), launch.Cost(50.0, 16.0, 10.0, 100.0)
    assert launch.best([now, before]) == launch.Cost(40.0, 8.0, 10.0, 50.0)
    heads, *lines = launch.table({"now": now, "v0.1": before})
    assert heads.split() == ["first", "unchanged", "termination", "cpu"]
    assert [line.split()[0] for line in lines] == ["now", "v0.1"]
    assert "8.0 s (0.50)" in lines[0]
    assert lines[1].count("(1.00)") == 4


def test_whole_launches_are_told_as_multiples_of_pyinfras_and_have_a_limit() -> None:
    ours = {fleet.REDEPLOY: fleet.Used(30.0, 8.0, 20.0, 0.0), fleet.SAME: fleet.Used(6.0, 2.0, 9.0, 0.0)}
    theirs = {fleet.REDEPLOY: fleet.Used(5.0, 4.0, 2.0, 58.0), fleet.SAME: fleet.Used(3.0, 2.0, 1.5, 58.0)}
    _, *lines = fleet_launch.table(ours, theirs, 20)
    assert [line.split("  ")[0] for line in lines] == ["redeploy", "", "", "nothing changed", "", ""]
    assert "30.00 (6.00)" in lines[2]
    assert "6.00 (2.00)" in lines[5]
    assert not fleet_launch.is_past_limit(ours[fleet.SAME], theirs[fleet.SAME], 20)
    assert fleet_launch.is_past_limit(ours[fleet.SAME], theirs[fleet.SAME], 100)
    assert not fleet_launch.is_past_limit(ours[fleet.REDEPLOY], theirs[fleet.SAME], 3), "no limit for so few"


def test_a_launch_is_measured_in_a_folder_with_a_commits_files_alone(tmp_path: Path) -> None:
    tree = launch.extract("HEAD", tmp_path / "now")
    assert (tree / "include/bookshop/bookshop.yaml").is_file()
    assert not (tree / ".git").exists()
