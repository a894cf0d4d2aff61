"""Project template: the files of a new deployment (definition, loader, service, schema)."""

from __future__ import annotations

import dataclasses
import importlib.resources
import math
import os
import pathlib
import stat
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import abc
from typing import Any

import jinja2
import pydantic
import yaml

from gantry import errors
from gantry.cli.support import schema_text
from gantry.definition import models, validation_errors

SERVICE = "app"
SCHEMA = "definition.schema.json"
_TEMPLATES = importlib.resources.files("gantry.cli") / "templates" / "new"
_SMALLEST_BUCKET_NAME = 3


class FilesInTheWayError(errors.GantryError):
    """Files would be overwritten. Nothing was written."""

    def __init__(self, files: Sequence[pathlib.Path]) -> None:
        self.files = tuple(files)
        several = "these are" if len(files) > 1 else "this file is"
        super().__init__(
            f"{several} already there, so nothing was written:\n"
            + "\n".join(f"  {each}" for each in files)
            + "\nChoose another name, or move the existing files away."
        )


class UnusableAnswerError(errors.GantryError):
    """The definition would be invalid with an answer."""

    def __init__(self, key: str, reason: str) -> None:
        self.key, self.reason = key, reason
        super().__init__(f"{key}: {reason}")


@dataclasses.dataclass(frozen=True)
class ProjectAnswers:
    """The answers that describe a new deployment."""

    name: str
    connection: str
    region: str
    image: str
    size: str
    ssh_connection: str
    bucket: str
    servers: int
    port: int
    host_name: str

    @property
    def archive(self) -> str:
        """Return the location of the service's archive."""
        return f"s3://{self.bucket}/{SERVICE}.tar.gz"


@dataclasses.dataclass(frozen=True)
class File:
    """A file to write."""

    path: pathlib.Path
    text: str
    executable: bool = False


_KEYS: Mapping[str, tuple[type[pydantic.BaseModel], str]] = {
    "name": (models.Definition, "deployment"),
    "connection": (models.Cloud, "connection"),
    "region": (models.Cloud, "region"),
    "image": (models.LaunchConfiguration, "image"),
    "size": (models.LaunchConfiguration, "size"),
    "ssh_connection": (models.Ssh, "connection"),
    "bucket": (models.Service, "archive"),
    "servers": (models.ServerCount, "min"),
    "port": (models.Service, "port"),
    "host_name": (models.LoadBalancer, "name"),
}
"""The definition's key for each answer, which determines the valid values."""


def check(answer: str, value: str | int) -> None:
    """Raise an UnusableAnswerError if a definition cannot contain this value."""
    model, key = _KEYS[answer]
    if answer == "bucket":
        value = f"s3://{value}/{SERVICE}.tar.gz"
    try:
        model.model_validate({key: value})
    except pydantic.ValidationError as error:
        # The model's other keys are missing, which does not matter here.
        wrong = [each for each in error.errors(include_url=False) if each["loc"][:1] == (key,)]
        if wrong:
            raise UnusableAnswerError(answer, validation_errors.words(wrong[0])) from None


def bucket_for(name: str) -> str:
    """Return the default bucket for a deployment's archives."""
    return name if len(name) >= _SMALLEST_BUCKET_NAME else f"{name}-archives"


def files(answers: ProjectAnswers, dags: pathlib.Path, include: pathlib.Path) -> list[File]:
    """Return the files of a new deployment.

    Raises:
        UnusableAnswerError: a definition cannot contain an answer.
    """
    for answer in _KEYS:
        check(answer, getattr(answers, answer))
    here = include / answers.name
    known = {
        **dataclasses.asdict(answers),
        "archive": answers.archive,
        "archive_command": archive_command(answers, include),
        "schema": f"../{SCHEMA}",
        "most": min(2 * answers.servers, models.MOST_SERVERS),
        "folder": _seen_from(dags, include),
    }
    return [
        File(here / f"{answers.name}.yaml", _filled("definition.yaml.jinja", known)),
        File(dags / f"{answers.name}.py", _filled("loader.py.jinja", known)),
        *_service(here / "services" / SERVICE),
    ]


def write(wanted: Sequence[File]) -> None:
    """Write files that do not exist yet.

    Raises:
        FilesInTheWayError: one of them exists. Then none is written.
    """
    in_the_way = [each.path for each in wanted if os.path.lexists(each.path)]
    if in_the_way:
        raise FilesInTheWayError(in_the_way)
    for each in wanted:
        each.path.parent.mkdir(parents=True, exist_ok=True)
        with each.path.open("x", encoding="utf-8") as file:
            file.write(each.text)
        if each.executable:
            each.path.chmod(each.path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def schema_file(include: pathlib.Path) -> File:
    """Return the schema that editors check definitions with; all deployments of a folder share it."""
    return File(include / SCHEMA, schema_text.current())


def archive_command(answers: ProjectAnswers, include: pathlib.Path) -> str:
    """Return the command that packs the service to the location that the definition names."""
    source = include / answers.name / "services" / SERVICE
    return f"gantry archive {source} {answers.archive} -d {answers.name}"


def _service(target: pathlib.Path) -> Iterator[File]:
    for path, entry in _entries(_TEMPLATES / "service", pathlib.PurePath()):
        # A wheel does not always preserve modes, and files in bin/ have to be executable.
        yield File(target / path, entry.read_text(encoding="utf-8"), executable=path.parts[0] == "bin")


def _entries(
    folder: abc.Traversable, path: pathlib.PurePath
) -> Iterator[tuple[pathlib.PurePath, abc.Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            yield from _entries(entry, path / entry.name)
        else:
            yield path / entry.name, entry


def _filled(template: str, known: Mapping[str, Any]) -> str:
    # YAML and Python, not HTML: inserted values are quoted as YAML, and the name is a plain word.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)  # noqa: S701
    environment.filters["yaml"] = _yaml
    environment.filters["yaml_in_braces"] = _yaml_in_braces
    return environment.from_string((_TEMPLATES / template).read_text(encoding="utf-8")).render(known)


def _yaml(value: str | int) -> str:
    """Format a value for a line of its own: quoted only if necessary."""
    return str(yaml.safe_dump(value, width=math.inf)).removesuffix("\n").removesuffix("\n...")


def _yaml_in_braces(value: str | int) -> str:
    """Format a value within braces, where more characters have a meaning."""
    return str(yaml.safe_dump([value], default_flow_style=True, width=math.inf)).strip()[1:-1]


def _seen_from(dags: pathlib.Path, include: pathlib.Path) -> str:
    """Return the Python expression with which a loader finds the folder of definitions, wherever the project is."""
    way = pathlib.PurePath(os.path.relpath(include, dags))
    up = sum(part == ".." for part in way.parts)
    down = "".join(f' / "{part}"' for part in way.parts if part not in ("..", "."))
    return f"pathlib.Path(__file__).parents[{up}]{down}"
