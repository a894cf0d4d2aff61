"""Loading before the fork: a job makes its process ready for tasks, a task does not."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]

# As `airflow scheduler` begins: it makes a job, whose type it tells it later. The fork parses as a task does.
SCRIPT = """\
import json, os, sys
import airflow.sdk.execution_time.task_runner as task_runner
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.jobs.job import Job
from airflow.listeners.listener import get_listener_manager
if sys.argv[1] == "job":
    Job()
else:
    get_listener_manager().hook.on_starting(component=task_runner.TaskRunnerMarker())
before = set(sys.modules)
if os.fork() == 0:
    bag = BundleDagBag(sys.argv[2], safe_mode=False, bundle_path=os.path.dirname(sys.argv[2]), bundle_name="any")
    later = set(sys.modules) - before
    print(json.dumps({"dags": sorted(bag.dags), "later": sorted(later), "before": sorted(before)}), flush=True)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
OURS = ("gantry.", "asyncssh", "boto3", "botocore", "airflow.providers.", "airflow.sdk.definitions.")


def parse_in_fork(announced: str, airflow_home: pathlib.Path) -> dict[str, list[str]]:
    """The DAGs that a fork finds, and the modules that were there before it and came later."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(airflow_home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "GANTRY_DEFINITIONS": str(ROOT / "include"),
    }
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, announced, str(ROOT / "dags/bookshop.py")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return dict(json.loads(run.stdout.splitlines()[-1]))


def test_what_a_job_forks_parses_without_loading_anything(tmp_path: pathlib.Path) -> None:
    found = parse_in_fork("job", tmp_path)

    assert found["dags"] == ["bookshop", "bookshop.recover", "bookshop.scale", "bookshop.terminate"]
    assert [module for module in found["later"] if module.startswith(OURS)] == []
    assert {"asyncssh", "botocore.client"} <= set(found["before"])


def test_a_task_does_not_load_what_it_may_not_need(tmp_path: pathlib.Path) -> None:
    found = parse_in_fork("task", tmp_path)

    assert not {"asyncssh", "botocore.client", "gantry.operators.registry"} & set(found["before"])
    assert "gantry.operators.registry" in found["later"]
