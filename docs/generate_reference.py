"""Writes `docs/definition-reference.md` from the models: every key with its type, default, meaning and an example.

usage: python docs/generate_reference.py [--check]

With --check nothing is written; exit code 1 says that the page is not what the models say.
"""

from __future__ import annotations

import datetime
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import annotated_types
import pydantic
import pydantic_core
import yaml
from pydantic.fields import FieldInfo

from gantry.definition import fields, models, template_facts

PAGE = Path(__file__).with_name("definition-reference.md")

HEAD = """\
# Definition reference

<!-- Made from the models by docs/generate_reference.py; a test holds the two together. -->

Every key that a definition may have. What each part is for: see [Writing a definition](writing-a-definition.md).
**Bold** keys have to be there; unknown keys are refused. An editor that reads `# yaml-language-server: $schema=…`
checks and completes all of this (`gantry schema`).

## Words

Types below are these words, or a link to the part that has the keys.

| word | looks like |
|---|---|
"""

MORE_WORDS = {
    "text": "any text; in quotes where YAML would make something else of it",
    "whole number": "within the limits that stand beside it",
    "length of time": "a number of seconds, or text such as `90s`, `15m`, `1h`; more than zero, at most 30 days",
    "scalar": "a text, a number, `true` or `false`",
    "any YAML": "mappings, lists and scalars, as deep as you like",
    "dependency": "`SERVICE` or `SERVICE.DATASOURCE`",
}


SPECIAL: dict[object, str] = {
    models.Dependency: "dependency",
    datetime.timedelta: "length of time",
    pydantic.JsonValue: "any YAML",
    bool: "`true` or `false`",
}


def page() -> str:
    """The whole page."""
    words = {word(form): form.partition(" (")[2].rstrip(")") for form in fields.FORMS.values()}
    lines = [f"| {name} | {looks} |" for name, looks in {**words, **MORE_WORDS}.items()]
    parts = [HEAD + "\n".join(lines) + "\n"]
    parts += [section(path, model) for path, model in sections()]
    return "\n".join([*parts, templates()])


TEMPLATES = """\
## Templates

What texts in a service's `custom` and in a tier's `attributes` may use. `peers` is a list, and `dependencies` has an
entry for each service that is depended on. A `port` is absent where the service has none.

| name | type | what | example | in `custom` | in `attributes` |
|---|---|---|---|---|---|
"""


def templates() -> str:
    """The table of everything that templates may use."""
    in_attributes = {name for name, _ in facts(template_facts.InAttributes)}
    rows = []
    for name, field in facts(template_facts.InCustom):
        there = "yes" if name in in_attributes else "no"
        cells = (f"`{name}`", kind(field, "", ""), str(field.description), example(field), "yes", there)
        rows.append(f"| {' | '.join(cell(each) for each in cells)} |\n")
    return TEMPLATES + "".join(rows)


def facts(model: type[template_facts.TemplateFacts], path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every name that a template may write, and what stands there."""
    for key, field in model.model_fields.items():
        inner = list(models_in(field.annotation))
        name = f"{path}{key}"
        for below, part in inner:
            several = f".{below}" if below else "[0]" if typing.get_origin(field.annotation) is tuple else ""
            yield from facts(typing.cast("type[template_facts.TemplateFacts]", part), f"{name}{several}.")
        if not inner:
            yield name, field


def sections() -> list[tuple[str, type[pydantic.BaseModel]]]:
    """Every part of the language: where it stands (`services.NAME`), and its model. Each once."""
    found: dict[str, type[pydantic.BaseModel]] = {}

    def walk(path: str, model: type[pydantic.BaseModel]) -> None:
        if path in found:
            return
        found[path] = model
        for key, field in model.model_fields.items():
            for below, inner in models_in(field.annotation):
                walk(".".join(part for part in (path, key, below) if part), inner)

    walk("", models.Definition)
    return list(found.items())


def models_in(annotation: object) -> Iterator[tuple[str, type[pydantic.BaseModel]]]:
    """The models that a value consists of; `NAME` where names of the user's own come before them."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        # A dependency is written as one word.
        if annotation is not models.Dependency:
            yield "", annotation
        return
    below = "NAME" if typing.get_origin(annotation) is dict else ""
    for part in typing.get_args(annotation):
        yield from ((below or deeper, inner) for deeper, inner in models_in(part))


def section(path: str, model: type[pydantic.BaseModel]) -> str:
    """One part's heading, what it is, and its keys."""
    title = f"`{path}`" if path else "The file"
    head = "| key | type | default | what | example |"
    lines = [f"## {title}", "", paragraph(model), "", head, "|---|---|---|---|---|"]
    for key, field in model.model_fields.items():
        name = f"**`{key}`**" if field.is_required() else f"`{key}`"
        cells = (name, kind(field, path, key), default(field), str(field.description), example(field))
        lines.append(f"| {' | '.join(cell(each) for each in cells)} |")
    return "\n".join(lines) + "\n"


def paragraph(model: type[pydantic.BaseModel]) -> str:
    """The first paragraph of a model's docstring."""
    return inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0].replace("\n", " ")


