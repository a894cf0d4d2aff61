"""Finds the definition that the user means, by the deployment's name or by a path."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from gantry import errors, names

if TYPE_CHECKING:
    from gantry import definition

FOLDER = pathlib.Path("include")
"""The default folder of definitions: the one for files in an Airflow project that are not DAGs."""

VARIABLE = "GANTRY_DEFINITIONS"
"""The environment variable with another folder. Loaders use it too."""

SUFFIXES = (".yaml", ".yml")

_LARGEST = 1_000_000
"""Bytes; larger files are not definitions."""

_WORD = re.compile(names.NAME_PATTERN)

_OURS = re.compile(
    rb"""^(?:\{\s*)?["']?(?:deployment|launch_configurations|tiers|load_balancers)["']?\s*:""", re.MULTILINE
)
"""Keys that distinguish a definition from other YAML files, even if its `deployment` is invalid."""


class UnknownDefinitionError(errors.GantryError):
    """No definition has that name."""

    def __init__(self, name: str, folder: pathlib.Path, known: tuple[str, ...]) -> None:
        self.name, self.folder, self.known = name, folder, known
        near = errors.near(name, known)
        if near:
            hint = f", did you mean {near!r}?"
        elif known:
            hint = f"; there are {', '.join(known)}"
        elif folder.is_dir():
            hint = ": it holds no definitions. Name the right folder with --definitions, or the file itself"
        else:
            hint = ": there is no such folder. Name the right one with --definitions, or the file itself"
        super().__init__(f"no deployment {name!r} in {folder}{hint}")


class AmbiguousDeploymentError(errors.GantryError):
    """Several definitions have that name."""

    def __init__(self, name: str, files: tuple[pathlib.Path, ...]) -> None:
        self.name, self.files = name, files
        super().__init__(
            f"several definitions of {name!r}: {', '.join(str(each) for each in files)}. "
            "Name one of the files, or give the deployments different names"
        )


def find(
    name_or_path: str,
    folder: pathlib.Path = FOLDER,
    *,
    environment: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> definition.Loaded:
    """Read and check the definition that the user means.

    Args:
        name_or_path: a deployment's name; or a path. An overlay stands for its definition in that environment: by its
            path, or by the name that it gives the deployment.
        folder: where to search for a name, including subfolders.
        environment: the environment whose overlay to apply.
        variables: values for its variables, which take precedence.

    Raises:
        UnknownDefinitionError: no definition has that name.
        AmbiguousDeploymentError: several have it.
        DefinitionError: the definition is invalid.
    """
    from gantry import definition  # noqa: PLC0415 - loads pydantic and YAML, which help and completion need not

    path = _path(name_or_path)
    if path is None:
        path = _by_name(name_or_path, folder, environment, variables)
    base = definition.overlaid(path)
    if base is not None:
        environment = environment or environment_of(path)
        path = base
    return definition.read(path, environment=environment, variables=variables)


def files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield every YAML file in a folder and its subfolders, without hidden ones, sorted."""
    for here, folders, found in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        yield from (pathlib.Path(here, each) for each in sorted(found) if each.endswith(SUFFIXES))


def is_definition(path: pathlib.Path) -> bool:
    """Return whether a file looks like a definition, even an invalid one. Overlays need not."""
    return _OURS.search(_start(path)) is not None


def written_name(path: pathlib.Path) -> str | None:
    """Return the value of a file's `deployment:`, without parsing the rest. None: it is not a definition."""
    return names.written(_start(path))


def _start(path: pathlib.Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except OSError:
        return b""


def environment_of(overlay: pathlib.Path) -> str:
    """Return the environment that an overlay is for: `production` of `shop.production.yaml`."""
    return overlay.stem.rpartition(".")[2]


def known(folder: pathlib.Path) -> dict[str, tuple[pathlib.Path, ...]]:
    """Return the deployments of a folder: the definition of each or, if an overlay sets its name, the overlay."""
    from gantry import definition  # noqa: PLC0415 - as above

    found: dict[str, list[pathlib.Path]] = {}
    overlays: list[tuple[str, pathlib.Path]] = []
    for path in files(folder):
        name = written_name(path)
        if name is None:
            continue
        if definition.overlaid(path) is None:
            found.setdefault(name, []).append(path)
        else:
            overlays.append((name, path))
    # An overlay that repeats the name of its definition means the same deployment.
    named = frozenset(found)
    for name, path in overlays:
        if name not in named:
            found.setdefault(name, []).append(path)
    return {name: tuple(paths) for name, paths in found.items()}


def completions(incomplete: str, folder: pathlib.Path | str | None = None) -> list[str]:
    """Return the names of deployments with this prefix for shell completion, without those that need quoting."""
    return sorted(
        each for each in known(_folder(folder)) if each.startswith(incomplete) and _WORD.fullmatch(each)
    )


def environments(
    incomplete: str, name_or_path: str | None, folder: pathlib.Path | str | None = None
) -> list[str]:
    """Return environments with an overlay and this prefix, for shell completion; without a name, of all deployments."""
    from gantry import definition  # noqa: PLC0415 - as above

    named = _path(name_or_path) if name_or_path else None
    by_name = known(_folder(folder))
    bases = (named,) if named else by_name.get(name_or_path or "") or sum(by_name.values(), ())
    bases = tuple(definition.overlaid(each) or each for each in bases)
    return sorted(
        {each for base in bases for each in definition.environments(base) if each.startswith(incomplete)}
    )


def _folder(given: pathlib.Path | str | None) -> pathlib.Path:
    # During completion, arguments are not converted yet.
    return pathlib.Path(given or os.environ.get(VARIABLE) or FOLDER)


def is_path(name_or_path: str) -> bool:
    """Return whether a path is meant rather than a name."""
    return _path(name_or_path) is not None


def _path(name_or_path: str) -> pathlib.Path | None:
    """Return a path if it looks like one. A file that happens to have a deployment's name is not meant."""
    path = pathlib.Path(name_or_path)
    return path if path.suffix in SUFFIXES or len(path.parts) > 1 else None


def _by_name(
    name: str, folder: pathlib.Path, environment: str | None, variables: Mapping[str, str] | None
) -> pathlib.Path:
    by_name = known(folder)
    found = by_name.get(name, ())
    if not found:
        found = tuple(_named_by_variables(name, by_name, environment, variables))
    if not found:
        raise UnknownDefinitionError(name, folder, tuple(sorted(by_name)))
    if len(found) > 1 and environment is not None:
        # Several environments of one name.
        found = tuple(each for each in found if environment_of(each) == environment) or found
    if len(found) > 1:
        raise AmbiguousDeploymentError(name, found)
    return found[0]


def _named_by_variables(
    name: str,
    by_name: Mapping[str, tuple[pathlib.Path, ...]],
    environment: str | None,
    variables: Mapping[str, str] | None,
) -> Iterator[pathlib.Path]:
    """Yield definitions whose `${…}` in `deployment:` evaluates to this name. Unreadable ones are skipped."""
    from gantry import definition  # noqa: PLC0415 - as above

    for path in (each for written, paths in by_name.items() if "${" in written for each in paths):
        base = definition.overlaid(path)
        chosen = environment or (environment_of(path) if base else None)
        try:
            if definition.load(base or path, environment=chosen, variables=variables).deployment == name:
                yield path
        except definition.DefinitionError:
            continue
