"""What operations can be asked for: declared, read, written and checked by one class each."""

from __future__ import annotations

import ast
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from gantry import definition, errors, names, requests
from gantry.definition import models
from gantry.names import Operation
from tests import airflow_api

PACKAGE = pathlib.Path(__file__).parents[3] / "plugins" / "gantry"


@pytest.fixture(scope="module")
def backed(bookshop_text: str) -> models.Definition:
    """The bookshop with a backup."""
    return definition.loads(
        f"{bookshop_text}\nbackups: {{of: {{catalog: db.catalog}}, to: s3://shop/backups/, final: true}}\n"
    )


def test_every_operation_has_a_request_in_the_order_of_operations() -> None:
    assert list(requests.REQUESTS) == list(Operation)


def test_the_fields_of_each_form_and_their_order(backed: models.Definition) -> None:
    found = {each.value: list(request.form(backed)) for each, request in requests.REQUESTS.items()}
    data = ["from_dump", "from_backup"]
    tiers = [f"servers_{tier}" for tier in backed.tiers]
    assert found == {
        "launch": [*tiers, "converge", "redeploy", *data, "reload_dump", "new_bundle", "reason"],
        "scale": ["servers_application", "reason"],
        "terminate": ["new_bundle", "confirm", "final_backup", "force", "reason"],
        "backup": ["backups", "reason"],
        "restore": ["backup", "object", "confirm", "reason"],
        "recover": ["servers", "anyway", *data, "reason"],
        "watch": [],
        "drill": ["reason"],
    }


def test_a_form_has_no_field_without_a_choice(backed: models.Definition) -> None:
    bare = definition.loads(
        "deployment: shop\ncloud: {region: eu-central-1}\n"
        "launch_configurations: {debian: {image: ami-1, ssh: {connection: x}}}\n"
        "tiers: {web: {launch_configuration: debian, servers: 1}}\n"
    )
    assert list(requests.LaunchRequest.form(bare)) == ["servers_web", "new_bundle", "reason"]
    assert list(requests.TerminateRequest.form(bare)) == ["new_bundle", "confirm", "force", "reason"]
    assert requests.TerminateRequest.form(backed)["final_backup"].default is True


REQUESTS: list[tuple[requests.OperationRequest, dict[str, Any]]] = [
    (requests.LaunchRequest(), {}),
    (
        requests.LaunchRequest(
            servers={"application": 3}, redeploy=("app",), from_dump=("db.catalog",), reason="why"
        ),
        {"servers_application": 3, "redeploy": ["app"], "from_dump": ["db.catalog"], "reason": "why"},
    ),
    (requests.ScaleRequest(servers={"application": 2}), {"servers_application": 2}),
    (
        requests.RecoverRequest(servers=("web-2", "web-1"), anyway=True),
        {"servers": ["web-2", "web-1"], "anyway": True},
    ),
    (requests.BackupRequest(backups=("catalog",)), {"backups": ["catalog"]}),
    (
        requests.RestoreRequest(backup="catalog", object="x.sql", confirm="bookshop"),
        {"backup": "catalog", "object": "x.sql", "confirm": "bookshop"},
    ),
    (
        requests.TerminateRequest(confirm="bookshop", final_backup=False, force=True),
        {"confirm": "bookshop", "final_backup": False, "force": True},
    ),
    (requests.DrillRequest(reason="new scripts"), {"reason": "new scripts"}),
]


@pytest.mark.parametrize(("request_", "conf"), REQUESTS)
def test_what_is_written_to_a_conf_is_read_from_the_params_of_its_run(
    request_: requests.OperationRequest, conf: dict[str, Any], backed: models.Definition
) -> None:
    assert request_.conf() == conf
    request_.check_for(backed)
    assert type(request_).read(conf) == request_
    others = {"servers_": "all", "of_another": 1}
    assert type(request_).read({**conf, **others}) == request_


def test_what_a_conf_does_not_say_is_as_the_form_says(backed: models.Definition) -> None:
    params = {name: each.default for name, each in requests.TerminateRequest.form(backed).items()}
    assert requests.TerminateRequest.read(params) == requests.TerminateRequest(final_backup=True)


def test_a_launch_reads_the_sizes_of_its_tiers() -> None:
    given = {"servers_web": 3, "servers_json": 4.0, "servers_text": "4", "servers_few": -1}
    others = {"servers_db": None, "servers_note": "x", "servers_all": True, "servers": ["web-1"]}
    read = requests.LaunchRequest.read({**given, **others})
    assert read.servers == {"web": 3, "json": 4, "text": 4, "few": -1}


