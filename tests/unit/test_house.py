"""The house: each room imports only what stands below it."""

from __future__ import annotations

import ast
import builtins
import collections
import dataclasses
import graphlib
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

PACKAGE = pathlib.Path(__file__).parents[2] / "plugins" / "gantry"
MODULES = sorted(PACKAGE.rglob("*.py"))

GROUND = {
    "", "durations", "errors", "names", "inventory", "log_marks", "templates", "template_costs", "terminal",
}  # fmt: skip
"""What every room may stand on; `""` is `import gantry` for its version."""

NETWORK = {
    "aiohttp", "asyncio", "asyncssh", "boto3", "botocore", "docker", "http", "httpx", "paramiko", "requests",
    "socket", "ssl", "subprocess", "urllib", "urllib3",
}  # fmt: skip
PUBLIC_AIRFLOW = {"airflow.sdk", "airflow.providers"}
TEST_CLOUD = {"moto", "docker"}


@dataclasses.dataclass(frozen=True)
class Room:
    """What the modules of a room may import: of Gantry, of Airflow; and what never."""

    rooms: set[str] = dataclasses.field(default_factory=set)
    airflow: set[str] = dataclasses.field(default_factory=set)
    never: set[str] = dataclasses.field(default_factory=set)


LOOKS = {"definition", "plan", "requests", "state", "status", "overview"}
"""What a deployment is and does, from data alone."""

WORKS = {
    "definition",
    "plan",
    "requests",
    "state",
    "agent",
    "cloud",
    "configuration_management",
    "credentials",
}
"""What a decision about servers may ask, and what it is made from."""

TASKS = {*WORKS, "status", "reconcile", "runtime"}
CLI = {"cli.support", "cli.queries", "cli.output"}
ROOMS = {
    # The ground floor.
    "": Room(),
    "durations": Room(never=NETWORK),
    "errors": Room(never=NETWORK),
    "names": Room(never=NETWORK),
    "inventory": Room(never=NETWORK),
    "templates": Room(never=NETWORK),
    "template_costs": Room(never=NETWORK),
    "terminal": Room(never=NETWORK),
    "log_marks": Room(never=NETWORK),
    "provider_info": Room(never=NETWORK),
    "archive": Room(never=NETWORK),
    # What a deployment is, what has to happen, what is kept of it, how far it is.
    "definition": Room(never=NETWORK),
    "plan": Room({"definition"}, never=NETWORK),
    # What each operation can be asked for.
    "requests": Room({"definition", "plan"}, never=NETWORK),
    "state": Room({"definition", "plan"}, never={*NETWORK, "rich", "jinja2"}),
    "status": Room({"definition", "plan", "state"}, never={*NETWORK, "rich", "jinja2"}),
    # What pages and terminal show of it.
    "overview": Room({"definition", "plan", "state", "status"}, never={*NETWORK, "rich", "jinja2"}),
    # Servers, the cloud, Chef, and the secrets that open them.
    "agent": Room({"definition", "plan"}),
    "cloud": Room({"definition", "plan"}, {"airflow.providers.amazon"}),
    "configuration_management": Room({"definition", "plan", "agent"}),
    "credentials": Room({"definition", "plan", "agent", "configuration_management"}, PUBLIC_AIRFLOW),
    # Desired against actual: `gantry plan` and a run decide by the same code, which needs no Airflow.
    "reconcile": Room(WORKS),
    "preflight": Room(WORKS),
    # The tasks. Airflow's task SDK has no base class for triggers: every provider takes it from here.
    # Which DAG bundles there are, only Airflow's reader of that setting tells: providers add to it.
    "runtime": Room(
        {*WORKS, "status", "reconcile"}, {*PUBLIC_AIRFLOW, "airflow.dag_processing.bundles.manager"}
    ),
    "triggers": Room(TASKS, {*PUBLIC_AIRFLOW, "airflow.triggers.base"}),
    "hooks": Room({"credentials", "configuration_management"}, PUBLIC_AIRFLOW),
    "operators": Room({*TASKS, "preflight", "preview", "triggers"}, PUBLIC_AIRFLOW),
    # Which files of a folder are DAG files, `.airflowignore` and all, only Airflow's own search tells.
    "dag": Room({*TASKS, "operators"}, {*PUBLIC_AIRFLOW, "airflow.utils.file"}),
    # Loads modules by name, so that a fork has them; a listener has no other base than this.
    "warm_up": Room(set(), {"airflow.listeners"}),
    "warm_worker": Room({"warm_up"}),
    # Pages decide nothing. They need the API server's own classes.
    "web.http": Room(LOOKS, {"airflow"}),
    "web.queries": Room({*TASKS, "overview", "web.http"}, {"airflow"}),
    "web.views": Room({*LOOKS, "web.http", "web.queries"}),
    "web.routes": Room({*LOOKS, "web.http", "web.queries", "web.views"}, {"airflow"}),
    "web": Room({*LOOKS, "web.http", "web.queries", "web.views", "web.routes"}, {"airflow"}),
    "airflow_plugin": Room({"web", "warm_up"}, {*PUBLIC_AIRFLOW, "airflow.plugins_manager"}),
    # Airflow's own API, called from outside: no Airflow is needed for it.
    "rest": Room(),
    # What a launch would do now: the steps' own decisions, without the steps.
    "preview": Room({*WORKS, "status", "reconcile", "preflight"}),
    "cli.support": Room({"definition", "requests", "rest"}, PUBLIC_AIRFLOW),
    "cli.queries": Room({*TASKS, "overview", "rest", "cli.support"}),
    "cli.output": Room({*LOOKS, "rest", "preview", "cli.support", "cli.queries"}),
    "cli": Room({*LOOKS, "rest", *CLI}),
    "cli.commands": Room(
        {*TASKS, "overview", "preflight", "archive", "rest", "preview", "cli", *CLI}, PUBLIC_AIRFLOW
    ),
    "__main__": Room({"cli"}),
    # The embedded cloud and the demo on it: nothing else knows them, and the demo looks at what the product did.
    "local.errors": Room({"local.resources"}),
    "local.resources": Room(),
    "local.cloud": Room({"local.errors", "local.resources", "definition", "configuration_management"}),
    "local.demo": Room(
        {"local.errors", "local.resources", "local.cloud", "local", *LOOKS, "archive", "cloud", "rest", *CLI}
    ),
    "local.cluster": Room(
        {"local", "local.errors", "local.resources", "local.cloud", "local.demo", *LOOKS, "rest", *CLI}
    ),
    "local": Room({"local.errors", "local.resources", "local.cloud", *CLI}),
    "local.commands": Room({"local", "local.errors", "local.resources", "local.cloud", "local.demo", *CLI}),
}


