"""Kinds of form fields: how each is declared as a param, read from a run's params, written to a conf, and checked."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gantry.plan import scalable
from gantry.requests.errors import FieldNotOfferedError, ServerCountError, UnknownChoiceError

if TYPE_CHECKING:
    from gantry.definition import models

Schemas = Mapping[str, Mapping[str, Any]]
"""JSON Schemas of the params of a DAG, by name: what its form offers."""


class FormSection(enum.StrEnum):
    """Headings of the forms, in their order."""

    BACKUPS = "Backups"
    BACKUP = "Backup"
    TIERS = "Tiers"
    SERVERS = "Servers"
    SERVICES = "Services"
    DATA = "Data"
    CONFIRMATION = "Confirmation"
    RECORD = "Record"


@dataclasses.dataclass(frozen=True)
class ParamDeclaration:
    """A param of a DAG, without Airflow. Title and section of the field are part of the schema."""

    default: Any
    description: str
    schema: dict[str, Any]


Declarations = Iterator[tuple[str, ParamDeclaration]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldKind:
    """A text field; the other kinds derive from it. `{deployment}` in the description is replaced.

    Attributes:
        title: the field's label.
        description: the help text below it.
        section: the heading that it is under.
        option: what the command line calls it; empty if that follows from the name.
        longest: the maximum length in characters.
    """

    title: str
    description: str
    section: FormSection
    option: str = ""
    longest: int | None = None

    def declare(self, name: str, definition: models.Definition) -> Declarations:
        """Yield the params of the field. None if the deployment has nothing to choose from."""
        limit = {} if self.longest is None else {"maxLength": self.longest}
        yield name, self._declared(definition, "", type="string", **limit)

    def read(self, name: str, params: Mapping[str, Any]) -> Any:  # noqa: ANN401 - each kind's own type
        """Return the value of the field in a run's params, which may have other keys too."""
        return str(params.get(name) or "")

    def write(self, name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
        """Return the part of a conf with this value."""
        return {name: value}

    def check(self, name: str, value: Any, offered: Schemas) -> None:  # noqa: ANN401 - as above
        """Raise an error if the form does not offer the value."""

    def _option(self, name: str) -> str:
        return self.option or f"--{name.replace('_', '-')}"

    def _declared(
        self,
        definition: models.Definition,
        default: Any,  # noqa: ANN401 - JSON
        **schema: Any,  # noqa: ANN401 - JSON Schema
    ) -> ParamDeclaration:
        return ParamDeclaration(
            default,
            self.description.format(deployment=definition.deployment),
            {**schema, "title": self.title, "section": self.section.value},
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Switch(FieldKind):
    """Yes or no.

    Attributes:
        default: returns the default, given a definition; None if the deployment does not have the field.
        requirement: what the definition has to say so that it has, for the error.
    """

    default: Callable[[models.Definition], bool | None] = lambda _: False
    requirement: str = ""

    def declare(self, name: str, definition: models.Definition) -> Declarations:
        """Yield a boolean."""
        default = self.default(definition)
        if default is not None:
            yield name, self._declared(definition, default, type="boolean")

    def read(self, name: str, params: Mapping[str, Any]) -> bool:
        """Return whether it is on."""
        return bool(params.get(name))

    def check(self, name: str, value: Any, offered: Schemas) -> None:  # noqa: ANN401 - as the other kinds
        """Raise FieldNotOfferedError for a yes where the form has no such field."""
        if value and self.requirement and name not in offered:
            raise FieldNotOfferedError(self._option(name), self.requirement)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordList(FieldKind):
    """A list of words, one a line; the run checks what they mean."""

    def declare(self, name: str, definition: models.Definition) -> Declarations:
        """Yield a list of strings."""
        items = {"type": "string", "minLength": 1, "maxLength": self.longest}
        yield name, self._declared(definition, [], type="array", items=items)

    def read(self, name: str, params: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the words in their order."""
        return tuple(params.get(name) or ())

    def write(self, name: str, value: Sequence[str]) -> dict[str, Any]:
        """Return the words, each once."""
        return {name: list(dict.fromkeys(value))}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices(WordList):
    """A multiple choice of names in the definition, none of them by default.

    Attributes:
        of: returns the names.
        what: what they are names of, for errors.
    """

    of: Callable[[models.Definition], Sequence[str]]
    what: str

    def declare(self, name: str, definition: models.Definition) -> Declarations:
        """Yield a list of names, if there are any."""
        if known := list(self.of(definition)):
            items = {"type": "string", "enum": known}
            yield name, self._declared(definition, [], type="array", items=items, examples=known)

    def check(self, name: str, value: Sequence[str], offered: Schemas) -> None:
        """Raise UnknownChoiceError."""
        known = [str(each) for each in (offered.get(name, {}).get("items") or {}).get("enum") or ()]
        for each in value:
            if each not in known:
                raise UnknownChoiceError(self._option(name), self.what, each, known)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneOf(FieldKind):
    """A choice of one name in the definition, the first by default. Attributes as of `Choices`."""

    of: Callable[[models.Definition], Sequence[str]]
    what: str

    def declare(self, name: str, definition: models.Definition) -> Declarations:
        """Yield a string, if there are any names."""
        if known := list(self.of(definition)):
            yield name, self._declared(definition, known[0], type="string", enum=known)

    def check(self, name: str, value: str, offered: Schemas) -> None:
        """Raise UnknownChoiceError."""
        known = [str(each) for each in offered.get(name, {}).get("enum") or ()]
        if value not in known:
            raise UnknownChoiceError(self._option(name), self.what, value, known)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TierSizes(FieldKind):
    """Numbers of servers, a param for each tier: `servers_web`. `{tier}`, `{min}`, `{max}` in the texts are replaced.

    Attributes:
        changing: whether only tiers whose number can change have a field, which is empty by default.
    """

    changing: bool

    def declare(self, name: str, definition: models.Definition) -> Declarations:
        """Yield a number within the limits for each tier."""
        for tier in scalable(definition) if self.changing else definition.tiers:
            limits = definition.tiers[tier].servers
            yield (
                f"{name}_{tier}",
                ParamDeclaration(
                    None if self.changing else limits.min,
                    self.description.format(min=limits.min, max=limits.max),
                    {
                        "type": ["null", "integer"] if self.changing else "integer",
                        "minimum": limits.min,
                        "maximum": limits.max,
                        "title": self.title.format(tier=tier),
                        "section": self.section.value,
                    },
                ),
            )

    def read(self, name: str, params: Mapping[str, Any]) -> dict[str, int]:
        """Return the numbers that are given, by tier."""
        return {
            key.removeprefix(f"{name}_"): count
            for key, value in params.items()
            if key.startswith(f"{name}_") and (count := _count(value)) is not None
        }

    def write(self, name: str, value: Mapping[str, int]) -> dict[str, Any]:
        """Return a param for each tier."""
        return {f"{name}_{tier}": count for tier, count in value.items()}

    def check(self, name: str, value: Mapping[str, int], offered: Schemas) -> None:
        """Raise UnknownChoiceError, ServerCountError."""
        tiers = [key.removeprefix(f"{name}_") for key in offered if key.startswith(f"{name}_")]
        for tier, count in value.items():
            if tier not in tiers:
                raise UnknownChoiceError(self._option(name), "tier", tier, tiers)
            schema = offered[f"{name}_{tier}"]
            fewest, most = schema.get("minimum", count), schema.get("maximum", count)
            if not fewest <= count <= most:
                raise ServerCountError(tier, count, fewest, most, self._option(name))


def _count(value: object) -> int | None:
    """Return a number of servers, which JSON may have as `4.0`; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    return int(value) if isinstance(value, str) and value.isdecimal() else None