def kind(field: FieldInfo, path: str, key: str) -> str:
    """A field's type in words."""
    return words_of(field.annotation, field.metadata, ".".join(part for part in (path, key) if part))


def words_of(annotation: object, metadata: list[typing.Any], path: str) -> str:
    """A type in words, with what its metadata say."""
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *more = typing.get_args(annotation)
        return words_of(inner, [*more, *metadata], path)
    flat = [each for one in metadata for each in (one.metadata if isinstance(one, FieldInfo) else [one])]
    form = next((fields.FORMS[each] for each in map(pattern, flat) if each in fields.FORMS), None)
    if form is not None:
        return word(form)
    return composed(annotation, path) or plain(annotation, flat, path)


def pattern(constraint: object) -> str:
    """The pattern that a constraint is about, or nothing."""
    return str(getattr(constraint, "pattern", ""))


def composed(annotation: object, path: str) -> str:
    """A type with arguments in words; empty for others."""
    arguments = typing.get_args(annotation)
    match typing.get_origin(annotation):
        case kind if kind is dict:
            below = words_of(arguments[1], [], f"{path}.NAME")
            return f"mapping: {words_of(arguments[0], [], path)} → {below}"
        case kind if kind is tuple:
            return f"list of {words_of(arguments[0], [], path)}"
        case typing.Literal:
            return ", ".join(f"`{each}`" for each in arguments)
        case typing.Union | types.UnionType:
            if {str, int, float, bool} <= set(arguments):
                return "scalar"
            return " or ".join(words_of(each, [], path) for each in arguments if each is not type(None))
    return ""


def plain(annotation: object, metadata: list[typing.Any], path: str) -> str:
    """A type without arguments in words."""
    if annotation in SPECIAL:
        return SPECIAL[annotation]
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        number = "whole number or " if annotation is models.ServerCount else ""
        return f"{number}[mapping](#{path.lower().replace('.', '')})"
    if annotation in (int, float):
        name = "whole number" if annotation is int else "number"
        low = next((each.ge for each in metadata if isinstance(each, annotated_types.Ge)), None)
        high = next((each.le for each in metadata if isinstance(each, annotated_types.Le)), None)
        return name if low is None and high is None else f"{name}, {low} to {high}"
    return "text"


def word(form: str) -> str:
    """`a connection's id (letters …)` → `connection's id`."""
    return re.sub(r"^(an?|the) ", "", form.partition(" (")[0])


def default(field: FieldInfo) -> str:
    """What holds where the key is left out."""
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, datetime.timedelta):
        return f"`{length(value)}`"
    if isinstance(value, pydantic.BaseModel):
        return "see there"
    if value in (None, "", (), {}):
        return "none"
    return f"`{inline(value)}`"


def length(value: datetime.timedelta) -> str:
    """A length of time as people write it."""
    seconds = value.total_seconds()
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def example(field: FieldInfo) -> str:
    """The field's examples, as YAML has them in one line."""
    return " ".join(f"`{inline(each)}`" for each in field.examples or ())


def inline(value: object) -> str:
    """A value in one line of YAML."""
    plainly = pydantic_core.to_jsonable_python(value)
    if isinstance(plainly, str):
        try:
            return plainly if yaml.safe_load(plainly) == plainly else json.dumps(plainly)
        except yaml.YAMLError:
            return json.dumps(plainly)
    text = yaml.safe_dump(plainly, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def cell(text: str) -> str:
    """A cell of a table: no line breaks, no bars."""
    return text.replace("\n", " ").replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Write the page, or check it."""
    wanted = page()
    if "--check" not in arguments:
        PAGE.write_text(wanted)
        return 0
    return int(PAGE.read_text() != wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
