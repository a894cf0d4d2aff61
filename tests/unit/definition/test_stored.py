"""Definitions as DAGs carry them for the pages."""

from __future__ import annotations

import json

from gantry import definition, names
from gantry.definition import models, stored
from gantry.plan import plan_of


def test_what_comes_back_makes_the_same_plan_of_every_operation(bookshop_text: str) -> None:
    known = definition.loads(
        f"{bookshop_text}\nbackups: {{of: {{rows: db.catalog}}, to: s3://shop/backups/, drill: {{}}}}\n"
    )
    found = stored.load(stored.dump(known))
    assert found is not None
    for operation in names.Operation:
        assert plan_of(found, operation) == plan_of(known, operation)
    assert found.names_of(next(iter(found.tiers))) == known.names_of(next(iter(known.tiers)))


def test_the_same_definition_gives_the_same_text(bookshop: models.Definition) -> None:
    assert stored.dump(bookshop) == stored.dump(bookshop.model_copy(deep=True))


def test_connections_that_pages_do_not_use_and_free_values_stay_behind(bookshop_text: str) -> None:
    text = bookshop_text.replace("environment: _default", "environment: _default, settings: {a: hidden}")
    found = definition.loads(text)
    kept = stored.dump(found)
    for hidden in ("bookshop_catalog", "chef_default", "Hello from", "hidden"):
        assert hidden not in kept
    assert json.loads(kept)["launch_configurations"]["debian"]["ssh"] == {"connection": "bookshop_ssh"}


def test_what_another_gantry_has_written_is_no_definition() -> None:
    assert stored.load('{"deployment": "shop", "orchards": 3}') is None
    assert stored.load("") is None
