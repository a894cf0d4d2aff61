"""The documentation says what is there: every key of a definition, files that exist, examples that load."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pydantic
import pytest

from gantry import definition
from gantry.definition import models

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "include").rglob("*.md")])
KEYS = (ROOT / "docs" / "writing-a-definition.md").read_text()


def fields(model: type[pydantic.BaseModel], path: str = "") -> Iterator[tuple[str, str, bool]]:
    """Every key of the language: (where it stands, key, whether it has to be there)."""
    for key, field in model.model_fields.items():
        yield path or "the file", key, field.is_required()
        for below, inner in models_in(field.annotation):
            yield from fields(inner, ".".join(part for part in (path, key, below) if part))


def models_in(annotation: object) -> Iterator[tuple[str, type[pydantic.BaseModel]]]:
    """The models that a key's value consists of, and whether a name of the user's own comes before them."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        # A dependency is written as one word.
        if annotation is not models.Dependency:
            yield "", annotation
        return
    below = "NAME" if typing.get_origin(annotation) is dict else ""
    for part in typing.get_args(annotation):
        for _, inner in models_in(part):
            yield below, inner


def documented() -> set[tuple[str, str, bool]]:
    """Every row of the tables of keys."""
    found: set[tuple[str, str, bool]] = set()
    for section in re.split(r"^### ", KEYS, flags=re.MULTILINE)[1:]:
        heading = section.partition("\n")[0]
        for bold, key in re.findall(r"^\| (\*\*)?`(\w+)`", section.partition("\n## ")[0], re.MULTILINE):
            # One table may be that of several keys.
            found.update((path, key, bool(bold)) for path in re.findall(r"`(.+?)`", heading) or [heading])
    return found


def test_every_key_of_a_definition_is_explained_and_no_other() -> None:
    assert documented() == set(fields(models.Definition))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    assert "../shared" not in text
    targets = re.findall(r'\]\(([^)\s]+)\)|src="([^"]+)"', text)
    for target in (one or other for one, other in targets):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ["README.md", "docs/writing-a-definition.md"])
def test_definitions_in_the_documentation_load(page: str) -> None:
    text = (ROOT / page).read_text()
    examples = re.findall(r"^(deployment: .*?)^(?:```|END)$", text, re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        definition.loads(example, page)
