"""DAG files as Airflow loads them: in a process of its own."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from airflow.serialization.serialized_objects import DagSerialization

from gantry.dag import deployment_dags

ROOT = pathlib.Path(__file__).parents[3]
BOOKSHOP = ROOT / "include/bookshop/bookshop.yaml"
LOADER = "from gantry.dag import deployment_dags  # airflow dag\n\ndags = deployment_dags({path!r})\n"

HEAVY = {"asyncssh", "boto3", "botocore", "docker", "moto", "airflow.providers.amazon.aws"}
"""Not at parse: every task start parses its DAG file again."""

SCRIPT = """\
import json, sys
from airflow.sdk import DAG
before = set(sys.modules)
import gantry.dag
imported = set(sys.modules) - before
shop = gantry.dag.deployment_dags(sys.argv[3])
built = set(sys.modules) - before
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag(sys.argv[1], safe_mode=True)
print(json.dumps({
    "imported": sorted(imported & set(sys.argv[2].split(","))),
    "built": sorted(built & set(sys.argv[2].split(","))),
    "errors": dict(bag.import_errors),
    "dags": sorted(bag.dags),
    "built_here": [DagSerialization.to_dict(dag)["dag"] for dag in shop],
}))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A folder with the shipped loader and a broken deployment, as another process has it."""
    folder = tmp_path_factory.mktemp("dags")
    broken = tmp_path_factory.mktemp("definitions") / "broken.yaml"
    broken.write_text((ROOT / "tests/unit/definition/bad/cycle-of-three.yaml").read_text())
    (folder / "bookshop.py").write_text((ROOT / "dags/bookshop.py").read_text())
    (folder / "broken.py").write_text(LOADER.format(path=str(broken)))
    (folder / "notes.py").write_text("raise RuntimeError('no DAG file: safe mode passes it over')\n")

    environment = {
        **os.environ,
        "PYTHONHASHSEED": "4711",
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACKS": "False",
        "GANTRY_DEFINITIONS": str(ROOT / "include"),
    }
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), ",".join(HEAVY), str(BOOKSHOP)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return dict(json.loads(run.stdout.splitlines()[-1]))


def test_a_broken_definition_is_one_error_that_begins_with_its_place_and_hides_no_other(
    loaded: dict[str, Any],
) -> None:
    ((file, message),) = loaded["errors"].items()
    assert file.endswith("broken.py")
    assert "broken.yaml:8:71: the services depend on each other in a circle" in message
    assert message.split(":")[0].endswith("broken.yaml")
    _, line, carets = message.splitlines()
    assert line.startswith("   8 |   app: {id: a1")
    assert line[carets.index("^")] == "["
    assert loaded["dags"] == ["bookshop", "bookshop.recover", "bookshop.scale", "bookshop.terminate"]


def test_every_process_builds_the_same_dags_whatever_its_hash_seed(loaded: dict[str, Any]) -> None:
    for there, dag in zip(loaded["built_here"], deployment_dags(BOOKSHOP), strict=True):
        here = DagSerialization.to_dict(dag)["dag"]
        for each in (here, there):
            # The folder of a process's own Airflow, and what JSON keeps of a set: neither makes a new version.
            del each["_processor_dags_folder"]
            each["tags"] = sorted(each["tags"])
        assert json.dumps(there, sort_keys=True) == json.dumps(here, sort_keys=True)


def test_parsing_imports_nothing_heavy(loaded: dict[str, Any]) -> None:
    assert loaded["imported"] == []
    # Building an asset has Airflow ask every provider about URIs; `gantry.warm_up` has it done before the fork.
    assert set(loaded["built"]) <= {"airflow.providers.amazon.aws", "boto3", "botocore"}


def test_shipped_loaders_have_the_words_that_safe_mode_looks_for() -> None:
    for loader in (ROOT / "dags").glob("*.py"):
        text = loader.read_text().lower()
        assert "airflow" in text
        assert "dag" in text
