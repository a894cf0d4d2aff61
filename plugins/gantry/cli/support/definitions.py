"""Which definition a person means: by the deployment's name or by a path."""

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
"""Where definitions are looked for if nobody says otherwise: where Airflow projects keep what is no DAG."""

VARIABLE = "GANTRY_DEFINITIONS"
"""The environment variable that says otherwise. Loaders ask it too."""

SUFFIXES = (".yaml", ".yml")

_LARGEST = 1_000_000
"""Bytes; a larger file is no definition."""

_WORD = re.compile(names.NAME_PATTERN)

_OURS = re.compile(
    rb"""^(?:\{\s*)?["']?(?:deployment|launch_configurations|tiers|load_balancers)["']?\s*:""", re.MULTILINE
)
"""Words by which a definition is told from other YAML, also if its `deployment` is what is wrong with it."""


class UnknownDefinitionError(errors.GantryError):
    """There is no definition of that name."""

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
    """The definition that a person means, read and checked.

    Args:
        name_or_path: a deployment's name; or a path. An overlay stands for its definition in that environment: by
            its path, or by the name that it gives the deployment.
        folder: where to look for a name, in folders below it too.
        environment: whose overlay to lay over it.
        variables: values for its variables, which go before all others.

    Raises:
        UnknownDeploymentError: no definition has that name.
        AmbiguousDeploymentError: several have it.
        DefinitionError: the definition cannot be used.
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
    """Every YAML file in a folder and those below it (hidden ones left out), sorted."""
    for here, folders, found in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        yield from (pathlib.Path(here, each) for each in sorted(found) if each.endswith(SUFFIXES))


def is_definition(path: pathlib.Path) -> bool:
    """Whether a file looks like a definition, and be it a broken one. Overlays need not."""
    return _OURS.search(_start(path)) is not None


def written_name(path: pathlib.Path) -> str | None:
    """What a file says after `deployment:`, read without looking at the rest. None: it is no definition."""
    return names.written(_start(path))


def _start(path: pathlib.Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except OSError:
        return b""


def environment_of(overlay: pathlib.Path) -> str:
    """The environment that an overlay is for: `production` of `shop.production.yaml`."""
    return overlay.stem.rpartition(".")[2]


def known(folder: pathlib.Path) -> dict[str, tuple[pathlib.Path, ...]]:
    """The deployments of a folder: for each the definition or, where an overlay gives it its name, the overlay."""
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
    """Names of deployments that begin so, for the shell; none that it would not take for a word."""
    return sorted(
        each for each in known(_folder(folder)) if each.startswith(incomplete) and _WORD.fullmatch(each)
    )


def environments(
    incomplete: str, name_or_path: str | None, folder: pathlib.Path | str | None = None
) -> list[str]:
    """Environments that have an overlay and begin so, for the shell; of all deployments if none is named yet."""
    from gantry import definition  # noqa: PLC0415 - as above

    named = _path(name_or_path) if name_or_path else None
    by_name = known(_folder(folder))
    bases = (named,) if named else by_name.get(name_or_path or "") or sum(by_name.values(), ())
    bases = tuple(definition.overlaid(each) or each for each in bases)
    return sorted(
        {each for base in bases for each in definition.environments(base) if each.startswith(incomplete)}
    )


def _folder(given: pathlib.Path | str | None) -> pathlib.Path:
    # While a line is completed, nobody has converted what stands on it.
    return pathlib.Path(given or os.environ.get(VARIABLE) or FOLDER)


def is_path(name_or_path: str) -> bool:
    """Whether a path is meant, and no name."""
    return _path(name_or_path) is not None


def _path(name_or_path: str) -> pathlib.Path | None:
    """A path, if that is what it looks like. A file that happens to have a deployment's name is not meant."""
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
    """Definitions whose `${…}` in `deployment:` come to this name. Those that cannot be read are not meant."""
    from gantry import definition  # noqa: PLC0415 - as above

    for path in (each for written, paths in by_name.items() if "${" in written for each in paths):
        base = definition.overlaid(path)
        chosen = environment or (environment_of(path) if base else None)
        try:
            if definition.load(base or path, environment=chosen, variables=variables).deployment == name:
                yield path
        except definition.DefinitionError:
            continue
