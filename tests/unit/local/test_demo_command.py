"""`gantry demo`: what it says and refuses before anything is started, and what it leaves alone."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.testing

from gantry import errors, local
from gantry.local import commands, resources
from gantry.local.cloud import control
from gantry.local.demo import background, cleanup, environment, machine, project
from gantry.rest import profiles

ROOT = Path(__file__).parents[3]
DEFINITION = """\
deployment: shop
cloud: {region: eu-west-1}
launch_configurations: {debian: {image: ami-1, ssh: {connection: shop_ssh}}}
tiers: {web: {launch_configuration: debian, servers: 1}}
"""


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTRY_LOCAL_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("GANTRY_PROFILES", str(tmp_path / "config" / "profiles.toml"))
    monkeypatch.delenv("GANTRY_DEMO", raising=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "dags").mkdir(parents=True)
    (root / "include").mkdir()
    return root


def gantry_demo(*arguments: str) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(commands.app, arguments)


def stand(name: str, root: Path) -> background.DemoState:
    """As if a demo had been begun: its record, without anything that runs."""
    found = background.DemoState(name, root, "http://127.0.0.1:1", "admin", "a password", 0)
    cleanup.folder(name).mkdir(parents=True)
    cleanup.record(name).write_bytes(background._FORMAT.dump_json(found))
    return found


def test_help_teaches_and_loads_neither_docker_nor_airflow() -> None:
    script = (
        "import sys, typer.testing\n"
        "from gantry.local import commands\n"
        "print(typer.testing.CliRunner().invoke(commands.app, ['up', '--help']).output)\n"
        "print(sorted({'docker', 'boto3', 'moto', 'airflow'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "gantry demo up --bookshop" in run.stdout
    assert run.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [["up", "--buokshop"], ["up", "--port", "web"], ["oops"], ["run", "x"]])
def test_what_is_mistyped_is_refused(arguments: list[str]) -> None:
    assert gantry_demo(*arguments).exit_code != 0


def test_several_demos_are_told_apart_by_name(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    asked = []

    def begin(name: str, *_: object, **__: object) -> background.Begun:
        asked.append(name)
        raise errors.GantryError("no further")

    monkeypatch.setattr(background, "up", begin)
    monkeypatch.chdir(root)
    gantry_demo("up")
    gantry_demo("up", "--name", "mine")
    monkeypatch.setenv("GANTRY_DEMO", "of-the-environment")
    gantry_demo("up")
    assert asked == ["demo", "mine", "of-the-environment"]


def test_a_folder_without_dags_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(project.NoProjectError, match="gantry new hello"):
        background.up("demo-unit", tmp_path, print)
    assert not any(tmp_path.rglob("*.yaml"))


Begun = list[tuple[tuple[str, ...], bool]]
"""The deployments of a project for which a demo is started, and whether the bookshop is one that is brought."""


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Begun:
    found: Begun = []

    def begin(_: str, seen: project.Project, *__: object, bookshop: bool, **___: object) -> background.Begun:
        found.append((seen.deployments, bookshop))
        raise errors.GantryError("no further")

    monkeypatch.setattr(machine, "engine_runs", lambda: False)
    monkeypatch.setattr(background, "_begin", begin)
    return found


@pytest.mark.parametrize(("definition", "brought"), [("", "bookshop"), (DEFINITION, "")])
def test_a_project_without_definitions_gets_the_bookshop(
    root: Path, begun: Begun, definition: str, brought: str
) -> None:
    if definition:
        (root / "include" / "shop.yaml").write_text(definition)
    with pytest.raises(errors.GantryError, match="no further"):
        background.up("demo-unit", root, print)
    assert begun == [((brought or "shop",), bool(brought))]
    assert (root / "include" / "bookshop" / "bookshop.yaml").is_file() is bool(brought)


def test_an_empty_folder_gets_the_bookshop_where_it_is_asked_for(tmp_path: Path, begun: Begun) -> None:
    with pytest.raises(errors.GantryError, match="no further"):
        background.up("demo-unit", tmp_path, print, bookshop=True)
    assert begun == [(("bookshop",), True)]
    assert (tmp_path / "include" / "bookshop" / "bookshop.yaml").is_file()
    assert (tmp_path / "dags" / "bookshop.py").is_file()


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_LIBRARIES", ("docker", "not_installed_anywhere"))
    with pytest.raises(
        machine.LibrariesMissingError, match=r"pip install 'airflow-provider-gantry\[local\]'"
    ):
        machine.require_libraries()


def test_a_machine_that_cannot_be_prepared_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "setup-machine.sh"
    script.write_text("echo 'setup-machine: not root' >&2; exit 7\n")
    monkeypatch.setattr(resources, "SETUP_MACHINE", script)
    with pytest.raises(machine.MachineNotReadyError, match=r"exit code 7.*Debian 12 and root"):
        machine.prepare(print)
    assert "not root" in capfd.readouterr().err


def test_a_demo_that_stands_is_for_one_project(root: Path) -> None:
    stand("demo-unit", root)
    with pytest.raises(background.OtherProjectError, match=str(root)):
        background.up("demo-unit", root.parent, print)


def test_the_attended_demo_does_not_take_a_standing_one_away(root: Path) -> None:
    stand("demo-unit", root)
    with pytest.raises(background.StandingError, match="gantry demo down"):
        background.refuse("demo-unit")


def test_what_stands_is_nobodys_remains_but_a_dead_tests(root: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    for name in ("demo-unit", f"newcomer-{os.getpid()}", f"newcomer-{gone.pid}"):
        stand(name, root)
    assert cleanup._stands("demo-unit")
    assert cleanup._stands(f"newcomer-{os.getpid()}")
    assert not cleanup._stands(f"newcomer-{gone.pid}")
    assert not cleanup._stands("demo")


def test_down_forgets_its_own_profile_and_no_other(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(machine, "engine_runs", lambda: False)
    found = stand("demo-unit", root)
    file = background._profile(found, {"AIRFLOW_CONN_X": "{}"})
    profiles.write(profiles.Profile(name="production", url="https://airflow.example.com"))
    assert profiles.read()["demo-unit"].environment_file is not None
    assert file == profiles.file()
    assert "profile demo-unit" in background.down("demo-unit", print)
    assert list(profiles.read()) == ["production"]
    assert not cleanup.record("demo-unit").parent.exists()
    assert background.down("demo-unit", print) == []


def test_down_leaves_a_profile_that_somebody_else_made_of_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "engine_runs", lambda: False)
    profiles.write(profiles.Profile(name="demo-unit", url="https://airflow.example.com"))
    assert background.down("demo-unit", print) == []
    assert list(profiles.read()) == ["demo-unit"]


def test_the_environment_file_is_private(root: Path) -> None:
    found = stand("demo-unit", root)
    background._profile(found, {"AIRFLOW_CONN_X": "secret"})
    file = profiles.read()["demo-unit"].environment_file
    assert file is not None
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_project_is_read_with_its_overlays_and_without_what_is_broken(root: Path) -> None:
    (root / "include" / "shop.yaml").write_text(DEFINITION)
    (root / "include" / "shop.far.yaml").write_text("deployment: far-shop\ncloud: {region: us-east-1}\n")
    (root / "dags" / "bad.yaml").write_text("deployment: bad\ntiers: oops\n")
    found = project.look(root)
    assert found.deployments == ("shop",)
    assert found.regions == ("eu-west-1", "us-east-1")
    assert found.files == 2
    (problem,) = found.broken
    assert problem.startswith(f"{root / 'dags' / 'bad.yaml'}:")


def test_only_files_that_airflow_looks_at_are_loaders(root: Path) -> None:
    (root / "dags" / "shop.py").write_text('"""The Airflow DAGs of the shop."""\n')
    (root / "dags" / "helper.py").write_text("pass\n")
    assert project.look(root).loaders() == {root / "dags" / "shop.py"}


def test_the_bookshop_comes_whole_and_overwrites_nothing(root: Path) -> None:
    (root / "dags" / "bookshop.py").write_text("mine\n")
    said: list[str] = []
    project.add_bookshop(root, said.append)
    assert (root / "dags" / "bookshop.py").read_text() == "mine\n"
    found = project.look(root)
    assert (found.deployments, found.broken) == (("bookshop",), ())
    assert (root / "include" / "chef" / "roles" / "loadBalancer.json").is_file()
    assert len(said) == 2


def test_the_bookshop_is_brought_for_a_region(root: Path) -> None:
    project.add_bookshop(root, print, "ap-east-1")
    assert set(project.look(root).regions) == {"ap-east-1"}
    # It is the project's from then on.
    project.add_bookshop(root, print, "us-east-1")
    assert set(project.look(root).regions) == {"ap-east-1"}


def test_the_clouds_region_is_the_projects_unless_one_is_named(root: Path) -> None:
    (root / "include" / "shop.yaml").write_text(DEFINITION)
    found, said = project.look(root), list[str]()
    assert (background._region(found, None, said.append), said) == ("eu-west-1", [])
    assert background._region(found, "us-east-1", said.append) == "us-east-1"
    assert said == ["the embedded cloud is us-east-1; deployments in eu-west-1 find no images there"]


@pytest.mark.parametrize("begin", ["cloud", "demo", "attended"])
def test_a_region_that_there_is_not_is_refused_before_anything_is_started(root: Path, begin: str) -> None:
    wrong = "eu-centrall-1"
    begun: dict[str, Callable[[], object]] = {
        "cloud": lambda: control.up("demo-unit", region=wrong),
        "demo": lambda: background.up("demo-unit", root, print, bookshop=True, region=wrong),
        "attended": lambda: environment.start("demo-unit", ROOT, print, region=wrong),
    }
    with pytest.raises(errors.GantryError, match="did you mean 'eu-central-1'"):
        begun[begin]()
    assert not (root / "include" / "bookshop").exists()


def test_the_loader_of_the_bookshop_takes_the_demos_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.REGION, "ap-east-1")
    made = runpy.run_path(str(ROOT / "dags" / "bookshop.py"))["dags"]
    told = next(task for task in made[0].tasks if task.task_id == "turn")
    assert "ap-east-1" in str(vars(told))


def test_a_checkout_is_where_the_demos_files_are() -> None:
    assert resources.ROOT == ROOT
    assert resources.SETUP_MACHINE.is_file()
    assert all((ROOT / path).exists() for path in resources.BOOKSHOP)
    assert local.DEMO == "demo"
