"""JSON Schema of the language, for completion and validation in editors.

    python -m gantry.definition.schema

rewrites the two files of this package; a test fails when they are outdated. Problems that a schema cannot express (a
missing tier, two services with the same port) are reported by `gantry validate`.
"""

from __future__ import annotations

import copy
import datetime
import json
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import json_schema

from gantry.definition import fields, models, variables

Schema = dict[str, Any]

DEFINITION_FILE = pathlib.Path(__file__).with_name("definition.schema.json")
OVERLAY_FILE = pathlib.Path(__file__).with_name("overlay.schema.json")

# Draft 7 is the version that editors support best. In it, keys beside a `$ref` are ignored.
_DRAFT = "http://json-schema.org/draft-07/schema#"
_REF = "#/definitions/"
_USE = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"
_VARIABLE, _TEXT = "UseOfVariable", "TextWithVariables"
_USES: dict[str, Schema] = {
    _VARIABLE: {"type": "string", "pattern": f"^{_USE}$", "description": "The value of a variable."},
    _TEXT: {"type": "string", "pattern": _USE, "description": "A text with values of variables in it."},
}
_ABOUT = ("description", "default", "examples")
_NULL: Schema = {"type": "null"}


def definition_schema() -> Schema:
    """Return the JSON Schema of a definition."""
    whole = models.Definition.model_json_schema(
        ref_template=f"{_REF}{{model}}", schema_generator=_WithWrittenDefaults
    )
    definitions = whole.pop("$defs")
    _short_forms(definitions)
    open_ = {
        name: _tidy(each) if name == models.Variable.__name__ else _with_variables(_tidy(each))
        for name, each in definitions.items()
    }
    whole = _tidy(whole)
    declared = whole["properties"].pop(variables.SECTION)
    whole = _with_variables(whole)
    whole["properties"][variables.SECTION] = declared
    return _complete(whole, {**open_, **_USES}, "A deployment, as Gantry launches it")


def overlay_schema() -> Schema:
    """Return the JSON Schema of an overlay: nothing is required, and `null` removes a key."""
    whole = definition_schema()
    definitions = whole.pop("definitions")
    value: Schema = {"type": [*models.variables.TYPES, "null"]}
    declared = whole["properties"].pop(variables.SECTION)
    partial = _partial(whole)
    partial["properties"][variables.SECTION] = {
        "description": "Values for the definition's variables, by name.",
        **{key: declared[key] for key in ("type", "additionalProperties")},
        "patternProperties": dict.fromkeys(declared["patternProperties"], value),
    }
    parts = {_overlay_name(name): _or_null(_partial(each)) for name, each in definitions.items()}
    both = {**parts, **definitions}
    return _complete(partial, both, "What is different about a deployment in one environment")


class _WithWrittenDefaults(json_schema.GenerateJsonSchema):
    """Writes durations as in definitions."""

    def encode_default(self, dft: Any) -> Any:  # noqa: ANN401 - pydantic's signature
        return fields.written(dft) if isinstance(dft, datetime.timedelta) else super().encode_default(dft)


def _complete(whole: Schema, definitions: dict[str, Schema], title: str) -> Schema:
    """Return a schema with the definitions that it needs."""
    needed: dict[str, Schema] = {}
    todo = list(_references(whole))
    while todo:
        name = todo.pop()
        if name not in needed:
            needed[name] = definitions[name]
            todo.extend(_references(definitions[name]))
    known = {name: needed[name] for name in sorted(needed)}
    head = {"$schema": _DRAFT, "title": title}
    return {**head, **{key: value for key, value in whole.items() if key not in head}, "definitions": known}


def _short_forms(definitions: dict[str, Schema]) -> None:
    """Add to each model its short form."""
    for model in _subclasses(fields.Model):
        if model.short_form is not None and model.__name__ in definitions:
            mapping = definitions[model.__name__]
            short = copy.deepcopy(dict(model.short_form))
            about = {key: mapping.pop(key) for key in _ABOUT if key in mapping}
            definitions[model.__name__] = about | (short if model.only_short else {"anyOf": [short, mapping]})


def _subclasses(model: type[fields.Model]) -> Iterator[type[fields.Model]]:
    for each in model.__subclasses__():
        yield each
        yield from _subclasses(each)