def room_of(path: pathlib.Path) -> str:
    parts = [each.removesuffix(".py") for each in path.relative_to(PACKAGE).parts]
    return room_named([part for part in parts if part != "__init__"])


def room_named(parts: list[str]) -> str:
    """The room of a module: the longest beginning of its name that is one, else the name's first part."""
    found = [".".join(parts[:count]) for count in (2, 1) if ".".join(parts[:count]) in ROOMS]
    return found[0] if found else ".".join(parts[:1])


def imports(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Every import of a module, wherever it stands: (line, full name)."""
    package = ("gantry", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = [*package[: len(package) - node.level + 1]] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def is_in(name: str, tree: str) -> bool:
    return name == tree or name.startswith(f"{tree}.")


def trespasses(path: pathlib.Path) -> Iterator[str]:
    here = room_of(path)
    room = ROOMS[here]
    for line, name in imports(path):
        top, *rest = name.split(".")
        if top == "gantry":
            # `from gantry import __version__` and the like name no room.
            there = room_named(rest)
            target = there if there in ROOMS else ""
            allowed = target in {here, *GROUND, *room.rooms}
        elif top == "airflow":
            allowed = any(is_in(name, tree) for tree in room.airflow)
        else:
            allowed = top not in room.never and (here.startswith("local") or top not in TEST_CLOUD)
        if not allowed:
            yield f"{path.relative_to(PACKAGE)}:{line}: {here or 'gantry'} may not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_stands_below_it(path: pathlib.Path) -> None:
    assert room_of(path) in ROOMS, "a new room needs its place in the house"
    assert list(trespasses(path)) == []


def test_nobody_knows_the_embedded_cloud() -> None:
    knowing = {room_of(path) for path in MODULES for _, name in imports(path) if is_in(name, "gantry.local")}
    assert {room.partition(".")[0] for room in knowing} <= {"local"}


def test_the_rooms_stand_above_each_other() -> None:
    for name, room in ROOMS.items():
        for below in room.rooms:
            assert name not in ROOMS[below].rooms, f"{name} and {below} import each other"


def test_no_two_modules_import_each_other_by_any_way() -> None:
    modules = {
        ".".join(("gantry", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in MODULES
    }

    def module_of(name: str) -> str:
        while name not in modules:
            name = name.rpartition(".")[0]
        return name

    needs = {
        module: {module_of(name) for _, name in imports(path) if is_in(name, "gantry")} - {module, "gantry"}
        for module, path in modules.items()
    }
    # Raises CycleError, which names those in the circle.
    graphlib.TopologicalSorter(needs).prepare()


def test_a_trespass_is_noticed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "plan" / "sly.py"
    module.parent.mkdir()
    module.write_text(
        "from gantry import cloud, names\nfrom ..definition import models\ndef later():\n    import airflow.sdk\n"
        "    from urllib import request\n    from gantry.local import state\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    assert [each.rpartition(" ")[2] for each in trespasses(module)] == [
        "gantry.cloud",
        "airflow.sdk",
        "urllib.request",
        "gantry.local.state",
    ]


def test_what_decides_and_what_shows_load_without_airflow_or_a_network() -> None:
    names = [
        ".".join(("gantry", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for path in MODULES
        if room_of(path) in {*GROUND, *LOOKS, "reconcile", "preflight", "preview"}
    ]
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(sorted({'airflow', 'asyncssh', 'boto3', 'moto', 'gantry.local'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script, *names], capture_output=True, text=True, check=False)
    assert (run.stdout.strip(), run.returncode) == ("[]", 0), run.stderr


def test_the_name_of_a_public_class_is_that_of_no_other() -> None:
    # A name that a search finds once needs no module in front of it to be understood.
    found: collections.defaultdict[str, list[str]] = collections.defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(str(path.relative_to(PACKAGE)))
    assert len(found) > 500
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def test_an_error_that_a_docstring_names_is_there() -> None:
    # A class that was renamed stays in the docstrings of others, where no linter looks.
    known = set(dir(builtins)) | {
        "AirflowFailException",
        "AirflowException",
        "ClientError",
        "CycleError",
        "SecurityError",
    }
    said: dict[str, str] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.ClassDef():
                    known.add(node.name)
                case ast.Import() | ast.ImportFrom():
                    known.update((each.asname or each.name).rpartition(".")[2] for each in node.names)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                named = re.findall(r"(?<!`)\b[A-Z]\w*(?:Error|Exception)\b(?!`)", text)
                said |= dict.fromkeys(named, str(path.relative_to(PACKAGE)))
    assert {name: place for name, place in said.items() if name not in known} == {}
