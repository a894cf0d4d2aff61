"""Servers are found by their tags, started once, resumed, replaced and taken down."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from gantry import inventory, names
from gantry.cloud import clients, errors, images, instance_start, servers, tags

from .conftest import KEY, WEB, Shop

pytestmark = pytest.mark.docker

RUN = instance_start.StartOrder("run-1", "0")


def slots(found: tuple[inventory.Server, ...]) -> list[int]:
    return [server.slot for server in found]


# --- scale up ------------------------------------------------------------------------------------------------


def test_missing_servers_are_started_by_one_call_and_told_apart_from_the_first_moment(shop: Shop) -> None:
    scaling = shop.scale_up(2)
    (call,) = shop.calls("RunInstances")
    assert (call["MinCount"], call["MaxCount"]) == (2, 2)
    assert call["UserData"].startswith("#cloud-config")
    assert KEY in call["UserData"]
    assert (scaling.before, scaling.wanted, scaling.after) == (0, 2, 2)
    assert slots(scaling.servers) == [1, 2]
    found = shop.servers().find()
    assert [server.name for server in found] == [f"{shop.name}-web-{slot}" for slot in (1, 2)]
    assert [server.instance_id for server in found] == [server.instance_id for server in scaling.servers]
    by_index = {shop.raw(server)["AmiLaunchIndex"]: server.slot for server in found}
    assert by_index == {0: 1, 1: 2}


def test_a_second_launch_finds_its_servers_and_starts_nothing(shop: Shop) -> None:
    first = shop.scale_up(1)
    again = shop.scale_up(1, "run-2")
    assert len(shop.calls("RunInstances")) == 1
    assert (again.before, again.after, again.started) == (1, 1, ())
    assert [each.instance_id for each in again.servers] == [each.instance_id for each in first.servers]


def test_a_process_that_dies_right_after_the_call_makes_no_second_server(shop: Shop) -> None:
    client = shop.client()
    real = client.run_instances

    def dies(**request: Any) -> Any:
        real(**request)
        raise KeyboardInterrupt

    client.run_instances = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        shop.servers(client).scale_up(WEB, 2, KEY, "deploy", RUN)
    assert slots(shop.scale_up(2).servers) == [1, 2]
    shop.await_states("running", "running")
    assert len(shop.servers().find().servers) == 2


def test_a_call_that_is_repeated_before_the_cloud_shows_its_servers_returns_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # EC2 is eventually consistent: what was started may be missing from the list for some seconds.
    blind = shop.servers()
    monkeypatch.setattr(blind, "find", lambda: inventory.Inventory(()))
    first, again = (blind.scale_up(WEB, 1, KEY, "deploy", RUN) for _ in range(2))
    assert [each.instance_id for each in first.started] == [each.instance_id for each in again.started]
    shop.await_listed(each.instance_id for each in first.started)
    assert len(shop.servers().find().servers) == 1
    other_run = blind.scale_up(WEB, 1, KEY, "deploy", instance_start.StartOrder("run-2"))
    assert not {each.instance_id for each in other_run.started} & {each.instance_id for each in first.started}


def test_only_the_slot_that_was_lost_is_filled_again(shop: Shop) -> None:
    first, second = shop.scale_up(2).servers
    shop.await_states("running", "running")
    shop.servers().terminate([first])
    shop.await_states("running")
    scaling = shop.scale_up(2)  # in the same run: somebody cleared the task
    assert slots(scaling.started) == [1]
    assert scaling.kept[0].instance_id == second.instance_id
    assert scaling.started[0].instance_id != first.instance_id
    assert [params["MinCount"] for params in shop.calls("RunInstances")] == [2, 1]


def test_stopped_servers_are_resumed_and_not_replaced(shop: Shop) -> None:
    (server,) = shop.scale_up(1).servers
    shop.await_states("running")
    shop.client().stop_instances(InstanceIds=[server.instance_id])
    # Still stopping: that is waited for.
    scaling = shop.scale_up(2)
    assert [each.instance_id for each in scaling.resumed] == [server.instance_id]
    assert slots(scaling.started) == [2]
    assert scaling.servers[0].instance_id == server.instance_id
    shop.await_states("running", "running")


def test_another_deployments_servers_and_another_tiers_do_not_count(shop: Shop) -> None:
    stranger = dataclasses.replace(shop, name=f"{shop.name}x", asked=[])
    stranger.scale_up(1)
    try:
        shop.servers().scale_up(names.TierName("db"), 1, KEY, "deploy", RUN)
        assert (shop.scale_up(1).before, len(shop.servers().find().servers)) == (0, 2)
    finally:
        stranger.servers().terminate(stranger.servers().find().servers)


def test_every_page_of_the_list_is_read(shop: Shop) -> None:
    for wanted in (1, 2):
        shop.scale_up(wanted)
    client = shop.client()
    real = client.get_paginator

    class OnePerPage:
        def __init__(self, name: Any) -> None:
            self.real = real(name)

        def paginate(self, **request: Any) -> Any:
            return self.real.paginate(**request, PaginationConfig={"PageSize": 1})

    client.get_paginator = OnePerPage  # type: ignore[method-assign, assignment]
    shop.asked.clear()
    assert slots(shop.servers(client).find().servers) == [1, 2]
    assert len(shop.calls("DescribeInstances")) >= 2


# --- contradictions ------------------------------------------------------------------------------------------


def test_two_servers_in_one_slot_are_refused_and_both_named(shop: Shop) -> None:
    first, second = shop.scale_up(2).servers
    shop.client().create_tags(Resources=[second.instance_id], Tags=[{"Key": tags.SLOTS, "Value": "1 1"}])
    with pytest.raises(servers.TwoServersOneSlotError) as refused:
        shop.scale_up(2)
    assert f"server {shop.name}-web-1" in str(refused.value)
    assert {first.instance_id, second.instance_id} == set(refused.value.instances)
    shop.client().delete_tags(Resources=[second.instance_id], Tags=[{"Key": tags.SLOTS}])
    with pytest.raises(tags.UnreadableTagsError, match=second.instance_id):
        shop.servers().find()


# --- what the cloud refuses ----------------------------------------------------------------------------------


def test_an_unknown_image_is_named_with_what_to_check(shop: Shop) -> None:
    shop.image = "ami-0123456789abcdef0"
    with pytest.raises(errors.CloudError) as refused:
        shop.scale_up(1)
    said = str(refused.value)
    assert (
        f"starting {shop.name}-web-1 from ami-0123456789abcdef0: the cloud answered InvalidAMIID.NotFound"
        in said
    )
    assert "Check the image of the launch configuration" in said
    assert "'aws_shop'" in said
    assert not refused.value.transient


def test_an_image_is_found_by_its_name_among_the_accounts_own_only(shop: Shop) -> None:
    shop.image = "no-such-image"
    with pytest.raises(
        images.UnknownImageError, match="unknown image 'no-such-image': this account has no image"
    ):
        shop.scale_up(1)
    assert shop.calls("DescribeImages")[-1]["Owners"] == ["self"]
    assert shop.calls("RunInstances") == []
    shop.image = "gantry-debian-12"
    assert slots(shop.scale_up(1).servers) == [1]


def test_refused_credentials_name_the_connection(shop: Shop) -> None:
    for wrong in ({"secret": "guessed"}, {"key": "AKIAAAAAAAAAAAAAAAAA"}):
        with pytest.raises(errors.CloudError) as refused:
            shop.servers(shop.client(**wrong)).find()
        assert f"listing the servers of {shop.name}: the cloud answered AuthFailure" in str(refused.value)
        assert "Check the credentials and rights of the Airflow connection 'aws_shop'" in str(refused.value)
        assert not refused.value.transient


def test_an_endpoint_that_does_not_answer_names_the_connection_and_may_pass(shop: Shop) -> None:
    with pytest.raises(errors.CloudUnreachableError, match="Check the Airflow connection 'aws_shop'") as lost:
        shop.servers(shop.client(endpoint_url="http://127.0.0.1:9")).find()
    assert "127.0.0.1:9" in str(lost.value)
    assert lost.value.transient


def test_a_connection_that_does_not_exist_is_not_replaced_by_the_workers_own_credentials(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHEWORKER00000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the worker")
    with pytest.raises(errors.CloudConnectionError, match="'aws_shop'"):
        clients.ec2(shop.definition().cloud)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_SHOP", shop.cloud.aws_connection_json())
    assert shop.servers(clients.ec2(shop.definition().cloud)).find() == inventory.Inventory(())


# --- host keys -----------------------------------------------------------------------------------------------


def test_a_servers_host_key_is_read_from_its_console_and_pinned_with_its_instance(booting: Shop) -> None:
    (server,) = booting.scale_up(1).servers
    found = booting.servers()
    deadline = time.monotonic() + 120
    while (host_key := found.console_host_key(server)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert host_key.startswith("ssh-ed25519 ")
    found.pin_host_key(server, host_key)
    (pinned,) = found.find().servers
    assert pinned.host_key == host_key
    assert {"Key": "Name", "Value": pinned.name} in booting.raw(pinned)["Tags"]


def test_an_older_instance_type_shows_what_its_console_has(booting: Shop) -> None:
    (server,) = booting.scale_up(1).servers
    client = booting.client()
    real = client.get_console_output

    def older(**request: Any) -> Any:
        if request.get("Latest"):
            raise client.exceptions.ClientError(
                {"Error": {"Code": "UnsupportedOperation", "Message": "not on Nitro"}}, "GetConsoleOutput"
            )
        return real(**request)

    client.get_console_output = older  # type: ignore[method-assign]
    booting.servers(client).console_host_key(server)


# --- the end -------------------------------------------------------------------------------------------------


def test_terminated_servers_are_gone_and_their_slots_free(shop: Shop) -> None:
    found = shop.scale_up(1)
    cloud = shop.servers()
    cloud.terminate(found.servers)
    deadline = time.monotonic() + 120
    while cloud.ending(WEB):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert cloud.find() == inventory.Inventory(())
    cloud.terminate(found.servers)
    new = shop.scale_up(1, "run-2")
    assert slots(new.started) == [1]
    # EC2 refuses the whole request when it has forgotten one of the instances.
    with (
        shop.an_hour_later(),
        pytest.raises(errors.CloudError, match="does not exist\nThis is often temporary"),
    ):
        cloud.terminate([*found.servers, *new.servers])
    assert [each.instance_id for each in cloud.find()] == [each.instance_id for each in new.servers]
