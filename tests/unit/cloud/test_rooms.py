"""Where a subnet has no room the next one is tried, and whatever dies on the way, no slot gets a second server."""

from __future__ import annotations

import datetime
import logging
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from gantry import definition, names
from gantry.cloud import errors, instance_start, requests

WEB = names.TierName("web")
ZONES = ("subnet-a", "subnet-b", "subnet-c")
NO_ROOM = "InsufficientInstanceCapacity"


class Died(Exception):  # noqa: N818 - a worker's end, not an error of ours
    """The worker dies in the middle of a call."""


class Ec2:
    """EC2 as far as RunInstances goes: rooms of some size, tokens that are remembered, lists that nobody sees."""

    def __init__(self, **room: int) -> None:
        self.room = {f"subnet-{zone}": room.get(zone, 0) for zone in "abc"}
        self.code = NO_ROOM
        self.started: list[tuple[str, int]] = []
        self.tokens: dict[tuple[str, str], tuple[Any, list[dict[str, Any]]]] = {}
        self.dies_in: str | None = None

    def run_instances(self, **request: Any) -> dict[str, Any]:
        token, subnet = request.pop("ClientToken"), requests.subnet_in(cast("Any", request)) or ""
        # EC2 remembers them by zone.
        if (subnet, token) in self.tokens:
            known, instances = self.tokens[subnet, token]
            if known != request:
                self._refuse("IdempotentParameterMismatch")
            return {"Instances": instances}
        count = min(request["MaxCount"], self.room.get(subnet, 99))
        if count < request["MinCount"]:
            self._refuse(self.code)
        self.room[subnet] = self.room.get(subnet, 99) - count
        slots = self._tags(request)["gantry:slots"].split()
        instances = [self._instance(request, index, len(self.started) + index) for index in range(count)]
        self.started += [(subnet, int(slot)) for slot in slots[:count]]
        self.tokens[subnet, token] = (request, instances)
        if subnet == self.dies_in:
            raise Died
        return {"Instances": instances}

    def _tags(self, request: Any) -> dict[str, str]:
        return {each["Key"]: each["Value"] for each in request["TagSpecifications"][0]["Tags"]}

    def _instance(self, request: Any, index: int, number: int) -> dict[str, Any]:
        return {
            "InstanceId": f"i-{number}",
            "AmiLaunchIndex": index,
            "ImageId": "ami-1",
            "State": {"Name": "pending"},
            "LaunchTime": datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC),
            "Tags": request["TagSpecifications"][0]["Tags"],
        }

    def _refuse(self, code: str) -> None:
        error = {"Error": {"Code": code, "Message": "words of EC2's"}}
        raise ClientError(error, "RunInstances")  # type: ignore[arg-type]


class DataLocations:
    """What a step notes of its tries, as `gantry.runtime.recent_starts` does."""

    def __init__(self) -> None:
        self.full: frozenset[str] = frozenset()
        self.told: list[int] = []

    def order(self) -> instance_start.StartOrder:
        return instance_start.StartOrder(
            "run", "1", tell=self._tell, full=self.full, tell_full=self._tell_full
        )

    def _tell(self, servers: Any) -> None:
        self.told += [each.slot for each in servers]

    def _tell_full(self, full: frozenset[str]) -> None:
        self.full = full


def start(
    ec2: Ec2,
    slots: int,
    memory: DataLocations | None = None,
    subnets: tuple[str, ...] = ZONES,
    more: str = "",
) -> list[int]:
    """Start the first slots as a scaling event does, those that are noted already left out; which have servers now."""
    memory = memory or DataLocations()
    shop = definition.loads(
        f"""\
deployment: shop
cloud: {{region: eu-central-1}}
launch_configurations:
  debian: {{image: ami-1, ssh: {{connection: shop_ssh}}, network: {{subnets: [{", ".join(subnets)}]{more}}}}}
tiers:
  web: {{launch_configuration: debian, servers: {{min: 1, max: 200}}}}
services: {{}}
"""
    )
    starter = instance_start.Starter(cast("Any", ec2), shop, WEB, logging.getLogger("gantry"))
    network = shop.launch_configurations["debian"].network
    found: list[int] = []
    # The cloud lists what was told of: the step waits for that.
    missing = [names.Slot(number) for number in range(1, slots + 1) if number not in memory.told]
    for batch in requests.calls(network, missing):
        found += [each.slot for each in starter.start(batch, "ami-1", "#cloud-config", memory.order())]
    return sorted({*found, *memory.told})


