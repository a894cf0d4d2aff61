"""A merged definition as YAML, with a comment after each value that names its source."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import yaml

from gantry import definition
from gantry.definition import source, spelling

_FURTHEST = 56
"""Maximum column up to which comments are aligned."""


class YamlLine(NamedTuple):
    """A line of YAML and its comment, if any."""

    text: str
    comment: str


def lines(loaded: definition.Loaded, *, defaults: bool = True) -> list[YamlLine]:
    """Return the lines of the whole definition. They form an equivalent definition.

    Args:
        loaded: the definition to show.
        defaults: whether to show values that are in no file.
    """
    found = [*_values(loaded, defaults=defaults)]
    furthest = max(
        (len(each.text) for each in found if each.comment and len(each.text) <= _FURTHEST), default=0
    )
    files = [YamlLine("", str(each)) for each in loaded.files]
    return [
        *files,
        *(each._replace(text=each.text.ljust(furthest)) if each.comment else each for each in found),
    ]


def _values(loaded: definition.Loaded, *, defaults: bool) -> Iterator[YamlLine]:
    written: source.Path = ()
    for path, value, origin in loaded.values():
        if path[0] == "variables":
            continue
        if origin.kind is definition.OriginKind.DEFAULT:
            if not defaults or value in (None, [], {}):
                continue
            value = _seconds(value)  # noqa: PLW2901 - the same value, as one would write it
        for depth in range(len(path) - 1):
            if path[: depth + 1] != written[: depth + 1]:
                yield YamlLine(f"{'  ' * depth}{_plain(path[depth])}:", "")
        written = path
        yield from _leaf(path[-1], value, len(path) - 1, _comment(origin))
    if loaded.variables:
        yield YamlLine("variables:", "")
    for name, setting in loaded.variables.items():
        yield from _leaf(name, setting.value, 1, _comment(setting.origin), escaped=False)


def _leaf(
    key: str | int, value: source.Data, depth: int, comment: str, *, escaped: bool = True
) -> Iterator[YamlLine]:
    indent = "  " * depth
    if isinstance(value, dict) and value:
        yield YamlLine(f"{indent}{_plain(key)}:", comment)
        for inner, each in value.items():
            yield from _leaf(inner, each, depth + 1, "", escaped=escaped)
        return
    first, *more = _yaml(_escaped(value) if escaped else value).split("\n")
    yield YamlLine(f"{indent}{_plain(key)}: {first}", comment)
    yield from (YamlLine(f"{indent}{each}" if each else "", "") for each in more)


def _escaped(value: source.Data) -> source.Data:
    """Escape text that looks like a variable: variables have already been filled in."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    if isinstance(value, dict):
        return {key: _escaped(each) for key, each in value.items()}
    return value


def _seconds(value: source.Data) -> source.Data:
    """Write durations without a fraction of a second if it is zero."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return {key: _seconds(each) for key, each in value.items()} if isinstance(value, dict) else value


def _plain(key: str | int) -> str:
    return _yaml(str(key))


def _yaml(value: source.Data) -> str:
    style = "|" if isinstance(value, str) and "\n" in value else None
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        default_style=style,
        default_flow_style=True,
        width=math.inf,
        allow_unicode=True,
        sort_keys=False,
    )
    return text.removesuffix("\n").removesuffix("\n...")


class _Dumper(yaml.SafeDumper):
    """Writes numbers as they were written."""


def _spelled(dumper: yaml.SafeDumper, value: spelling.SpelledInt | spelling.SpelledFloat) -> yaml.Node:
    kind = "int" if isinstance(value, int) else "float"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{kind}", value.written)


_Dumper.add_representer(spelling.SpelledInt, _spelled)
_Dumper.add_representer(spelling.SpelledFloat, _spelled)


def _comment(origin: definition.Origin) -> str:
    if origin.file is None or origin.place is None:
        return origin.kind.value
    here = f"{pathlib.PurePath(origin.file).name}:{origin.place.line}:{origin.place.column}"
    inserted = (f"variable {each.variable} from {_comment(each.origin)}" for each in origin.insertions)
    return ", ".join((here, *inserted))
