"""Conversion of pydantic's errors to problems with messages and positions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic

from gantry.definition import fields, key_suggestions, source, spelling

_WORDS = {
    "missing": "the key {key} is missing",
    "string_pattern_mismatch": "{value} is not {form}",
    "string_too_long": "longer than {max_length} characters: {value}",
    "string_too_short": "a text belongs here",
    "int_parsing": "{value} is not a whole number",
    "int_type": "{value} is not a whole number",
    "float_type": "{value} is not a number",
    "bool_type": "{value} is neither true nor false",
    "string_type": "{value} is not text (put it in quotes)",
    "greater_than_equal": "{value} is less than {ge}",
    "less_than_equal": "{value} is more than {le}",
    "dict_type": "a mapping (key: value) belongs here",
    "model_type": "a mapping (key: value) belongs here",
    "tuple_type": "a list belongs here",
    "too_short": "at least one entry belongs here",
    "literal_error": "{value} is not one of {expected}",
}
_NUMBERS = ("int_type", "float_type")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_QUOTED = re.compile(r"'([^']*)'")


def problems(
    read: source.DefinitionData, error: pydantic.ValidationError
) -> Iterable[tuple[source.Path, source.Problem]]:
    """Return the problems with their paths."""
    errors = error.errors(include_url=False)
    meant = {
        (*each["loc"][:-1], key_suggestions.near_key(tuple(each["loc"])))
        for each in errors[: source.MOST_PROBLEMS]
        if each["type"] == "extra_forbidden"
    }
    for each in errors[: source.MOST_PROBLEMS]:
        # A misspelled key must not be reported as missing as well.
        if each["type"] != "missing" or tuple(each["loc"]) not in meant:
            problem = _problem(read, each)
            yield _known_part(read, _location(each)), problem


def _problem(read: source.DefinitionData, error: Any) -> source.Problem:  # noqa: ANN401 - pydantic's ErrorDetails
    location = _location(error)
    kind: str = error["type"]
    if kind == "extra_forbidden":
        return read.problem(location, key_suggestions.unknown_key(location), at_key=True)
    if kind == "missing":
        message = _WORDS[kind].format(key=source.shown(location[-1]))
        if location in read.removed:
            return read.removed[location].problem(message)
        return read.problem(_known_part(read, location), message, at_key=True)
    context = error.get("ctx", {})
    if location and location[-1] == "[key]":
        return read.problem(location[:-1], _bad_name(str(location[-2]), context), at_key=True)
    return read.problem(_known_part(read, location), _message(kind, error, context))


def _location(error: Any) -> source.Path:  # noqa: ANN401 - as below
    """Return the path of an error: pydantic has no position within a value that it does not validate itself."""
    raised = error.get("ctx", {}).get("error")
    within = raised.path if isinstance(raised, spelling.NotAsWrittenError) else ()
    return (*error["loc"], *within)


def words(error: Any) -> str:  # noqa: ANN401 - as below
    """Return the message for a value's error."""
    return _message(error["type"], error, error.get("ctx", {}))


def _message(kind: str, error: Any, context: Mapping[str, object]) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    if kind == "value_error":
        return str(context["error"])
    if error["input"] is None:
        return "a value belongs here"
    if kind not in _WORDS:
        return str(error["msg"])
    message = _WORDS[kind].format(**context, value=source.shown(error["input"]), form=_form(context))
    if kind in _NUMBERS and isinstance(error["input"], str) and _NUMBER.fullmatch(error["input"]):
        message += " (a number has no quotes)"
    if kind == "literal_error" and isinstance(error["input"], str):
        found = source.near(error["input"], _QUOTED.findall(str(context["expected"])))
        message += f", did you mean {found!r}?" if found is not None else ""
    return message


def _bad_name(name: str, context: Mapping[str, object]) -> str:
    if "expected" in context:
        known = _QUOTED.findall(str(context["expected"]))
        return f"unknown key {source.shown(name)}{source.or_rather(name, known)}"
    if "max_length" in context:
        return f"the name {source.shown(name)} is longer than {context['max_length']} characters"
    return f"{source.shown(name)} is not {_form(context)}"


def _form(context: Mapping[str, object]) -> str:
    pattern = str(context.get("pattern"))
    return fields.FORMS.get(pattern, f"of the form {pattern}")


def _known_part(read: source.DefinitionData, location: source.Path) -> source.Path:
    """Return the part of an error's location that exists in the file.

    Pydantic adds the names of union members and validators to a location; no key of the file has them.
    """
    path: source.Path = ()
    for part in location:
        if (*path, part) not in read.values:
            break
        path = (*path, part)
    return path
