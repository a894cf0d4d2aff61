"""The house: each room imports only what stands below it."""

from __future__ import annotations

import ast
import dataclasses
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

PACKAGE = pathlib.Path(__file__).parents[2] / "plugins" / "gantry"
MODULES = sorted(PACKAGE.rglob("*.py"))

GROUND = {"", "errors", "names", "inventory", "log_marks", "templates", "template_costs", "terminal"}
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


BELOW_OPERATORS = {"definition", "plan", "status", "agent", "cloud", "configuration_management"}
ROOMS = {
    # The ground floor.
    "": Room(),
    "errors": Room(never=NETWORK),
    "names": Room(never=NETWORK),
    "inventory": Room(never=NETWORK),
    "templates": Room(never=NETWORK),
    "template_costs": Room(never=NETWORK),
    "terminal": Room(never=NETWORK),
    "log_marks": Room(never=NETWORK),
    "provider_info": Room(never=NETWORK),
    "archive": Room(never=NETWORK),
    "definition": Room(never=NETWORK),
    "plan": Room({"definition"}, never=NETWORK),
    "status": Room({"definition", "plan"}, never={*NETWORK, "rich", "jinja2"}),
    "agent": Room({"definition", "plan"}),
    "cloud": Room({"definition", "plan"}, {"airflow.providers.amazon"}),
    "configuration_management": Room({"definition", "plan", "agent"}),
    # Airflow's task SDK has no base class for triggers: every provider takes it from here.
    "operators": Room(BELOW_OPERATORS, {*PUBLIC_AIRFLOW, "airflow.triggers.base"}),
    # Which files of a folder are DAG files, `.airflowignore` and all, only Airflow's own search tells.
    "dag": Room({*BELOW_OPERATORS, "operators"}, {*PUBLIC_AIRFLOW, "airflow.utils.file"}),
    # What people look at may ask everything, and decides nothing. A page needs the API server's own classes.
    "web": Room({*BELOW_OPERATORS, "operators", "dag"}, {"airflow"}),
    # Loads modules by name, so that a fork has them; a listener has no other base than this.
    "warm_up": Room(set(), {"airflow.listeners"}),
    "warm_worker": Room({"warm_up"}),
    "airflow_plugin": Room(
        {"web", "operators", "dag", "warm_up"}, {*PUBLIC_AIRFLOW, "airflow.plugins_manager"}
    ),
    # Airflow's own API, spoken to from outside: no Airflow is needed for it.
    "rest": Room(),
    # What a launch would do now: the steps' own decisions, without the steps.
    "preview": Room({*BELOW_OPERATORS, "operators"}, PUBLIC_AIRFLOW),
    "cli": Room({*BELOW_OPERATORS, "operators", "dag", "web", "archive", "rest", "preview"}, PUBLIC_AIRFLOW),
    "__main__": Room({"cli"}),
    # The embedded cloud and the demo on it: nobody knows them, and the demo looks at what the product did.
    "local": Room(
        {"archive", "definition", "plan", "status", "cloud", "configuration_management", "cli", "rest"}
    ),
}


def room_of(path: pathlib.Path) -> str:
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


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
        top, _, rest = name.partition(".")
        there = rest.partition(".")[0]
        if top == "gantry":
            # `from gantry import __version__` and the like name no room.
            target = there if there in ROOMS else ""
            allowed = target in {here, *GROUND, *room.rooms}
        elif top == "airflow":
            allowed = any(is_in(name, tree) for tree in room.airflow)
        else:
            allowed = top not in room.never and (here == "local" or top not in TEST_CLOUD)
        if not allowed:
            yield f"{path.relative_to(PACKAGE)}:{line}: {here or 'gantry'} may not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_stands_below_it(path: pathlib.Path) -> None:
    assert room_of(path) in ROOMS, "a new room needs its place in the house"
    assert list(trespasses(path)) == []


def test_nobody_knows_the_embedded_cloud() -> None:
    knowing = {room_of(path) for path in MODULES for _, name in imports(path) if is_in(name, "gantry.local")}
    assert knowing <= {"local"}


def test_the_rooms_stand_above_each_other() -> None:
    for name, room in ROOMS.items():
        for below in room.rooms:
            assert name not in ROOMS[below].rooms, f"{name} and {below} import each other"


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


def test_definition_plan_and_status_load_without_airflow_or_a_network() -> None:
    names = [
        ".".join(("gantry", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for path in MODULES
        if room_of(path) in ("", "errors", "names", "inventory", "definition", "plan", "status")
    ]
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(sorted({'airflow', 'asyncssh', 'boto3', 'moto', 'gantry.local'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script, *names], capture_output=True, text=True, check=False)
    assert (run.stdout.strip(), run.returncode) == ("[]", 0), run.stderr