def test_with_room_everywhere_each_server_stands_in_its_own_subnet() -> None:
    ec2 = Ec2(a=9, b=9, c=9)
    assert start(ec2, 4) == [1, 2, 3, 4]
    assert ec2.started == [("subnet-a", 1), ("subnet-a", 4), ("subnet-b", 2), ("subnet-c", 3)]


@pytest.mark.parametrize("more", ["", ", public_address: true"], ids=["instance", "interface"])
@pytest.mark.parametrize("code", [NO_ROOM, "InsufficientFreeAddressesInSubnet", "Unsupported"])
def test_what_a_subnet_has_no_room_for_stands_in_the_next_one_and_the_log_says_so(
    code: str, more: str, caplog: pytest.LogCaptureFixture
) -> None:
    ec2 = Ec2(b=9)
    ec2.code = code
    assert start(ec2, 3, more=more) == [1, 2, 3]
    assert sorted(ec2.started) == [("subnet-b", 1), ("subnet-b", 2), ("subnet-b", 3)]
    assert f"subnet-a has no room for shop-web-1 ({code}: words of EC2's)" in caplog.text
    # What is known to be full is not asked again.
    assert caplog.text.count("subnet-a has no room") == 1


def test_a_subnet_that_has_room_for_some_of_a_batch_gets_these() -> None:
    ec2 = Ec2(a=2, b=1, c=9)
    assert start(ec2, 9) == list(range(1, 10))
    assert [slot for subnet, slot in ec2.started if subnet == "subnet-a"] == [1, 4]
    assert len({slot for _, slot in ec2.started}) == len(ec2.started) == 9


def test_without_another_subnet_it_is_all_or_nothing_and_ec2s_own_words() -> None:
    ec2 = Ec2(a=2)
    with pytest.raises(errors.CloudError, match=f"the cloud answered {NO_ROOM}") as refused:
        start(ec2, 3, subnets=("subnet-a",))
    assert refused.value.transient
    assert ec2.started == []


def test_where_no_subnet_has_room_each_of_them_is_named_and_the_next_try_begins_anew() -> None:
    ec2, memory = Ec2(a=1), DataLocations()
    with pytest.raises(instance_start.NoRoomError) as refused:
        start(ec2, 4, memory)
    assert memory.told == [1]
    for subnet in ZONES:
        assert f"{subnet}: {NO_ROOM}" in str(refused.value)
    assert refused.value.transient
    ec2.room["subnet-a"] = 9
    assert start(ec2, 4, memory) == [1, 2, 3, 4]
    assert len(ec2.started) == 4


def test_a_size_that_no_zone_offers_is_not_waited_for() -> None:
    ec2 = Ec2()
    ec2.code = "Unsupported"
    with pytest.raises(instance_start.NoRoomError) as refused:
        start(ec2, 1)
    assert not refused.value.transient


def test_what_has_nothing_to_do_with_room_is_no_reason_to_go_elsewhere() -> None:
    ec2 = Ec2(b=9)
    ec2.code = "InvalidSubnetID.NotFound"
    with pytest.raises(errors.CloudError, match=r"InvalidSubnetID\.NotFound"):
        start(ec2, 1)
    assert ec2.started == []


@pytest.mark.parametrize("room", [0, 1])
def test_a_worker_that_dies_in_the_second_subnet_leaves_no_second_server_behind(room: int) -> None:
    """Also if the first subnet has room again by the next try, and the cloud does not list the new server yet."""
    ec2, memory = Ec2(a=room, b=9), DataLocations()
    ec2.dies_in = "subnet-b"
    with pytest.raises(Died):
        start(ec2, 4, memory)
    ec2.dies_in, ec2.room["subnet-a"] = None, 9
    assert start(ec2, 4, memory) == [1, 2, 3, 4]
    assert sorted(slot for _, slot in ec2.started) == [1, 2, 3, 4]