def _tidy(schema: Schema) -> Schema:
    """Return a schema without pydantic's noise, and closed to names in a wrong format."""
    found = _inside(schema, _tidy)
    found.pop("title", None)
    if isinstance(found.get("default"), dict) or found.get("default", ...) in (None, [], ""):
        del found["default"]
    if "patternProperties" in found:
        found.setdefault("additionalProperties", False)
    if "$ref" in found and len(found) > 1:
        found["allOf"] = [{"$ref": found.pop("$ref")}]
    return found


def _with_variables(schema: Schema) -> Schema:
    """Return a schema that also accepts a variable instead of any value."""
    use = _use_for(schema)
    if use is None:
        return _inside(schema, _with_variables)
    about = {key: schema[key] for key in _ABOUT if key in schema}
    rest = {key: value for key, value in schema.items() if key not in _ABOUT}
    choices = rest.pop("anyOf", None)
    if choices is None:
        choices = [rest]
    else:
        # The alternatives are extended together; only their inner schemas are extended separately.
        choices = [each if _use_for(each) else _with_variables(each) for each in choices]
        about = rest | about
    return {**about, "anyOf": [*choices, {"$ref": f"{_REF}{use}"}]}


def _use_for(schema: Schema) -> str | None:
    """Return the kind of variable use to add to a schema; None if it accepts any text, or is not a single value."""
    if "anyOf" in schema:
        uses = [_use_for(each) for each in schema["anyOf"]]
        if any(_is_any_text(each) for each in schema["anyOf"]):
            return None
        return _TEXT if _TEXT in uses else _VARIABLE if _VARIABLE in uses else None
    kinds = schema.get("type")
    if kinds == "string":
        return None if _is_any_text(schema) else _TEXT
    return _VARIABLE if kinds in ("integer", "number", "boolean") or "const" in schema else None


def _is_any_text(schema: Schema) -> bool:
    return schema.get("type") == "string" and not {"pattern", "enum", "const", "format"} & schema.keys()


def _partial(schema: Schema) -> Schema:
    """Return a schema for a partial document, to be merged, so nothing is required. Lists are not partial."""
    if "$ref" in schema:
        return {"$ref": f"{_REF}{_overlay_name(schema['$ref'].removeprefix(_REF))}"}
    if schema.get("type") == "array":
        return schema
    found = _inside(schema, _partial)
    for key in ("required", "minProperties", "default"):
        found.pop(key, None)
    for key in ("properties", "patternProperties"):
        if key in found:
            found[key] = {name: _or_null(each) for name, each in found[key].items()}
    if isinstance(found.get("additionalProperties"), dict):
        found["additionalProperties"] = _or_null(found["additionalProperties"])
    return found


def _or_null(schema: Schema) -> Schema:
    """Return a schema that accepts null too; those of an overlay's parts already do."""
    if not schema or _NULL in schema.get("anyOf", ()) or "$ref" in schema:
        return schema
    if schema.get("type") == "object":
        return {**schema, "type": ["object", "null"]}
    about = {key: schema[key] for key in _ABOUT if key in schema}
    rest = {key: value for key, value in schema.items() if key not in _ABOUT}
    if set(rest) == {"allOf"}:
        return schema
    choices = rest["anyOf"] if set(rest) == {"anyOf"} else [rest]
    return {**about, "anyOf": [*choices, _NULL]}


def _overlay_name(name: str) -> str:
    return name if name in _USES else f"Overlay{name}"


def _inside(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Return a schema with each directly nested schema changed."""
    found = dict(schema)
    for key in ("properties", "patternProperties"):
        if key in found:
            found[key] = {name: change(each) for name, each in found[key].items()}
    for key in ("anyOf", "allOf", "oneOf", "prefixItems"):
        if key in found:
            found[key] = [change(each) for each in found[key]]
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = change(found[key])
    return found


def _references(schema: Schema) -> Iterator[str]:
    if "$ref" in schema:
        yield schema["$ref"].removeprefix(_REF)
    inside: list[Schema] = []

    def noted(each: Schema) -> Schema:
        inside.append(each)
        return each

    _inside(schema, noted)
    # The format of names is not a value, and remains unchanged; but it may be described elsewhere.
    if "propertyNames" in schema:
        inside.append(schema["propertyNames"])
    for each in inside:
        yield from _references(each)


def text(schema: Schema) -> str:
    """Return a schema as text for its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write both files."""
    for path, schema in ((DEFINITION_FILE, definition_schema()), (OVERLAY_FILE, overlay_schema())):
        path.write_text(text(schema), encoding="utf-8")
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
