"""Definitions in git, as docs/distributed.md has them: which commit a run works with, before and after a clear.

Airflow's own functions read the bundle, write and clear runs, and say what a worker gets; there is no scheduler.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast

import pytest
import sqlalchemy as sa
from airflow.dag_processing.bundles.base import BaseDagBundle
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.executors import workloads
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.sdk import Context
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.utils.session import create_session

from gantry import definition
from gantry.agent import jobs
from gantry.definition import stored
from gantry.plan import launch_plan
from gantry.reconcile import step_run
from gantry.runtime import dag_bundles
from gantry.state import store_record
from tests.unit.dag.definitions import HEAD, WEB
from tests.unit.web import rig

PAGE = pathlib.Path(__file__).parents[3] / "docs" / "distributed.md"
SHOP, FAILED = "shop", "tier-web.scale_up"
WRONG, MENDED = f"description: wrong\n{HEAD}{WEB}", f"description: mended\n{HEAD}{WEB}"
USER = ("-c", "user.name=ada", "-c", "user.email=ada@example.com")


@dataclasses.dataclass(frozen=True)
class Repository:
    """A repository with a loader and its definition, and the bundle that Airflow makes of it.

    Attributes:
        tree: where people change files.
        name: the bundle's.
    """

    tree: pathlib.Path
    name: str

    def push(self, definition: str) -> str:
        """Commit a definition, and have the DAG processor see it; return the commit."""
        folder = self.tree / "dags"
        folder.mkdir(exist_ok=True)
        (folder / f"{SHOP}.yaml").write_text(definition)
        (folder / f"{SHOP}.py").write_text(loader())
        self.git("add", ".")
        self.git(*USER, "commit", "--quiet", "--message", "a definition")
        self.git("push", "--quiet", "origin", "HEAD:main")
        commit = self.git("rev-parse", "HEAD")
        self._parse(commit)
        return commit

    def git(self, *arguments: str) -> str:
        return subprocess.check_output(["git", *arguments], cwd=self.tree, text=True).strip()

    def _parse(self, commit: str) -> None:
        """What the DAG processor does with a bundle."""
        bundle = bundle_of(self.name)
        bundle.refresh()
        bag = BundleDagBag(bundle.path, bundle_path=bundle.path, bundle_name=self.name)
        assert bag.import_errors == {}
        sync_bag_to_db(bag, self.name, commit)


def bundle_of(name: str, commit: str | None = None) -> BaseDagBundle:
    """Airflow's copy of the repository: of a commit, or the one in which the DAG processor follows the branch."""
    manager = DagBundlesManager()  # type: ignore[no-untyped-call] # Airflow's own signature
    found = manager.get_bundle(name, commit)
    found.initialize()
    return found


def loader() -> str:
    """The one on the page."""
    (found,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(found)


@pytest.fixture
def repository(
    office: rig.Airflow, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Repository]:
    origin, tree, name = tmp_path / "origin.git", tmp_path / "tree", "deployments"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", origin], check=True)
    subprocess.run(["git", "clone", "--quiet", origin, tree], check=True, stderr=subprocess.DEVNULL)
    bundle = {
        "name": name,
        "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
        "kwargs": {"repo_url": str(origin), "tracking_ref": "main", "subdir": "dags"},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path / "bundles"))
    # Airflow adds each checkout.
    monkeypatch.setattr(sys, "path", [*sys.path])
    with create_session() as session:
        session.add(DagBundleModel(name=name))
    yield Repository(tree, name)
    office.clear()
    with create_session() as session:
        session.execute(sa.delete(DagBundleModel).where(DagBundleModel.name == name))


def launch(office: rig.Airflow) -> str:
    """A launch of the shop of which one task has failed, after others."""
    answer = office.post(f"/api/v2/dags/{SHOP}/dagRuns", json={"logical_date": None})
    assert answer.status_code == 200, answer.text
    run = str(answer.json()["dag_run_id"])
    with create_session() as session:
        session.execute(sa.update(TaskInstance).values(state="success", try_number=1))
        session.execute(sa.update(TaskInstance).where(TaskInstance.task_id == FAILED).values(state="failed"))
        session.execute(sa.update(DagRun).values(state="failed"))
    return run


def clear(office: rig.Airflow, run: str, **more: Any) -> None:
    """*Clear the failed task.*"""
    answer = office.post(
        f"/api/v2/dags/{SHOP}/clearTaskInstances",
        json={"dag_run_id": run, "only_failed": True, "dry_run": False, **more},
    )
    assert answer.status_code == 200, answer.text


def recorded(office: rig.Airflow, run: str) -> tuple[str, str, str, str]:
    """The commits on Airflow's record: of a run, of a task that succeeded, of the one that failed, of its first try."""
    path = f"/api/v2/dags/{SHOP}/dagRuns/{run}"
    found = {each["task_id"]: each for each in office.get(f"{path}/taskInstances").json()["task_instances"]}
    tries = office.get(f"{path}/taskInstances/{FAILED}/tries").json()["task_instances"]
    return (
        office.get(path).json()["bundle_version"],
        *(each["dag_version"]["bundle_version"] for each in (found["turn"], found[FAILED], tries[0])),
    )


