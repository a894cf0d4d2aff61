"""What Gantry uses of Airflow beside its public interface: each such name is listed, and is there as it is needed.

`airflow.sdk` itself and the providers are public. Of everything else Airflow promises nothing, so `pyproject.toml`
allows only the minor version that was tried, and this file says in seconds what the next one breaks.
"""

from __future__ import annotations

import ast
import dataclasses
import datetime
import importlib
import importlib.metadata
import inspect
import pathlib
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from packaging import requirements, version

import airflow

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = ROOT / "plugins" / "gantry"
PUBLIC = ("airflow.providers.",)
_FROM_AIRFLOW = re.compile(r"^\s*from airflow", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Call:
    """How something is called. `of` is the part of it that is called; None for itself."""

    of: str | None
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


def call(of: str | None = None, /, *arguments: Any, **keywords: Any) -> Call:
    return Call(of, arguments, keywords)


OBJECT: Any = object()
"""Stands for `self` and for arguments whose values do not matter."""

TRIGGER = {
    "trigger_dag_id": "", "dag_run_id": "", "conf": {}, "note": "", "reset_dag_run": False,
    "skip_when_already_exists": True, "wait_for_completion": False, "allowed_states": [], "failed_states": [],
    "poke_interval": 60, "deferrable": False,
}  # fmt: skip

PRIVATE: dict[str, tuple[Call, ...]] = {
    # What tasks ask of Airflow while they run.
    "airflow.dag_processing.bundles.manager.DagBundlesManager": (
        call(),
        call("get_all_bundle_names", OBJECT),
    ),
    "airflow.sdk._shared.secrets_masker.redact": (call(None, "text"),),
    "airflow.sdk.bases.skipmixin.SkipMixin": (call("skip", OBJECT, OBJECT, []),),
    "airflow.sdk.definitions.callback.AsyncCallback": (call(None, OBJECT, kwargs={}),),
    "airflow.sdk.definitions.deadline.DeadlineAlert": (
        call(None, reference=OBJECT, interval=datetime.timedelta(1), callback=OBJECT),
    ),
    "airflow.sdk.definitions.deadline.DeadlineReference": (),
    "airflow.sdk.exceptions.AirflowException": (),
    "airflow.sdk.exceptions.AirflowFailException": (),
    "airflow.sdk.exceptions.AirflowSkipException": (),
    "airflow.sdk.exceptions.AirflowTaskTimeout": (),
    "airflow.sdk.exceptions.DagRunTriggerException": (call(None, **TRIGGER),),
    "airflow.sdk.exceptions.DownstreamTasksSkipped": (call(tasks=["a"]),),
    "airflow.sdk.execution_time.context.AssetStateStoreAccessor": (
        call(None, name=""),
        call("get", OBJECT, "key"),
        call("set", OBJECT, "key", {}),
        call("delete", OBJECT, "key"),
    ),
    "airflow.sdk.execution_time.context.NEVER_EXPIRE": (),
    "airflow.sdk.execution_time.task_runner.RuntimeTaskInstance": (
        call("get_dr_count", "dag", run_ids=None, states=[]),
        call("get_ti_count", "dag", task_ids=[], states=[]),
        call("get_task_states", dag_id="", task_ids=[], run_ids=[], map_index=-1),
    ),
    "airflow.sdk.log.mask_secret": (call(None, "secret"),),
    "airflow.triggers.base.BaseTrigger": (),
    "airflow.triggers.base.TaskSuccessEvent": (call(None, xcoms={}),),
    "airflow.triggers.base.TriggerEvent": (call(None, {}),),
    # What the scheduler, the DAG processor and the API server ask of Gantry, and are told.
    "airflow.configuration.conf": (call("get", "api", "base_url", fallback=""),),
    "airflow.listeners.hookimpl": (),
    "airflow.plugins_manager.AirflowPlugin": (),
    "airflow.utils.file.list_py_file_paths": (call(None, OBJECT),),
    # What pages read.
    "airflow.api_fastapi.app.get_auth_manager": (call(),),
    "airflow.api_fastapi.auth.managers.base_auth_manager.ResourceMethod": (),
    "airflow.api_fastapi.auth.managers.models.base_user.BaseUser": (call("get_name", OBJECT),),
    "airflow.api_fastapi.auth.managers.models.resource_details.DagAccessEntity": (),
    "airflow.api_fastapi.auth.managers.models.resource_details.DagDetails": (),
    "airflow.api_fastapi.common.db.common.SessionDep": (),
    "airflow.api_fastapi.core_api.security.GetUserDep": (),
    "airflow.models.asset.AssetModel": (),
    "airflow.models.asset_state_store.AssetStateStoreModel": (),
    "airflow.models.dag.DagModel": (
        call("get_team_name", "dag"),
        call("get_dag_id_to_team_name_mapping", [], session=OBJECT),
    ),
    "airflow.models.dag.DagTag": (),
    "airflow.models.dag_version.DagVersion": (),
    "airflow.models.dagrun.DagRun": (),
    "airflow.models.serialized_dag.SerializedDagModel": (),
    "airflow.models.taskinstance.TaskInstance": (),
    "airflow.models.xcom.XComModel": (),
    "airflow.utils.session.create_session": (call(),),
}
"""Each private name, with the ways in which it is called; none where it is a type, a constant or a table."""

RETURNED: dict[str, tuple[Call, ...]] = {
    "airflow.api_fastapi.auth.managers.base_auth_manager.BaseAuthManager": (
        call("is_authorized_asset", OBJECT, method="GET", user=OBJECT),
        call("get_authorized_dag_ids", OBJECT, user=OBJECT, method="GET", session=OBJECT),
        call("is_authorized_dag", OBJECT, method="GET", access_entity=None, details=OBJECT, user=OBJECT),
    ),
}
"""The same of what is not imported, and comes from a call of something above."""


def running(tree: ast.AST) -> Iterator[ast.AST]:
    """Everything of a module but what is there for type checkers alone."""
    left = [tree]
    while left:
        node = left.pop()
        yield node
        left += ast.iter_child_nodes(node)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            # The last ones are its children; its body is left out.
            left = [each for each in left if each not in node.body]


def imported(path: pathlib.Path) -> Iterator[tuple[str, str]]:
    """The private names that a module imports: (the name in the module, the whole name)."""
    text = path.read_text()
    # Each of pytest's workers reads all modules before its first test: most need no look.
    if not _FROM_AIRFLOW.search(text):
        return
    for node in running(ast.parse(text, str(path))):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("airflow"):
            continue
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            if node.module != "airflow.sdk" and not whole.startswith(PUBLIC):
                yield alias.asname or alias.name, whole


def found(whole: str) -> Any:
    module, _, name = whole.rpartition(".")
    return getattr(importlib.import_module(module), name)


MODULES = sorted(PACKAGE.rglob("*.py"))
USED = {path: dict(imported(path)) for path in MODULES}
CALLS = [(whole, each) for whole, calls in {**PRIVATE, **RETURNED}.items() for each in calls]


def test_every_private_name_of_airflow_is_on_the_list_and_none_is_there_in_vain() -> None:
    used = {whole for names in USED.values() for whole in names.values()}
    assert used == set(PRIVATE)


def test_what_is_imported_as_public_is_public() -> None:
    public = set(importlib.import_module("airflow.sdk").__all__)
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.ImportFrom) and node.module == "airflow.sdk":
                taken = {alias.name for alias in node.names}
                assert taken <= public | {"log"}, path


