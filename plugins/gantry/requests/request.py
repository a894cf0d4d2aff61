"""Base class of all requests: a form, a conf and a run's params made from a dataclass's fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from gantry.requests import fields

if TYPE_CHECKING:
    from gantry.definition import models

_FIELD = "field"
"""The key of a field's kind and default in its metadata."""


def field(kind: fields.FieldKind, default: Any) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Return a field of a request.

    A value that is the `default` is not written to a conf; without one (`dataclasses.MISSING`), the field is required.
    """
    metadata = {_FIELD: (kind, default)}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default_factory=lambda: default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperationRequest:
    """What a run of an operation is asked for: its trigger form, filled in."""

    @classmethod
    def form(cls, definition: models.Definition) -> dict[str, fields.ParamDeclaration]:
        """Return the params of the operation's DAG, section by section. Each has a default."""
        found = [param for name, kind, _ in cls._fields() for param in kind.declare(name, definition)]
        order = [each.value for each in fields.FormSection]
        return dict(sorted(found, key=lambda each: order.index(each[1].schema["section"])))

    @classmethod
    def read(cls, params: Mapping[str, Any]) -> Self:
        """Return the request of a run with these params. Those of other operations are ignored."""
        return cls(**{name: kind.read(name, params) for name, kind, _ in cls._fields()})

    def conf(self) -> dict[str, Any]:
        """Return the conf of a run, without what is as by default."""
        found: dict[str, Any] = {}
        for name, kind, default in self._fields():
            value = getattr(self, name)
            if value != default:
                found |= kind.write(name, value)
        return found

    def check(self, offered: fields.Schemas) -> None:
        """Check the request against the form of a deployment.

        Raises:
            UnknownChoiceError: a name that the form does not offer.
            ServerCountError: a number of servers outside the tier's limits.
            FieldNotOfferedError: a field that the form does not have.
        """
        for name, kind, default in self._fields():
            value = getattr(self, name)
            if value != default:
                kind.check(name, value, offered)

    def check_for(self, definition: models.Definition) -> None:
        """Check the request against a definition. Raises as `check` does."""
        self.check({name: each.schema for name, each in self.form(definition).items()})

    def checked_conf(self, offered: fields.Schemas) -> dict[str, Any]:
        """Return the conf of a run if the form offers what it asks for. Raises as `check` does."""
        self.check(offered)
        # A field that is not offered is off anyway.
        return {key: value for key, value in self.conf().items() if value or key in offered}

    @classmethod
    def _fields(cls) -> Iterator[tuple[str, fields.FieldKind, Any]]:
        for each in dataclasses.fields(cls):
            kind, default = each.metadata[_FIELD]
            yield each.name, kind, default


def schemas_of(params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what a form offers; `params` as in Airflow's API, each with `value`, `description` and `schema`."""
    return {name: (param or {}).get("schema") or {} for name, param in params.items()}
