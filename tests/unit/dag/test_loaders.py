"""Two DAG files that make one deployment: the second, by its path, is refused, in whatever process it is read."""

from __future__ import annotations

import ast
import pathlib
import sys

import pytest
from airflow.dag_processing.dagbag import DagBag

from gantry.dag import expressions
from tests.unit.dag.definitions import HEAD, WEB

TEXT = HEAD + WEB
LOADER = '''\
"""airflow dag"""
import os
import pathlib

from gantry.dag import deployment_dags

_FOLDER = pathlib.Path(os.environ.get("NOWHERE_TO_BE_FOUND", pathlib.Path(__file__).parents[{up}] / "include"))

dags = deployment_dags(_FOLDER / "{name}.yaml"{more})
'''


@pytest.fixture
def project(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """An Airflow project. Its folder of DAGs is where modules are found, as Airflow has it."""
    (tmp_path / "include").mkdir()
    (tmp_path / "dags/team").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "dags")])
    return tmp_path


def loader(project: pathlib.Path, file: str, name: str = "shop", more: str = "") -> pathlib.Path:
    path = project / "dags" / file
    path.write_text(LOADER.format(up=len(pathlib.Path(file).parts), name=name, more=more))
    return path


def definition(project: pathlib.Path, name: str, text: str = TEXT) -> None:
    (project / f"include/{name}.yaml").write_text(text)


def read(path: pathlib.Path) -> str:
    """What Airflow shows of a file that it reads in a process of its own; empty: its DAGs are there."""
    bag = DagBag(path)
    assert bool(bag.dags) is not bool(bag.import_errors)
    return "".join(bag.import_errors.values())


def test_the_second_file_by_path_is_refused_and_names_the_first(project: pathlib.Path) -> None:
    definition(project, "shop")
    first, second = loader(project, "shop.py"), loader(project, "team/again.py")
    assert read(first) == ""
    message = read(second)
    assert "include/shop.yaml:1:13: deployment 'shop' is made by shop.py already" in message
    assert "team/again.py makes it too" in message
    first.unlink()
    assert read(second) == ""


def test_two_definitions_of_one_name_and_overlays_that_do_not_rename_count_too(project: pathlib.Path) -> None:
    definition(project, "shop")
    definition(project, "copy")
    definition(project, "other", TEXT.replace("deployment: shop", "deployment: other"))
    definition(project, "other.staging", "deployment: shop\n")
    definition(project, "third", TEXT.replace("deployment: shop", "deployment: third"))
    definition(project, "third.staging", "tags: [staging]\n")
    loader(project, "a.py")
    assert "made by a.py already" in read(loader(project, "copy.py", "copy"))
    assert "made by a.py already" in read(loader(project, "other.py", "other", ', environment="staging"'))
    assert read(loader(project, "third.py", "third")) == ""
    assert "made by third.py" in read(loader(project, "third_staging.py", "third", ', environment="staging"'))


def test_a_name_that_is_made_of_variables_is_found(project: pathlib.Path) -> None:
    variable = "variables: {where: {type: string, default: shop}}\n"
    definition(project, "made", variable + TEXT.replace("deployment: shop", 'deployment: "${where}"'))
    definition(project, "shop")
    loader(project, "made.py", "made")
    assert "made by made.py already" in read(loader(project, "shop.py"))


def test_a_first_file_whose_definition_is_broken_does_not_give_the_deployment_away(
    project: pathlib.Path,
) -> None:
    definition(project, "shop", TEXT + "tires: {}\n")
    definition(project, "copy")
    loader(project, "a.py")
    assert "made by a.py already" in read(loader(project, "copy.py", "copy"))


def test_files_that_airflow_does_not_look_at_are_no_loaders(project: pathlib.Path) -> None:
    definition(project, "shop")
    loader(project, "old.py")
    (project / "dags/.airflowignore").write_text("old.py\n")
    (project / "dags/broken.py").write_text("from gantry.dag import deployment_dags\ndeployment_dags(\n")
    (project / "dags/runs.py").write_text(
        "from gantry.dag import deployment_dags\n# airflow\nfor _ in ():\n    deployment_dags(_)\n"
    )
    assert read(loader(project, "shop.py")) == ""


def test_a_task_of_the_second_goes_on(project: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    definition(project, "shop")
    second = loader(project, "shop.py")
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "shop")
    monkeypatch.setattr(pathlib.Path, "read_bytes", lambda _: pytest.fail("a task looks at no other file"))
    loader(project, "again.py")
    assert read(second) == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("pathlib.Path(__file__).resolve().parent / 'a.yaml'", pathlib.Path("/dags/a.yaml")),
        ("A + '.yaml'", "a.yaml"),
        ("f'{A}.yaml'", "a.yaml"),
        ("Path('/x', A)", pathlib.Path("/x/a")),
        ("str(Path(A))", "a"),
        ("os.environ['GANTRY_TEST']", "set"),
        ("os.getenv('GANTRY_TEST')", "set"),
        ("os.environ.get('GANTRY_NONE', A)", "a"),
    ],
)
def test_what_an_expression_comes_to(text: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTRY_TEST", "set")
    assert values(f"A = 'a'\nX = {text}") == value


@pytest.mark.parametrize(
    "text", ["X", "unknown", "open('a')", "A.get('a')", "os.environ['GANTRY_NONE']", "A.parents[1]", "[A][0]"]
)
def test_what_only_running_it_would_tell(text: str) -> None:
    with pytest.raises(expressions.UntoldError):
        values(f"A = 'a'\nX = {text}")


def values(text: str) -> object:
    tree = ast.parse(text)
    last = tree.body[-1]
    assert isinstance(last, ast.Assign)
    return expressions.Values(tree, pathlib.Path("/dags/shop.py")).of(last.value)
