"""Forms of a DAG's parameters, and conversion of submitted forms to the parameters of a run.

No operation is hard-coded here: a form is generated from a DAG's parameters, so a new operation gets its form
automatically.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping, Sequence
from typing import Any


class InputKind(enum.StrEnum):
    """The kind of an input field."""

    TEXT = "text"
    NUMBER = "number"
    ONE = "one"
    """One of several words."""

    ANY = "any"
    """Any of several words, or none."""

    FLAG = "flag"
    JSON = "json"
    """Everything else, as JSON."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One parameter.

    Attributes:
        entered: its content as text: one item, or several for a multiple choice.
        may_be_empty: whether a number may be left empty.
        problem: what is wrong with the input; empty if nothing is.
    """

    name: str
    kind: InputKind
    title: str
    hint: str = ""
    section: str = ""
    entered: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    fewest: float | None = None
    most: float | None = None
    longest: int | None = None
    may_be_empty: bool = True
    problem: str = ""

    @property
    def text(self) -> str:
        """Return the content of a field with a single value."""
        return self.entered[0] if self.entered else ""


@dataclasses.dataclass(frozen=True)
class Filled:
    """A submitted form: `conf` has the run's parameters, if no field has a problem."""

    fields: tuple[Field, ...]
    conf: Mapping[str, Any]

    @property
    def is_good(self) -> bool:
        """Return whether it can be used."""
        return not any(field.problem for field in self.fields)


class _ProblemError(ValueError):
    """Invalid content of a field."""


def fields(params: Mapping[str, Mapping[str, Any]]) -> tuple[Field, ...]:
    """Return the form of a DAG; `params` as in Airflow's API: each with `value`, `description` and `schema`."""
    return tuple(_field(name, param) for name, param in params.items())


def filled(form: Sequence[Field], sent: Mapping[str, Sequence[str]]) -> Filled:
    """Fill the form with submitted values. Values of other fields are ignored."""
    found: list[Field] = []
    conf: dict[str, Any] = {}
    for field in form:
        entered = dataclasses.replace(field, entered=tuple(sent.get(field.name, ())))
        try:
            conf[field.name] = _value(entered)
        except _ProblemError as error:
            entered = dataclasses.replace(entered, problem=str(error))
        found.append(entered)
    return Filled(tuple(found), conf)


def _field(name: str, param: Mapping[str, Any]) -> Field:
    schema = param.get("schema") or {}
    value = param.get("value")
    types = schema.get("type", "string")
    types = [types] if isinstance(types, str) else list(types)
    kind, choices = _kind(types, schema)
    return Field(
        name,
        kind,
        str(schema.get("title") or name),
        str(param.get("description") or schema.get("description") or ""),
        str(schema.get("section") or ""),
        _entered(kind, value),
        choices,
        schema.get("minimum"),
        schema.get("maximum"),
        schema.get("maxLength"),
        "null" in types or kind in (InputKind.TEXT, InputKind.ANY, InputKind.FLAG),
    )


def _kind(types: list[str], schema: Mapping[str, Any]) -> tuple[InputKind, tuple[str, ...]]:
    items = (schema.get("items") or {}).get("enum")
    if "array" in types:
        return (InputKind.JSON, ()) if items is None else (InputKind.ANY, tuple(map(str, items)))
    if schema.get("enum"):
        return InputKind.ONE, tuple(str(each) for each in schema["enum"] if each is not None)
    if "boolean" in types:
        return InputKind.FLAG, ()
    if "integer" in types or "number" in types:
        return InputKind.NUMBER, ()
    return (InputKind.JSON, ()) if "object" in types else (InputKind.TEXT, ())


def _entered(kind: InputKind, value: object) -> tuple[str, ...]:
    if value is None or value is False:
        return ()
    if kind is InputKind.ANY and isinstance(value, list | tuple):
        return tuple(str(each) for each in value)
    if kind is InputKind.JSON:
        return (json.dumps(value),)
    return (str(value),)


def _value(field: Field) -> Any:  # noqa: ANN401 - what a run's parameters may be
    text = field.text.strip()
    match field.kind:
        case InputKind.ANY:
            unknown = [each for each in field.entered if each not in field.choices]
            if unknown:
                raise _ProblemError(f"There is no {unknown[0]!r}.")
            return list(field.entered)
        case InputKind.FLAG:
            return bool(field.entered)
        case InputKind.ONE:
            if text not in field.choices:
                raise _ProblemError("Choose one of these.")
            return text
        case InputKind.NUMBER:
            return _number(field, text)
        case InputKind.JSON:
            return _json(field, text)
        case _:
            if field.longest is not None and len(field.text) > field.longest:
                raise _ProblemError(f"At most {field.longest} letters.")
            return field.text


def _number(field: Field, text: str) -> int | None:
    if not text and field.may_be_empty:
        return None
    try:
        number = int(text)
    except ValueError:
        raise _ProblemError("This has to be a whole number.") from None
    if field.fewest is not None and number < field.fewest:
        raise _ProblemError(f"At least {field.fewest:g}.")
    if field.most is not None and number > field.most:
        raise _ProblemError(f"At most {field.most:g}.")
    return number


def _json(field: Field, text: str) -> Any:  # noqa: ANN401 - as above
    if not text and field.may_be_empty:
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise _ProblemError("This has to be JSON.") from None
