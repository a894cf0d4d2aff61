"""Forms from parameters, and parameters from what was sent."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from airflow.sdk import Param

from gantry.dag import forms as params
from gantry.definition import models
from gantry.names import Operation
from gantry.web.views import forms
from gantry.web.views.forms import InputKind


def described(found: Mapping[str, Param]) -> dict[str, dict[str, object]]:
    """Parameters as Airflow's API describes them."""
    return {name: param.dump() for name, param in found.items()}


@pytest.fixture
def launch(bookshop: models.Definition) -> tuple[forms.Field, ...]:
    return forms.fields(described(params.trigger_form(Operation.LAUNCH, bookshop)))


def test_every_kind_of_parameter_that_a_launch_has(launch: tuple[forms.Field, ...]) -> None:
    found = {each.name: each for each in launch}
    servers = found["servers_application"]
    assert (servers.kind, servers.text, servers.fewest, servers.most) == (InputKind.NUMBER, "2", 2, 6)
    assert not servers.may_be_empty
    assert servers.section == "Tiers"
    assert (found["redeploy"].kind, found["redeploy"].choices) == (InputKind.ANY, ("app", "db"))
    assert (found["reason"].kind, found["reason"].longest) == (InputKind.TEXT, 500)


def test_what_was_sent_becomes_parameters(launch: tuple[forms.Field, ...]) -> None:
    filled = forms.filled(
        launch,
        {
            "servers_application": ["4"], "servers_database": ["1"], "servers_proxy": ["1"], "redeploy": ["app", "db"],
            "reason": ["because <b>"], "more": ["than asked"],
        },
    )  # fmt: skip
    assert filled.is_good
    assert filled.conf == {
        "servers_application": 4, "servers_database": 1, "servers_proxy": 1, "redeploy": ["app", "db"],
        "converge": [], "from_dump": [], "from_backup": [], "reload_dump": [], "new_bundle": "",
        "reason": "because <b>",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "sent", "problem"),
    [
        ("servers_application", ["7"], "At most 6"),
        ("servers_application", ["1"], "At least 2"),
        ("servers_application", ["many"], "whole number"),
        ("servers_application", [], "whole number"),
        ("redeploy", ["app", "nosuch"], "nosuch"),
        ("reason", ["x" * 501], "500"),
    ],
)
def test_what_cannot_be_is_told_at_its_field(
    launch: tuple[forms.Field, ...], name: str, sent: list[str], problem: str
) -> None:
    given = {each.name: list(each.entered) for each in launch}
    filled = forms.filled(launch, {**given, name: sent})
    assert not filled.is_good
    (bad,) = [each for each in filled.fields if each.problem]
    assert bad.name == name
    assert problem in bad.problem
    assert bad.entered == tuple(sent)


def test_what_may_be_left_empty_is_nothing(bookshop: models.Definition) -> None:
    form = forms.fields(described(params.trigger_form(Operation.SCALE, bookshop)))
    assert forms.filled(form, {"servers_application": [""]}).conf["servers_application"] is None


def test_parameters_of_operations_to_come() -> None:
    form = forms.fields(
        {
            "one": {"value": "b", "schema": {"type": "string", "enum": ["a", "b"]}},
            "flag": {"value": True, "schema": {"type": "boolean", "title": "Really"}},
            "thing": {"value": {"a": 1}, "schema": {"type": "object"}},
        }
    )
    assert [each.kind for each in form] == [InputKind.ONE, InputKind.FLAG, InputKind.JSON]
    assert [each.text for each in form] == ["b", "True", '{"a": 1}']
    assert forms.filled(form, {"one": ["a"], "thing": ["{}"]}).conf == {
        "one": "a",
        "flag": False,
        "thing": {},
    }
    assert not forms.filled(form, {"one": ["c"], "thing": ["{"]}).is_good
