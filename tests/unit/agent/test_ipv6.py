"""Servers of an IPv6-only subnet: known, reached and told of by their one address."""

from __future__ import annotations

import datetime
import re
from typing import Any

import pytest

from gantry import names
from gantry.agent import addresses
from gantry.cloud import tags
from gantry.reconcile import load_balancer_work, rolling_update_work

from .world import SERVERS, World

FRONT, APP = names.BalancerName("front"), names.ServiceName("app")
IPV6 = {short: f"2001:db8::{number:x}" for number, short in enumerate(SERVERS, 0x10)}
SAFE_JOB = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
SAFE_MARK = re.compile(r"[A-Za-z0-9._/-]+")
"""What the agent's script `job` takes as a job's name, and as a mark's key."""


@pytest.fixture
def world() -> World:
    return World(addresses=IPV6)


@pytest.mark.parametrize(
    ("found", "private", "public"),
    [
        ({"Ipv6Address": "2001:db8::1"}, "2001:db8::1", "2001:db8::1"),
        (
            {"NetworkInterfaces": [{"Ipv6Addresses": [{"Ipv6Address": "2001:db8::1"}]}]},
            "2001:db8::1",
            "2001:db8::1",
        ),
        ({"PrivateIpAddress": "10.0.0.1", "Ipv6Address": "2001:db8::1"}, "10.0.0.1", None),
        (
            {"PrivateIpAddress": "10.0.0.1", "PublicIpAddress": "203.0.113.7", "Ipv6Address": "2001:db8::1"},
            "10.0.0.1",
            "203.0.113.7",
        ),
        ({"NetworkInterfaces": [{"Ipv6Addresses": []}]}, None, None),
        ({}, None, None),
    ],
    ids=["of the instance", "of its interface", "dual stack", "dual stack in public", "none", "nothing yet"],
)
def test_ipv4_is_taken_where_there_is_one_and_ipv6_where_there_is_no_other(
    world: World, found: dict[str, Any], private: str | None, public: str | None
) -> None:
    instance: Any = {
        "InstanceId": "i-1",
        "State": {"Name": "running"},
        "ImageId": "ami-1",
        "LaunchTime": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        "Tags": [
            {"Key": tags.DEPLOYMENT, "Value": "bookshop"},
            {"Key": tags.TIER, "Value": "database"},
            {"Key": tags.SLOTS, "Value": "1"},
        ],
        **found,
    }
    server = tags.server(world.facts().definition, instance)
    assert (server.private_address, server.public_address) == (private, public)


def test_enstratus_cfg_has_plain_addresses_without_brackets(world: World) -> None:
    found = world.facts().service_file(APP, world.server("application-1")).decode()
    assert f"\naddresses={IPV6['application-1']}\n" in found
    assert re.search(rf"readHosts={IPV6['database-1']}\n", found)
    assert "[2001" not in found


def test_names_of_jobs_and_marks_hold_no_colons_and_scripts_get_the_address_itself(world: World) -> None:
    known, proxy = world.facts(), world.server("proxy-1")
    node = IPV6["application-1"]
    begun = load_balancer_work.start_proxy(known, FRONT, proxy, {})
    joins = [job for job in begun.jobs if node in job.arguments]
    assert joins
    assert joins[0].mark is not None
    # A node that is nobody's any more is let go of by the address in its mark.
    old = joins[0].mark[0].replace(addresses.word(node), addresses.word("2001:db8::dead"))
    again = load_balancer_work.start_proxy(known, FRONT, proxy, {old: "80 x"})
    leave = again.jobs[0]
    assert (leave.call, leave.unmark) == ("stopProxy 2001:db8::dead", (old,))
    stop = load_balancer_work.stop_proxy(known.definition, FRONT, {old: "80 x"})
    assert stop.jobs[0].call == "stopProxy 2001:db8::dead"
    out = rolling_update_work.leave(known.definition, APP, proxy, [world.server("application-1")], "1")
    for job in (*begun.jobs, *again.jobs, *stop.jobs, *out.jobs):
        assert SAFE_JOB.fullmatch(job.name), job.name
        for key in (*job.unmark, *(key for key, _ in job.notes), *([job.mark[0]] if job.mark else [])):
            assert SAFE_MARK.fullmatch(key), key


def test_an_address_stands_in_brackets_before_a_port() -> None:
    assert [addresses.in_url(each) for each in ("10.0.0.1", "2001:db8::1")] == ["10.0.0.1", "[2001:db8::1]"]


@pytest.mark.parametrize("address", ["10.0.0.1", "2001:db8::1", "fd00::a:1"])
def test_a_word_is_read_as_the_address_that_it_was_made_of(address: str) -> None:
    assert addresses.of_word(addresses.word(address)) == address
