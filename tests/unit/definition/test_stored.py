"""Definitions as DAGs carry them for the pages."""

from __future__ import annotations

import json

from gantry import definition
from gantry.definition import models, stored
from gantry.plan import plan_of


def test_what_comes_back_makes_the_same_plan(bookshop: models.Definition) -> None:
    found = stored.load(stored.dump(bookshop))
    assert found is not None
    for dag in ("bookshop", "bookshop.scale", "bookshop.terminate"):
        assert plan_of(found, dag) == plan_of(bookshop, dag)
    assert found.names_of(next(iter(found.tiers))) == bookshop.names_of(next(iter(bookshop.tiers)))


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