def test_a_tier_without_a_number_has_its_least_in_a_launch_and_none_in_a_scaling(
    bookshop: models.Definition,
) -> None:
    application = names.TierName("application")
    params = {"servers_application": None}
    assert requests.LaunchRequest.read(params).sizes(bookshop)[application] == 2
    assert requests.ScaleRequest.read(params).sizes(bookshop) == {}
    assert requests.ScaleRequest.read({"servers_application": 3, "servers_gone": 1}).sizes(bookshop) == {
        application: 3
    }


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (requests.LaunchRequest(servers={"olny": 2}), "--servers: unknown tier 'olny', did you mean 'only'?"),
        (requests.ScaleRequest(servers={"olny": 2}), "TIER=N: unknown tier 'olny', did you mean 'only'?"),
        (requests.LaunchRequest(redeploy=("x",)), "--redeploy: unknown service 'x'; there is probe"),
        (
            requests.LaunchRequest(converge=("only",)),
            "--converge: unknown tier with configuration management 'only'; there are none",
        ),
        (
            requests.RecoverRequest(from_dump=("db.x",)),
            "--from-dump: unknown datasource 'db.x'; there are none",
        ),
        (requests.BackupRequest(backups=("x",)), "--only: unknown backup 'x'; there are none"),
        (requests.RestoreRequest(backup=""), "BACKUP: unknown backup ''; there are none"),
        (
            requests.LaunchRequest(servers={"only": 4}),
            "--servers: tier only: 4 servers are wanted, and its limits are 1 to 3\n"
            "Choose a number within the limits, or change the definition.",
        ),
        (
            requests.TerminateRequest(final_backup=True),
            "--final-backup: the deployment does not offer this: does its definition say `backups:`?\n"
            "Airflow reads a changed definition when it scans its DAGs folder the next time.",
        ),
    ],
)
def test_what_the_form_of_a_dag_does_not_offer_is_refused(
    request_: requests.OperationRequest, said: str
) -> None:
    with pytest.raises(errors.GantryError) as raised:
        request_.checked_conf(requests.schemas_of(airflow_api.PARAMS))
    assert str(raised.value) == said


def test_the_conf_has_each_name_once_and_no_refusal_of_what_is_not_offered() -> None:
    offered = requests.schemas_of(airflow_api.PARAMS)
    asked = requests.LaunchRequest(servers={"only": 2}, redeploy=("probe", "probe"), reason="why")
    assert asked.checked_conf(offered) == {"servers_only": 2, "redeploy": ["probe"], "reason": "why"}
    without = requests.TerminateRequest(confirm="shop", final_backup=False)
    assert without.checked_conf(offered) == {"confirm": "shop"}


def test_the_deployments_name_has_to_be_typed() -> None:
    requests.TerminateRequest(confirm="shop").require_confirmation(names.DeploymentName("shop"))
    with pytest.raises(
        requests.NotConfirmedError, match=r"reads '', not 'shop': nothing was restored\nTrigger"
    ):
        requests.RestoreRequest(backup="x").require_confirmation(names.DeploymentName("shop"))


NAMES = {each.name for request in requests.REQUESTS.values() for each in dataclasses.fields(request)}
OTHER_THINGS = {
    # The key of a stored note about a datasource, which is not a param.
    "reconcile/data_placement.py": {"from_dump"},
}
USED_FOR_MUCH = {"servers", "reason", "backup", "backups", "object", "force", "confirm"}
"""Names that are common words: only as keys of params or of a conf they are meant."""


def keys(tree: ast.AST) -> Iterator[object]:
    """The constant keys that are read from something called params or conf."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=of, slice=ast.Constant(value=key)):
                pass
            case ast.Call(func=ast.Attribute(value=of, attr="get"), args=[ast.Constant(value=key), *_]):
                pass
            case _:
                continue
        if ast.unparse(of).endswith(("params", "params']", "conf")):
            yield key


@pytest.mark.parametrize(
    "path",
    [each for each in sorted(PACKAGE.rglob("*.py")) if each.parent.name != "requests"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_the_name_of_a_param_is_written_nowhere_else(path: pathlib.Path) -> None:
    place = str(path.relative_to(PACKAGE))
    tree = ast.parse(path.read_text())
    said = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert said & (NAMES - USED_FOR_MUCH) <= OTHER_THINGS.get(place, set())
    assert not any(each.startswith("servers_") for each in said)
    assert not set(keys(tree)) & NAMES
