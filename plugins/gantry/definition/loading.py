"""Text or file → a checked definition, or every problem with its place."""

from __future__ import annotations

import difflib
import itertools
import pathlib
import re
import types
import typing
from collections.abc import Iterable, Mapping

import pydantic

from gantry.definition import checks, fields, models, source

_WORDS = {
    "missing": "the key {key} is missing",
    "string_pattern_mismatch": "{value} is not {form}",
    "string_too_long": "longer than {max_length} characters: {value}",
    "string_too_short": "a text belongs here",
    "int_parsing": "{value} is no whole number",
    "int_type": "{value} is no whole number",
    "string_type": "{value} is no text (put it in quotes)",
    "greater_than_equal": "{value} is less than {ge}",
    "less_than_equal": "{value} is more than {le}",
    "dict_type": "a mapping (key: value) belongs here",
    "model_type": "a mapping (key: value) belongs here",
    "tuple_type": "a list belongs here",
    "too_short": "at least one entry belongs here",
    "literal_error": "{value} is none of {expected}",
}


def load(path: pathlib.Path) -> models.Definition:
    """Read, validate and cross-check the definition in a file.

    Raises:
        DefinitionError: with every problem of the file, each as `file:line:column: message`.
    """
    return loads(_text(path), str(path))


def refusal(path: pathlib.Path, findings: Iterable[checks.Finding]) -> source.DefinitionError:
    """The error for a definition that is good in itself, and wrong to somebody who knows more, such as Airflow."""
    read = source.read(_text(path), str(path))
    return source.DefinitionError(tuple(read.problem(place, message) for place, message in findings))


def _text(path: pathlib.Path) -> str:
    """The text of a file. Raises DefinitionError."""
    try:
        with path.open("rb") as file:
            raw = file.read(source.LARGEST_FILE + 1)
    except OSError as error:
        raise _at_top(path, f"cannot be read: {error.strerror}") from None
    if len(raw) > source.LARGEST_FILE:
        raise source.too_large(str(path))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = source.Problem(str(path), source.place_of(raw, error.start), "not UTF-8")
        raise source.DefinitionError((problem,)) from None


def loads(text: str, file: str = "<definition>") -> models.Definition:
    """Read a definition from text; `file` is what errors call it. Raises DefinitionError."""
    read = source.read(text, file)
    if not isinstance(read.data, dict):
        raise source.DefinitionError((read.problem((), "a definition is a mapping (key: value)"),))
    try:
        definition = models.Definition.model_validate(read.data)
    except pydantic.ValidationError as error:
        raise source.DefinitionError(
            tuple(_problem(read, each) for each in error.errors(include_url=False)[: source.MOST_PROBLEMS])
        ) from None
    found = tuple(
        read.problem(path, message)
        for path, message in itertools.islice(checks.findings(definition), source.MOST_PROBLEMS)
    )
    if found:
        raise source.DefinitionError(found)
    return definition


def _at_top(path: pathlib.Path, message: str) -> source.DefinitionError:
    return source.DefinitionError((source.Problem(str(path), source.Place(1, 1), message),))


def _problem(read: source.Source, error: typing.Any) -> source.Problem:  # noqa: ANN401 - pydantic's ErrorDetails
    location = tuple(error["loc"])
    kind: str = error["type"]
    if kind == "extra_forbidden":
        return read.problem(location, _unknown_key(location), at_key=True)
    if kind == "missing":
        message = _WORDS[kind].format(key=source.shown(location[-1]))
        return read.problem(location[:-1], message, at_key=True)
    context = error.get("ctx", {})
    if location and location[-1] == "[key]":
        return read.problem(location[:-1], _bad_name(str(location[-2]), context), at_key=True)
    words = _WORDS.get(kind)
    if kind == "value_error":
        message = str(context["error"])
    elif error["input"] is None:
        message = "a value belongs here"
    elif words is not None:
        message = words.format(**context, value=source.shown(error["input"]), form=_form(context))
    else:
        message = str(error["msg"])
    return read.problem(_known_part(read, location), message)


def _bad_name(name: str, context: Mapping[str, object]) -> str:
    if "expected" in context:
        return checks.unknown("key", name, re.findall(r"'(.*?)'", str(context["expected"])))
    if "max_length" in context:
        return f"the name {source.shown(name)} is longer than {context['max_length']} characters"
    return f"{source.shown(name)} is not {_form(context)}"


def _form(context: Mapping[str, object]) -> str:
    pattern = str(context.get("pattern"))
    return fields.FORMS.get(pattern, f"of the form {pattern}")


def _known_part(read: source.Source, location: source.Path) -> source.Path:
    """The longest part of an error's location that stands in the file.

    Pydantic adds the names of union members and validators to a location; no key of the file has them.
    """
    path: source.Path = ()
    for part in location:
        if (*path, part) not in read.places:
            break
        path = (*path, part)
    return path


def _unknown_key(location: source.Path) -> str:
    key = str(location[-1])
    known = sorted(_keys_at(models.Definition, location[:-1]))
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"unknown key {source.shown(key)}, did you mean {near[0]!r}?"
    return f"unknown key {source.shown(key)}; known are {', '.join(known)}"


def _keys_at(model: type[pydantic.BaseModel], path: source.Path) -> set[str]:
    """The keys that the model at `path` knows: mappings of names to models are stepped through."""
    if not path:
        return set(model.model_fields)
    field = model.model_fields.get(str(path[0]))
    if field is None:
        return set()
    inner, is_mapping = _model_in(field.annotation)
    if inner is None:
        return set()
    return _keys_at(inner, path[2:] if is_mapping else path[1:])


def _model_in(annotation: object) -> tuple[type[pydantic.BaseModel] | None, bool]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation, False
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is dict:
        return _model_in(arguments[1])[0], True
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        for each in arguments:
            found, is_mapping = _model_in(each)
            if found is not None:
                return found, is_mapping
    return None, False
