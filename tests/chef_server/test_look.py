"""What a look before a launch finds out about a real Chef server."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from gantry import definition, names
from gantry.configuration_management import chef_server
from gantry.local.cloud import chef_server as goiardi
from gantry.preflight import CheckOutcome, PreflightFinding, chef, of_launch

from .conftest import Goiardi, Recorder

TEXT: dict[str, Any] = {
    "deployment": "shop",
    "cloud": {"region": "eu-central-1"},
    "launch_configurations": {
        "debian": {
            "image": "ami-1",
            "ssh": {"connection": "shop_ssh"},
            "chef": {"connection": "shop_chef", "environment": "production"},
        }
    },
    "tiers": {"web": {"launch_configuration": "debian", "servers": 1}},
}


def looked(run_list: list[str], environment: str | None = None) -> dict[str, PreflightFinding]:
    text = json.loads(json.dumps(TEXT))
    text["tiers"]["web"]["run_list"] = run_list
    if environment is None:
        del text["launch_configurations"]["debian"]["chef"]["environment"]
    known = definition.loads(yaml.safe_dump(text))
    found = [
        finding
        for ask in chef.looks(known, of_launch(known), frozenset({names.TierName("web")}))
        for finding in ask()
    ]
    return {each.what.removeprefix("tier web: "): each for each in found}


@pytest.fixture
def connect(chef: Goiardi, monkeypatch: pytest.MonkeyPatch) -> Any:
    def connect(*, admin: bool = True, **more: Any) -> None:
        extra = {"trusted_certificate": chef.found.certificate}
        if admin:
            extra |= {"admin_name": goiardi.ADMIN, "admin_key": chef.actor().private_key}
        found = {
            "conn_type": "chef",
            "host": chef.found.url,
            "login": goiardi.VALIDATOR,
            "password": chef.actor(goiardi.VALIDATOR).private_key,
            "extra": extra,
        }
        monkeypatch.setenv("AIRFLOW_CONN_SHOP_CHEF", json.dumps(found | more))

    return connect


def test_what_run_lists_name_has_to_be_there_and_roles_are_followed(
    connect: Any, server: chef_server.ChefServer
) -> None:
    connect()
    role = {"json_class": "Chef::Role", "chef_type": "role"}
    server.post("/roles", {**role, "name": "inner", "run_list": ["recipe[nowhere::setup]"]})
    server.post("/roles", {**role, "name": "web", "run_list": ["role[inner]", "role[web]"]})
    found = looked(["role[web]", "role[late]", "recipe[missing@1.2.3]"], "production")
    by_standing = {
        standing: {what.rpartition(": ")[2] for what, each in found.items() if each.standing is standing}
        for standing in CheckOutcome
    }
    assert by_standing[CheckOutcome.WRONG] == {
        "environment production", "role late", "cookbook missing", "cookbook nowhere",
    }  # fmt: skip
    assert {"role web", "role inner"} <= by_standing[CheckOutcome.WELL]
    late = found["role late"]
    assert late.path == ("tiers", "web", "run_list", 1)
    assert "is not on the Chef server" in late.said


def test_a_validators_key_that_is_not_known_is_certain_to_fail(connect: Any, chef: Goiardi) -> None:
    connect(admin=False, password=chef.actor().private_key)
    (found,) = looked(["role[late]"]).values()
    assert found.is_wrong
    assert "Check name and key" in found.said


def test_what_a_validator_may_not_see_is_a_remark_and_no_refusal(
    connect: Any, server: chef_server.ChefServer
) -> None:
    connect(admin=False)
    server.post("/roles", {"json_class": "Chef::Role", "name": "web", "run_list": []})
    assert looked(["role[web]"])["role web"].standing is CheckOutcome.UNKNOWN
    # What is not there it is told.
    assert looked(["role[late]"])["role late"].is_wrong


def test_a_chef_server_that_does_not_answer_here_may_answer_to_servers(connect: Any) -> None:
    connect(host="https://127.0.0.1:1")
    (found,) = looked(["role[late]"]).values()
    assert found.standing is CheckOutcome.UNKNOWN
    assert "Servers may reach it all the same" in found.said


def test_a_policy_stands_for_the_run_list_and_has_to_be_in_its_group(
    connect: Any, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(host=recorder.url)
    policy = {"connection": "shop_chef", "policy_name": "web", "policy_group": "production"}
    monkeypatch.setitem(TEXT["launch_configurations"]["debian"], "chef", {**policy, "environment": None})
    recorder.answers = [(200, b"{}"), (404, b'{"error": ["no such policy"]}')]
    found = looked([])
    assert found["policy web of the group production"].is_wrong
    assert found["policy web of the group production"].path[-1] == "policy_name"
    assert [path for _, path, *_ in recorder.requests][1:] == ["/policy_groups/production/policies/web"]
