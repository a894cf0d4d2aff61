"""Shapes of the names in a template, as far as known before a launch."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping

from gantry import names
from gantry.definition import models, template_facts


@dataclasses.dataclass(frozen=True)
class Plain:
    """A text or a number, without parts."""


@dataclasses.dataclass(frozen=True)
class Items:
    """A list of items of one shape."""

    each: Shape


@dataclasses.dataclass(frozen=True)
class Parts:
    """A mapping whose keys are known.

    Attributes:
        absent: keys that others of this kind have, with a message about their absence here.
        kind: the noun for a key.
        is_open: whether a template may test for a key. A misspelled key would never exist.
    """

    known: Mapping[str, Shape]
    absent: Mapping[str, str] = dataclasses.field(default_factory=dict)
    kind: str = "name"
    is_open: bool = False


Shape = Plain | Items | Parts | None
"""None stands for an unknown shape."""


def in_custom(definition: models.Definition, name: names.ServiceName) -> Parts:
    """Return the shape of a service's `custom` facts, with only the ports and dependencies that it has."""
    service = definition.services[name]
    needed: dict[str, Shape] = {}
    for each in dict.fromkeys(dependency.service for dependency in service.depends_on):
        target = definition.services[each]
        needed[each] = _with_port(template_facts.TemplateDependency, each, target)
    return Parts(
        {
            **of(template_facts.InCustom).known,
            "service": _with_port(template_facts.TemplateService, name, service),
            "dependencies": Parts(needed, kind="dependency", is_open=True),
        }
    )


def of(model: type[template_facts.TemplateFacts]) -> Parts:
    """Return the shape of a mapping, with all possible keys."""
    return Parts({key: _of_type(field.annotation) for key, field in model.model_fields.items()})


def _with_port(
    model: type[template_facts.TemplateFacts], name: names.ServiceName, service: models.Service
) -> Parts:
    known = dict(of(model).known)
    absent: dict[str, str] = {}
    if service.main_port is None:
        del known["port"]
        absent["port"] = f"service {name!r} has no port"
    if service.ports:
        known["ports"] = Parts(dict.fromkeys(map(str, service.ports), Plain()), kind="port")
    else:
        del known["ports"]
        absent["ports"] = f"service {name!r} has no ports with names"
    return Parts(known, absent)


def _of_type(annotation: object) -> Shape:
    if isinstance(annotation, type) and issubclass(annotation, template_facts.TemplateFacts):
        return of(annotation)
    arguments = [each for each in typing.get_args(annotation) if each is not types.NoneType]
    origin = typing.get_origin(annotation)
    if origin is tuple:
        return Items(_of_type(arguments[0]))
    if origin in (types.UnionType, typing.Union) and len(arguments) == 1:
        return _of_type(arguments[0])
    return Plain() if annotation in (str, int, float, bool) else None
