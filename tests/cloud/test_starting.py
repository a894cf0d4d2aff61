"""What is started, and started again: once for each try that a person asked for, and never a dead server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from gantry import inventory, names
from gantry.cloud import eventual_listing, instance_start, servers

from .conftest import KEY, WEB, Shop

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

pytestmark = pytest.mark.docker


def ids(found: Any) -> list[str]:
    return [each.instance_id for each in found]


def end(shop: Shop, *instances: str, shown: bool = True) -> None:
    """Terminate instances, and wait until they are; and let an hour go by, after which EC2 does not show them."""
    client = shop.client()
    client.terminate_instances(InstanceIds=list(instances))
    deadline = time.monotonic() + 120
    while (states := _states(client, instances)) != {"terminated"}:
        assert time.monotonic() < deadline, f"not within 120 s: {states}"
        time.sleep(0.1)
    if not shown:
        with shop.an_hour_later():
            assert not _states(client, instances)


def _states(client: EC2Client, instances: tuple[str, ...]) -> set[str]:
    found = client.describe_instances(Filters=[{"Name": "instance-id", "Values": list(instances)}])
    return {each["State"]["Name"] for one in found["Reservations"] for each in one["Instances"]}


def blind(shop: Shop, wanted: int, generation: str = "0") -> servers.Scaling:
    """Scale up while EC2 lists nothing: what was started some moments ago may be missing there."""
    found = shop.servers()
    found.find = lambda: inventory.Inventory(())  # type: ignore[method-assign]
    return found.scale_up(WEB, wanted, KEY, "deploy", instance_start.StartOrder("run-1", generation))


def calls(shop: Shop) -> int:
    return len(shop.calls("RunInstances"))


# --- a server that has ended -----------------------------------------------------------------------------------


def test_a_clear_the_morning_after_starts_a_server_and_is_not_answered_with_last_nights(shop: Shop) -> None:
    (night,) = shop.scale_up(1, generation="2").started
    end(shop, night.instance_id, shown=False)
    (morning,) = shop.scale_up(1, generation="5").started
    assert morning.instance_id != night.instance_id
    assert morning.state is inventory.InstanceState.PENDING
    assert calls(shop) == 2


@pytest.mark.parametrize("shown", [True, False])
def test_a_retry_whose_server_has_ended_asks_again_and_once_only(shop: Shop, *, shown: bool) -> None:
    (first,) = shop.scale_up(1).started
    end(shop, first.instance_id, shown=shown)
    (second,) = shop.scale_up(1).started
    assert second.instance_id != first.instance_id
    # The answer got lost, and the new server is not listed yet: the next try goes along the same tokens.
    assert ids(blind(shop, 1).started) == [second.instance_id]
    assert ids(shop.servers().find()) == [second.instance_id]


def test_of_a_batch_only_what_has_ended_is_started_again(shop: Shop) -> None:
    first, second = shop.scale_up(2).started
    end(shop, first.instance_id)
    found = blind(shop, 2).started
    assert [each.slot for each in found] == [1, 2]
    assert found[1].instance_id == second.instance_id
    assert found[0].instance_id != first.instance_id
    assert ids(blind(shop, 2).started) == ids(found)
    shop.await_listed(ids(found))
    assert sorted(ids(shop.servers().find())) == sorted(ids(found))


def test_a_server_that_leaves_already_does_not_count_as_started(shop: Shop) -> None:
    (first,) = shop.scale_up(1).started
    shop.servers().give_up(first, "it does not answer")
    (second,) = shop.scale_up(1).started
    assert second.instance_id != first.instance_id


def test_an_answer_that_only_says_that_the_server_has_ended_is_understood(shop: Shop) -> None:
    # EC2 has been seen to refuse such a token instead of describing the terminated instance.
    (first,) = shop.scale_up(1).started
    end(shop, first.instance_id)
    client = shop.client()
    real = client.run_instances

    def refuses(**request: Any) -> Any:
        answer = real(**request)
        if any(each["State"]["Name"] == "terminated" for each in answer["Instances"]):
            error = {"Code": "IdempotentInstanceTerminated", "Message": "use a different client token"}
            raise ClientError({"Error": error}, "RunInstances")  # type: ignore[typeddict-item]
        return answer

    client.run_instances = refuses  # type: ignore[method-assign]
    (second,) = shop.scale_up(1, client=client).started
    assert second.instance_id != first.instance_id


def test_servers_that_end_each_time_are_given_up(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_start, "_MOST_TOKENS", 2)
    end(shop, *ids(shop.scale_up(1).started))
    end(shop, *ids(shop.scale_up(1).started))
    with pytest.raises(instance_start.DeadServersError, match=f"{shop.name}-web-1: 2 instances were started"):
        shop.scale_up(1)
    assert len(shop.scale_up(1, generation="1").started) == 1


# --- a definition that was corrected ---------------------------------------------------------------------------


def test_a_corrected_definition_is_no_mismatch_after_a_clear(shop: Shop) -> None:
    (first,) = shop.scale_up(1).started
    end(shop, first.instance_id, shown=False)
    shop.more = "tags: {team: red}"
    (second,) = shop.scale_up(1, generation="1").started
    assert {"Key": "team", "Value": "red"} in shop.raw(second)["Tags"]


def test_a_retry_with_another_definition_makes_no_second_server(shop: Shop) -> None:
    (first,) = shop.scale_up(1).started
    shop.more = "tags: {team: red}"
    assert ids(blind(shop, 1).started) == [first.instance_id]
    assert ids(shop.servers().find()) == [first.instance_id]
    # It leaves by now, so there is none that would be the second one.
    shop.servers().give_up(first, "it does not answer")
    (second,) = shop.scale_up(1).started
    assert second.instance_id != first.instance_id


def test_a_server_of_a_retry_that_nothing_shows_is_waited_for(shop: Shop) -> None:
    (first,) = shop.scale_up(1).started
    end(shop, first.instance_id, shown=False)
    shop.more = "tags: {team: red}"
    with pytest.raises(instance_start.HiddenServersError, match="started them with other settings") as raised:
        shop.scale_up(1)
    assert raised.value.transient


# --- a server that is not listed yet ---------------------------------------------------------------------------


def late(shop: Shop, hidden: str, looks: int) -> EC2Client:
    """A client to whom EC2 does not show an instance at first."""
    client = shop.client()
    real = client.get_paginator
    left = [looks]

    class Late:
        def __init__(self, name: Any) -> None:
            self._real = real(name)

        def paginate(self, **request: Any) -> Any:
            hides = left[0] > 0
            left[0] -= 1
            for page in self._real.paginate(**request):
                for one in page["Reservations"]:
                    one["Instances"] = [
                        each for each in one["Instances"] if not hides or each["InstanceId"] != hidden
                    ]
                yield page

    client.get_paginator = Late  # type: ignore[method-assign, assignment]
    return client


def test_a_step_waits_until_what_was_started_is_listed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventual_listing, "_SHORTEST", 0.05)
    first, second = shop.scale_up(2).started
    started = ids([first, second])
    assert ids(shop.servers(late(shop, second.instance_id, 1)).find()) == [first.instance_id]
    assert ids(shop.servers(late(shop, second.instance_id, 5)).find_with(started)) == started
    assert ids(shop.servers(late(shop, second.instance_id, 5)).everything(started)) == started


def test_a_list_that_stays_too_short_is_never_taken_for_the_whole(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventual_listing, "_SHORTEST", 0.05)
    monkeypatch.setattr(eventual_listing, "_LISTED_WITHIN", 0.2)
    (server,) = shop.scale_up(1).started
    with pytest.raises(eventual_listing.NotListedYetError, match=server.instance_id) as raised:
        shop.servers(late(shop, server.instance_id, 1000)).find_with([server.instance_id])
    assert raised.value.transient


def test_a_server_that_has_ended_is_not_waited_for(shop: Shop) -> None:
    (server,) = shop.scale_up(1).started
    end(shop, server.instance_id)
    assert ids(shop.servers().find_with([server.instance_id])) == []


def test_new_servers_are_told_of_as_soon_as_the_cloud_has_named_them(shop: Shop) -> None:
    shop.more = f"network: {{subnets: [{shop.cloud.subnet_id}, subnet-00000000]}}"
    told: list[list[str]] = []
    order = instance_start.StartOrder("run-1", tell=lambda found: told.append(ids(found)))
    with pytest.raises(Exception, match="InvalidSubnetID"):
        shop.servers().scale_up(WEB, 2, KEY, "deploy", order)
    # The call for the other subnet failed; the cleanup has to know of this one all the same.
    shop.await_listed(told[0])
    assert told == [ids(shop.servers().find())]


def test_a_clear_waits_for_the_server_that_the_try_before_has_just_started(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventual_listing, "_SHORTEST", 0.05)
    (server,) = shop.scale_up(1).started
    order = instance_start.StartOrder("run-1", "1", before=frozenset({server.instance_id}))
    cloud = shop.servers(late(shop, server.instance_id, 5))
    assert ids(cloud.scale_up(WEB, 1, KEY, "deploy", order).kept) == [server.instance_id]


# --- new, and not new any more ---------------------------------------------------------------------------------


def test_a_server_is_new_until_the_deployment_has_been_running_with_it(shop: Shop) -> None:
    (first,) = shop.scale_up(1).started
    assert first.is_new
    cloud = shop.servers()
    cloud.note_arrived(cloud.find().servers)
    shop.scale_up(2)
    assert [(each.slot, each.is_new) for each in cloud.find()] == [(1, False), (2, True)]
    # A repeated answer does not bring it back.
    assert not any(each.is_new for each in shop.scale_up(1).servers if each.slot == 1)


def test_a_listing_of_everything_refuses_nothing(shop: Shop) -> None:
    first, second = shop.scale_up(2).started
    (third,) = (
        shop.servers()
        .scale_up(names.TierName("db"), 1, KEY, "deploy", instance_start.StartOrder("run-1"))
        .started
    )
    shop.await_listed([third.instance_id])
    client = shop.client()
    client.create_tags(Resources=[second.instance_id], Tags=[{"Key": "gantry:slots", "Value": "1 1"}])
    client.delete_tags(Resources=[third.instance_id], Tags=[{"Key": "gantry:tier"}])
    found = shop.servers().everything().servers
    assert ids(found) == [third.instance_id, *sorted(ids([first, second]))]
    assert [each.name for each in found] == [third.instance_id, f"{shop.name}-web-1", f"{shop.name}-web-1"]
    assert [each.unreadable for each in found] == ["its tag gantry:tier is missing", None, None]
    shop.servers().terminate(found)
    deadline = time.monotonic() + 120
    while shop.servers().ending(None):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert shop.servers().everything().everything == ()


def test_an_instance_that_lost_the_deployments_tag_is_known_by_its_id_alone(shop: Shop) -> None:
    (server,) = shop.scale_up(1).started
    shop.client().delete_tags(Resources=[server.instance_id], Tags=[{"Key": "gantry:deployment"}])
    cloud = shop.servers()
    try:
        assert cloud.everything().everything == ()
        assert cloud.living([server.instance_id, "i-00000000000000000"]) == (server.instance_id,)
    finally:
        end(shop, server.instance_id)
    assert cloud.living([server.instance_id]) == ()
    assert cloud.living([]) == ()
