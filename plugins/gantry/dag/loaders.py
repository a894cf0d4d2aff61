"""Detects other loaders of the same deployment: Airflow does not report them, and uses either at each parse.

The other files are read without running them: the definition that they name is evaluated statically, as far as it is
written with paths, `__file__` and environment variables. The first file by path keeps the deployment; the others are
rejected.
"""

from __future__ import annotations

import ast
import dataclasses
import os
import pathlib
import sys
from collections.abc import Iterator

from gantry import definition, names
from gantry.dag import expressions
from gantry.definition import references

_CALL = "deployment_dags"
"""The function that loaders call."""

_LEFT_OUT = frozenset({"__pycache__", "dist-packages", "node_modules", "site-packages"})
"""Folders without DAG files, like hidden ones."""


def findings(deployment: str) -> Iterator[references.Finding]:
    """Yield the deployment's name, if another file that comes before the one being loaded has it too."""
    own = _loading()
    if own is None:
        return
    root = _root(own)
    first = next(_others(root, own, deployment), None)
    if first is not None:
        yield (
            ("deployment",),
            (
                f"deployment {deployment!r} is made by {first.relative_to(root)} already, which comes first by its "
                f"path; {own.relative_to(root)} makes it too, and Airflow would use either of them, depending on the "
                f"parse. Give one of them another name, or remove one of the files"
            ),
        )


def _loading() -> pathlib.Path | None:
    """Return the DAG file that is being loaded; None if the caller is not a module."""
    frame = sys._getframe(1)  # noqa: SLF001 - only this frame knows the file's path
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") != "__main__":
            file = pathlib.Path(frame.f_code.co_filename).resolve()
            # An installed module that runs programs (pytest's workers, say) is not a DAG file.
            is_dag_file = file.suffix == ".py" and file.is_file() and not _LEFT_OUT & {*file.parts}
            return file if is_dag_file else None
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


def _root(own: pathlib.Path) -> pathlib.Path:
    """Return the folder of the DAG bundle, which Airflow adds to the module path; else the file's own folder."""
    known = {pathlib.Path(each).resolve() for each in sys.path if each}
    return next((each for each in own.parents if each in known), own.parent)


def _others(root: pathlib.Path, own: pathlib.Path, deployment: str) -> Iterator[pathlib.Path]:
    """Yield the DAG files before this one that create the same deployment."""
    looked_at: frozenset[pathlib.Path] | None = None
    for file in _files(root):
        if file >= own:
            return
        if any(each.makes(deployment) for each in _read(file)):
            if looked_at is None:
                looked_at = _looked_at(root)
            if file in looked_at:
                yield file


def _files(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield all Python files below a folder, sorted by path."""
    found = []
    for here, folders, files in os.walk(root):
        folders[:] = [each for each in folders if not each.startswith(".") and each not in _LEFT_OUT]
        found += [pathlib.Path(here, each) for each in files if each.endswith(".py")]
    yield from sorted(found)


def _looked_at(root: pathlib.Path) -> frozenset[pathlib.Path]:
    """Return the files that Airflow treats as DAG files, considering `.airflowignore`. Called only if it matters."""
    from airflow.utils.file import list_py_file_paths  # noqa: PLC0415 - not for tasks, and not for every parse

    return frozenset(pathlib.Path(each).resolve() for each in list_py_file_paths(root))


@dataclasses.dataclass(frozen=True)
class _Made:
    """The definition that one call in a loader creates DAGs from."""

    path: pathlib.Path
    environment: str | None

    def makes(self, deployment: str) -> bool:
        """Return whether the definition, as written, is of this deployment; its validity is not checked."""
        name = self._written()
        if name is None or "${" not in name:
            return name == deployment
        try:
            return definition.load(self.path, environment=self.environment).deployment == deployment
        except definition.DefinitionError:
            return False

    def _written(self) -> str | None:
        files = [self.path]
        if self.environment is not None:
            files.insert(0, self.path.with_name(f"{self.path.stem}.{self.environment}{self.path.suffix}"))
        for file in files:
            try:
                name = names.written(file.read_bytes())
            except OSError:
                continue
            if name is not None:
                return name
        return None


def _read(file: pathlib.Path) -> Iterator[_Made]:
    """Yield the definitions of a loader, as far as its text shows them."""
    try:
        text = file.read_bytes()
        if _CALL.encode() not in text:
            return
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return
    values = expressions.Values(tree, file)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or expressions.last_name(node.func) != _CALL:
            continue
        given: dict[str | None, ast.expr] = dict(zip(("path", "environment"), node.args, strict=False))
        given |= {each.arg: each.value for each in node.keywords}
        try:
            path = values.of(given["path"])
            environment = values.of(given["environment"]) if "environment" in given else None
        except (expressions.UntoldError, KeyError):
            continue
        if isinstance(path, str | pathlib.Path) and isinstance(environment, str | None):
            yield _Made(pathlib.Path(path), environment)
