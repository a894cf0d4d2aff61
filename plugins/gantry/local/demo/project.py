"""Project of a demo: an Airflow project with DAGs and definitions of deployments."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from gantry import definition
from gantry.cli.support import definitions as files
from gantry.local import errors, resources

_WORDS = (b"airflow", b"dag")
"""Words, in any case, that a file must contain for Airflow to look for DAGs in it."""

_REGION = re.compile(r"^(  region: )\S+$", re.MULTILINE)
"""The variable of the example's definition."""


class NoProjectError(errors.LocalCloudError):
    """The folder is not an Airflow project."""

    def __init__(self, root: Path) -> None:
        self.root = root
        super().__init__(
            f"{root} holds no dags/, so it is not an Airflow project. Go to yours, or begin one here: `gantry new "
            "hello`, or `gantry demo up --bookshop` for an example"
        )


@dataclasses.dataclass(frozen=True)
class Project:
    """The current state of a project.

    Attributes:
        definitions: its definitions: each on its own, and in each of its environments.
        deployments: the names of those that are valid on their own, sorted.
        broken: what is wrong with unreadable definitions.
        files: the number of definitions, broken ones included.
    """

    root: Path
    definitions: tuple[definition.Definition, ...] = ()
    deployments: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    files: int = 0

    @property
    def dags(self) -> Path:
        """Return Airflow's DAGs folder."""
        return self.root / "dags"

    @property
    def regions(self) -> tuple[str, ...]:
        """Return the regions of its deployments, in their order."""
        return tuple(dict.fromkeys(each.cloud.region for each in self.definitions))

    def loaders(self) -> set[Path]:
        """Return the files that Airflow will look for DAGs in."""
        texts = {path: path.read_bytes().lower() for path in self.dags.rglob("*.py")}
        return {path for path, text in texts.items() if all(word in text for word in _WORDS)}


def look(root: Path) -> Project:
    """Read the definitions of a project, in `include/` (or `$GANTRY_DEFINITIONS`) and beside its DAGs.

    Raises:
        NoProjectError: there is no `dags/`.
    """
    if not (root / "dags").is_dir():
        raise NoProjectError(root)
    include = root / Path(os.environ.get(files.VARIABLE) or files.FOLDER)
    found = {
        path.resolve(): path
        for folder in (include, root / "dags")
        for paths in files.known(folder).values()
        for path in paths
        # Overlays are read together with their definitions.
        if definition.overlaid(path) is None
    }
    read: list[definition.Definition] = []
    names = set()
    broken = []
    for path in found.values():
        by_environment, problem = _read(path)
        read += by_environment.values()
        names |= {each.deployment for name, each in by_environment.items() if name is None}
        broken += [problem] if problem else []
    return Project(root, tuple(read), tuple(sorted(names)), tuple(broken), len(found))


def _read(path: Path) -> tuple[dict[str | None, definition.Definition], str]:
    """Return a definition on its own and in each of its environments; and what is wrong if none can be read."""
    read: dict[str | None, definition.Definition] = {}
    problem = ""
    for environment in (None, *definition.environments(path)):
        try:
            read[environment] = definition.load(path, environment=environment)
        except definition.DefinitionError as error:
            # A definition may need an environment to be complete; its problems are reported elsewhere.
            problem = problem or str(error)
    return read, "" if read else problem


def add_bookshop(root: Path, say: Callable[[str], None], region: str | None = None) -> None:
    """Copy the example into a project: definition, loader, services, cookbooks. Existing files stay.

    Its definition gets that region; by default the example's own.
    """
    for path in resources.BOOKSHOP:
        target = root / path
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        source = resources.ROOT / path
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            if region is not None:
                _move(target / "bookshop.yaml", region)
        else:
            shutil.copyfile(source, target)
        say(f"wrote {path}: a part of the bookshop, yours to change")


def _move(file: Path, region: str) -> None:
    """Change the region in a file if it is the example's definition."""
    if file.exists():
        file.write_text(_REGION.sub(rf"\g<1>{region}", file.read_text(), count=1))