def worked_with(run: str, task: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The description in the definition that a worker reads for a task of a run."""
    with create_session() as session:
        instance = session.scalars(
            sa.select(TaskInstance).where(TaskInstance.run_id == run, TaskInstance.task_id == task)
        ).one()
        work = workloads.ExecuteTask.make(instance)
    bundle = bundle_of(work.bundle_info.name, work.bundle_info.version)
    with monkeypatch.context() as here:
        here.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", SHOP)
        bag = BundleDagBag(bundle.path / work.dag_rel_path, bundle_path=bundle.path, bundle_name=bundle.name)
    carried = bag.dags[SHOP].task_dict["turn"].doc_json
    assert carried is not None
    known = stored.load(carried)
    assert known is not None
    return known.description


def test_by_default_a_cleared_task_runs_the_definition_that_failed(
    office: rig.Airflow, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = repository.push(WRONG)
    run = launch(office)
    assert recorded(office, run) == (first,) * 4
    second = repository.push(MENDED)
    assert second != first
    clear(office, run)
    assert recorded(office, run) == (first,) * 4
    assert worked_with(run, FAILED, monkeypatch) == "wrong"


@pytest.mark.parametrize("asked", ["setting", "form"])
def test_a_task_that_is_cleared_with_the_latest_version_runs_the_mended_definition(
    office: rig.Airflow, repository: Repository, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    first = repository.push(WRONG)
    run = launch(office)
    second = repository.push(MENDED)
    if asked == "setting":
        monkeypatch.setenv("AIRFLOW__CORE__RERUN_WITH_LATEST_VERSION", "True")
        clear(office, run)
    else:
        clear(office, run, run_on_latest_version=True)
    assert worked_with(run, FAILED, monkeypatch) == "mended"
    # The run moves, and what has run before keeps the commit that it ran with.
    assert recorded(office, run) == (second, first, second, first)


def test_a_new_launch_has_the_newest_commit(
    office: rig.Airflow, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.push(WRONG)
    second = repository.push(MENDED)
    run = launch(office)
    assert recorded(office, run) == (second,) * 4
    assert worked_with(run, FAILED, monkeypatch) == "mended"


@pytest.fixture
def folder(
    office: rig.Airflow, repository: Repository, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A second bundle, in which the same loader and definition stand."""
    name, path = "copies", tmp_path / "copies"
    path.mkdir()
    (path / f"{SHOP}.yaml").write_text(MENDED)
    (path / f"{SHOP}.py").write_text(loader())
    bundles = json.loads(os.environ["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    local = {
        "name": name,
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(path)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([*bundles, local]))
    with create_session() as session:
        session.add(DagBundleModel(name=name))
    yield name
    office.clear()
    with create_session() as session:
        session.execute(sa.delete(DagBundleModel).where(DagBundleModel.name == name))


def given(run: str, task: str) -> Context:
    """As far as it matters here, the context that a worker makes of what it gets for a task of a run."""
    with create_session() as session:
        instance = session.scalars(
            sa.select(TaskInstance).where(TaskInstance.run_id == run, TaskInstance.task_id == task)
        ).one()
        work = workloads.ExecuteTask.make(instance)
    bundle = DagBundlesManager().get_bundle(work.bundle_info.name)  # type: ignore[no-untyped-call] # Airflow's
    known: dict[str, Any] = {"bundle_instance": bundle}
    return cast("Context", {"ti": RuntimeTaskInstance.model_construct(**known)})


def test_airflow_gives_one_run_the_definitions_of_two_bundles_and_gantry_refuses_the_second(
    office: rig.Airflow, repository: Repository, folder: str
) -> None:
    repository.push(WRONG)
    run = launch(office)
    begun = dag_bundles.of(given(run, "turn"))
    assert begun == repository.name

    # Nobody has changed anything: the other bundle is parsed.
    copies = bundle_of(folder)
    bag = BundleDagBag(copies.path, bundle_path=copies.path, bundle_name=folder)
    assert bag.import_errors == {}
    sync_bag_to_db(bag, folder, None)

    known = definition.loads(MENDED)
    steps = launch_plan(known)
    key = jobs.StepKey(f"r.{FAILED}", "1", "1")
    work = step_run.StepRun(known, steps, steps.by_id[FAILED], run, key, {}, bundle=begun)
    context = given(run, FAILED)
    assert dag_bundles.of(context) == folder
    with pytest.raises(
        dag_bundles.MixedBundlesError, match=f"of the DAG bundle '{begun}'.*in the bundle '{folder}'"
    ):
        dag_bundles.refuse_mixed(context, work)
    with pytest.raises(dag_bundles.OtherBundleError):
        dag_bundles.refuse_other(work, store_record.StoreRecord("2026", begun), folder)
    assert office.get(f"/api/v2/dags/{SHOP}").json()["bundle_name"] == folder
