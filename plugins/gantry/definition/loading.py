"""Loads and checks a definition from text or files; reports every problem with its position."""

from __future__ import annotations

import itertools
import pathlib
import re
from collections.abc import Iterator, Mapping

import pydantic

from gantry.definition import (
    checks,
    loaded,
    models,
    reading,
    references,
    source,
    validation_errors,
    variables,
)
from gantry.definition import overlay as merging

_ENVIRONMENT = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")


def load(
    path: pathlib.Path,
    *,
    environment: str | None = None,
    variables: Mapping[str, source.Scalar] | None = None,
) -> models.Definition:
    """Read, validate and cross-check the definition in a file.

    Args:
        path: the file, such as `bookshop.yaml`.
        environment: for example `staging`: the overlay `bookshop.staging.yaml` beside it is applied to the definition.
        variables: values for the definition's variables. They take precedence over the overlay's.

    Raises:
        DefinitionError: with every problem of the files, each as `file:line:column: message` and an excerpt.
    """
    return read(path, environment=environment, variables=variables).definition


def read(
    path: pathlib.Path,
    *,
    environment: str | None = None,
    variables: Mapping[str, source.Scalar] | None = None,
) -> loaded.Loaded:
    """As `load`, with the source of every value. Raises DefinitionError."""
    files = [path] if environment is None else [path, _overlay(path, environment)]
    kinds = (source.OriginKind.FILE, source.OriginKind.OVERLAY)
    sources: list[source.DefinitionData] = []
    problems: list[source.Problem] = []
    for file, kind in zip(files, kinds, strict=False):
        try:
            sources.append(reading.read_file(file, kind))
        except source.DefinitionError as error:
            problems.extend(error.problems)
    if problems:
        raise source.DefinitionError(problems)
    return _loaded(sources, tuple(files), environment, variables or {})


def loads(
    text: str,
    file: str = "<definition>",
    *,
    variables: Mapping[str, source.Scalar] | None = None,
) -> models.Definition:
    """Load a definition from text; `file` is its name in errors. Raises DefinitionError."""
    read_ = reading.read(source.Document(file, text))
    return _loaded([read_], (), None, variables or {}).definition


def environments(path: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return the environments of a definition, with the overlay of each (`bookshop.ENVIRONMENT.yaml`)."""
    found = {}
    for file in sorted(path.parent.glob(f"*{path.suffix}")):
        name = file.name.removesuffix(path.suffix).removeprefix(f"{path.stem}.")
        if file.name == f"{path.stem}.{name}{path.suffix}" and _ENVIRONMENT.fullmatch(name):
            found[name] = file
    return found


def overlaid(path: pathlib.Path) -> pathlib.Path | None:
    """Return the definition that a file is an overlay of, or None if it is not an overlay."""
    stem, dot, environment = path.stem.rpartition(".")
    base = path.with_name(f"{stem}{path.suffix}") if dot and stem else None
    if base is None or not _ENVIRONMENT.fullmatch(environment) or not base.exists():
        return None
    return base


def _overlay(path: pathlib.Path, environment: str) -> pathlib.Path:
    """Return the overlay of an environment. Raises DefinitionError if there is none."""
    # The environment may be untrusted input: it is a word, and must not lead into another folder.
    if path.name and _ENVIRONMENT.fullmatch(environment):
        file = path.with_name(f"{path.stem}.{environment}{path.suffix}")
        if _exists(file) or not _exists(path):
            return file
    known = environments(path)
    rather = source.or_rather(environment, known) if known else f" (no {path.stem}.*{path.suffix} beside it)"
    message = f"unknown environment {source.shown(environment)}{rather}"
    raise source.DefinitionError((source.Problem(str(path), source.TOP, message),))


def _exists(path: pathlib.Path) -> bool:
    try:
        return path.exists()
    except OSError:
        # The name is longer than the file system allows.
        return False


def _loaded(
    sources: list[source.DefinitionData],
    files: tuple[pathlib.Path, ...],
    environment: str | None,
    arguments: Mapping[str, source.Scalar],
) -> loaded.Loaded:
    base, overlay = sources[0], sources[1] if len(sources) > 1 else None
    known = variables.Variables(base, overlay, arguments)
    problems: list[source.Problem] = []
    if overlay is not None:
        if isinstance(overlay.data, dict):
            # Values of variables are not declarations.
            overlay.data.pop(variables.SECTION, None)
        base, problems = merging.merged(base, overlay)
    filled, failed = known.insert(base)
    problems.extend(known.problems)
    findings: Iterator[references.Finding]
    try:
        definition = models.Definition.model_validate(filled.data, context=models.WRITTEN)
    except pydantic.ValidationError as error:
        refused = list(validation_errors.problems(filled, error))
        # Already reported: a variable has no value.
        problems.extend(problem for path, problem in refused if path not in failed)
        failed |= {path for path, _ in refused}
        findings = references.findings(filled.data, guarded=True)
    else:
        findings = itertools.chain(references.findings(filled.data), checks.findings(definition))
    problems.extend(
        filled.problem(path, message)
        for path, message in itertools.islice(findings, source.MOST_PROBLEMS)
        if path not in failed
    )
    if problems:
        raise source.DefinitionError(problems)
    return loaded.Loaded(definition, filled, files, environment, known.settings)
