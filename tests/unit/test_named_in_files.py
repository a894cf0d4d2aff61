"""What scripts, the Makefile and the documentation import of this package is there: no linter looks into them."""

from __future__ import annotations

import importlib.util
import pathlib
import re
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]
FOLDERS = (".ci", "benchmarks", "dags", "docker", "docs", "findings", "include")
SUFFIXES = frozenset({"", ".md", ".sh", ".toml", ".yaml", ".yml"})
IMPORTED = re.compile(r"from (gantry[\w.]*) import (\w+(?:, \w+)*)")
RUN = re.compile(r"-m (gantry[\w.]*)")


def files() -> Iterator[pathlib.Path]:
    yield from (each for each in ROOT.iterdir() if each.is_file())
    for folder in FOLDERS:
        yield from (each for each in (ROOT / folder).rglob("*") if each.is_file())


def imports() -> Iterator[tuple[str, str, str]]:
    """Each import: the file, the module and the name in it, which is empty where the module is run."""
    for file in files():
        if file.suffix not in SUFFIXES:
            continue
        text = file.read_text()
        where = str(file.relative_to(ROOT))
        for module, names in IMPORTED.findall(text):
            yield from ((where, module, name) for name in names.split(", "))
        yield from ((where, module.rstrip("."), "") for module in RUN.findall(text))


def is_there(module: str, name: str) -> bool:
    try:
        found = importlib.util.find_spec(f"{module}.{name}" if name else module)
    except ModuleNotFoundError:
        found = None
    return found is not None or (bool(name) and hasattr(importlib.import_module(module), name))


def test_what_scripts_and_documents_import_is_there() -> None:
    found = list(imports())
    assert {"Makefile", "docker/with-machine.sh", "docs/contributing.md"} <= {where for where, _, _ in found}
    assert [each for each in found if not is_there(*each[1:])] == []
