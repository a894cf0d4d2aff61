"""Checks many definitions in all of their environments, and reports each problem once."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pydantic

from gantry import definition, errors
from gantry.cli.support import definitions
from gantry.definition import models, reading


class NothingToCheckError(errors.GantryError):
    """A folder has no definitions: probably a wrong folder was given."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        super().__init__(f"{folder} holds no definitions. Name the folder that does, or a file")


@dataclasses.dataclass(frozen=True)
class Check:
    """A definition in an environment; on its own if that is None."""

    file: pathlib.Path
    environment: str | None


@dataclasses.dataclass(frozen=True)
class DefinitionFinding:
    """A problem, and the environments of the definition in which it occurs.

    `somewhere` is whether it does not occur in other checks although it is in the definition itself: then the report
    has to name the environments.
    """

    problem: definition.Problem
    environments: tuple[str | None, ...]
    somewhere: bool

    def __str__(self) -> str:
        if not self.somewhere:
            return str(self.problem)
        where = ", ".join(
            f"in environment {each}" if each else "without an environment" for each in self.environments
        )
        return f"{self.problem} ({where})"


def checks(paths: Iterable[pathlib.Path], *, only_definitions: bool = False) -> tuple[Check, ...]:
    """Return the checks for files and folders.

    A folder stands for the definitions in it, a definition for itself and all of its environments, an overlay for its
    environment alone.

    Raises:
        NothingToCheckError: a folder contains no definition.
    """
    return tuple(dict.fromkeys(_checks(paths, only_definitions=only_definitions)))


def findings(wanted: Sequence[Check], settings: Mapping[str, str]) -> list[DefinitionFinding]:
    """Return all problems, definition by definition.

    Args:
        wanted: the checks to make.
        settings: values for variables. A definition gets those that it declares; one that none declares is wrong in
            all.
    """
    declared = {file: _variables(file) for file in dict.fromkeys(each.file for each in wanted)}
    strange = {name for name in settings if not any(name in known for known in declared.values())}
    found: list[DefinitionFinding] = []
    named: dict[str, list[definition.Loaded]] = {}
    for file, variables in declared.items():
        given = {name: value for name, value in settings.items() if name in variables or name in strange}
        environments = [each.environment for each in wanted if each.file == file]
        alone = _has_defaults(variables, given) or not definition.environments(file)
        found.extend(_findings_in(file, environments, given, named, stands_alone=alone))
    return [*found, *_named_twice(named)]


def _checks(paths: Iterable[pathlib.Path], *, only_definitions: bool) -> Iterator[Check]:
    for path in paths:
        base = definition.overlaid(path)
        if path.is_dir():
            files = [each for each in definitions.files(path) if definitions.is_definition(each)]
            if not files:
                raise NothingToCheckError(path)
            for file in files:
                if definition.overlaid(file) is None:
                    yield from _all_of(file)
        elif only_definitions and not definitions.is_definition(base or path):
            continue
        elif base is not None:
            yield Check(base, definitions.environment_of(path))
        else:
            yield from _all_of(path)


def _all_of(file: pathlib.Path) -> Iterator[Check]:
    yield Check(file, None)
    yield from (Check(file, each) for each in definition.environments(file))


def _named_twice(named: Mapping[str, Sequence[definition.Loaded]]) -> Iterator[DefinitionFinding]:
    """Yield problems of several definitions with the same deployment name.

    Environments of one definition may share it.
    """
    for name, every in sorted(named.items()):
        of_file: dict[pathlib.Path, definition.Loaded] = {}
        for each in every:
            of_file.setdefault(each.files[0], each)
        first, *others = sorted(of_file)
        message = (
            f"{first} has a deployment {name!r} already, and Airflow can have one of each name: rename one"
        )
        for file in others:
            (problem,) = of_file[file].refusal([(("deployment",), message)]).problems
            yield DefinitionFinding(problem, (None,), somewhere=False)


def _findings_in(
    file: pathlib.Path,
    environments: Sequence[str | None],
    given: Mapping[str, str],
    named: dict[str, list[definition.Loaded]],
    *,
    stands_alone: bool,
) -> Iterator[DefinitionFinding]:
    # A definition whose variables get their values only from overlays is never launched without one.
    environments = [each for each in environments if each is not None or stands_alone]
    where: dict[definition.Problem, list[str | None]] = {}
    for environment in environments:
        try:
            loaded = definition.read(file, environment=environment, variables=given)
        except definition.DefinitionError as error:
            for problem in error.problems:
                where.setdefault(problem, []).append(environment)
        else:
            named.setdefault(loaded.definition.deployment, []).append(loaded)
    for problem, there in where.items():
        somewhere = problem.file == str(file) and len(there) < len(environments)
        yield DefinitionFinding(problem, tuple(there), somewhere)


def _variables(file: pathlib.Path) -> dict[str, models.Variable | None]:
    """Return the variables that a definition declares; None if the declaration is invalid."""
    try:
        data = reading.read_file(file).data
    except definition.DefinitionError:
        return {}
    section = data.get("variables") if isinstance(data, dict) else None
    return (
        {name: _variable(written) for name, written in section.items()} if isinstance(section, dict) else {}
    )


def _variable(written: object) -> models.Variable | None:
    try:
        return models.Variable.model_validate(written)
    except pydantic.ValidationError:
        return None


def _has_defaults(variables: Mapping[str, models.Variable | None], given: Mapping[str, str]) -> bool:
    """Return whether each variable has a value without an overlay. An invalid declaration is reported separately."""
    return all(name in given or each is None or each.default is not None for name, each in variables.items())
