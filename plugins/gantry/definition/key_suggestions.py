"""Known keys at a path of a definition, for suggestions."""

from __future__ import annotations

import types
import typing

import pydantic

from gantry.definition import models, source


def keys_at(path: source.Path) -> frozenset[str]:
    """Return the known keys at a path; empty if the names there are the user's own."""
    return _keys(models.Definition, path)


def unknown_key(path: source.Path) -> str:
    """Return a message that the last key of a path is unknown, with the nearest known one."""
    key = str(path[-1])
    known = sorted(keys_at(path[:-1]))
    found = near_key(path)
    if found is not None:
        return f"unknown key {source.shown(key)}, did you mean {found!r}?"
    return f"unknown key {source.shown(key)}" + (f"; known are {', '.join(known)}" if known else "")


def near_key(path: source.Path) -> str | None:
    """Return the key that was probably meant by the last one of a path."""
    return source.near(str(path[-1]), keys_at(path[:-1]))


def _keys(model: type[pydantic.BaseModel], path: source.Path) -> frozenset[str]:
    if not path:
        return frozenset(model.model_fields)
    field = model.model_fields.get(str(path[0]))
    if field is None:
        return frozenset()
    inner, named = _model_in(field.annotation)
    # The user's own names, and positions in a list, are skipped.
    if inner is None or (named and len(path) == 1):
        return frozenset()
    return _keys(inner, path[2:] if named else path[1:])


def _model_in(annotation: object) -> tuple[type[pydantic.BaseModel] | None, bool]:
    """Return the model of a field's value, and whether it is in a mapping or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation, False
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _model_in(arguments[0])
    if origin is dict:
        return _model_in(arguments[1])[0], True
    if origin in (tuple, list):
        return _model_in(arguments[0])[0], True
    if origin in (types.UnionType, typing.Union):
        for each in arguments:
            found, named = _model_in(each)
            if found is not None:
                return found, named
    return None, False