@pytest.mark.parametrize("whole", sorted(PRIVATE))
def test_every_private_name_is_there(whole: str) -> None:
    found(whole)


@pytest.mark.parametrize(
    ("whole", "made"), CALLS, ids=lambda each: each if isinstance(each, str) else str(each.of or "itself")
)
def test_it_can_be_called_as_it_is(whole: str, made: Call) -> None:
    called: Callable[..., Any] = found(whole) if made.of is None else getattr(found(whole), made.of)
    # Raises TypeError where an argument is gone, or where a new one has to be given.
    inspect.signature(called).bind(*made.arguments, **made.keywords)


@pytest.mark.parametrize(
    "path", [each for each in MODULES if USED[each]], ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_every_attribute_that_is_read_of_it_is_there(path: pathlib.Path) -> None:
    read = {
        (node.value.id, node.attr)
        for node in ast.walk(ast.parse(path.read_text(), str(path)))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in USED[path]
    }
    missing = [f"{name}.{part}" for name, part in sorted(read) if not hasattr(found(USED[path][name]), part)]
    assert missing == []


def test_a_running_task_knows_the_bundle_of_its_dag() -> None:
    """`gantry.runtime.dag_bundles` reads it where there is one, so nothing else would say that it is gone."""
    instance = found("airflow.sdk.execution_time.task_runner.RuntimeTaskInstance")
    bundle = found("airflow.dag_processing.bundles.base.BaseDagBundle")
    assert instance.model_fields["bundle_instance"].annotation is bundle
    assert "name" in inspect.signature(bundle.__init__).parameters


def test_only_the_minor_version_of_airflow_that_was_tried_may_be_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {each.name: each.specifier for each in map(requirements.Requirement, project["dependencies"])}
    tried = version.parse(airflow.__version__)
    assert tried in needed["apache-airflow"]
    assert version.Version(f"{tried.major}.{tried.minor + 1}.0") not in needed["apache-airflow"]


def test_what_is_imported_is_declared() -> None:
    """Without the embedded cloud, which has an extra of its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {requirements.Requirement(each).name.lower() for each in project["dependencies"]}
    distributions = importlib.metadata.packages_distributions()
    undeclared = {}
    for path in MODULES:
        if path.relative_to(PACKAGE).parts[0] == "local":
            continue
        for name in set(tops(path)) & set(distributions) - {"gantry"}:
            owners = {owner.lower() for owner in distributions[name]}
            if not owners & (declared | PARTS):
                undeclared[name] = sorted(owners)
    assert undeclared == {}


PARTS = {"apache-airflow-core", "apache-airflow-task-sdk"}
"""What `apache-airflow` consists of, at its own version."""


def tops(path: pathlib.Path) -> Iterator[str]:
    """The packages that a module imports when it runs."""
    for node in running(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
