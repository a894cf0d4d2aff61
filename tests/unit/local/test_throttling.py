"""The embedded cloud allows as many calls as EC2 does, by AWS's documented token buckets."""

from __future__ import annotations

import pytest

from gantry.local.cloud import throttling

REGION = "eu-central-1"


class Account:
    """Calls to an account, at moments of the test's choosing."""

    def __init__(self) -> None:
        self.now = 0.0
        self._buckets = throttling.Buckets(lambda: self.now)

    def allowed(
        self,
        action: str,
        calls: int,
        form: dict[str, str] | None = None,
        *,
        region: str = REGION,
        allowance: float = 1,
    ) -> int:
        """How many of some calls are answered."""
        parameters = {"Action": [action], **{key: [value] for key, value in (form or {}).items()}}
        return sum(self._buckets.allow(region, parameters, allowance) for _ in range(calls))


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.mark.parametrize(
    ("action", "holds", "refill"),
    [
        ("GetConsoleOutput", 100, 20),
        ("DescribeImages", 100, 20),
        ("DescribeInstances", 50, 10),
        ("RebootInstances", 50, 5),
        ("RunInstances", 5, 2),
        ("StartInstances", 5, 2),
        ("TerminateInstances", 100, 5),
        ("CreateTags", 100, 10),
    ],
)
def test_each_action_has_a_bucket_of_its_kind(account: Account, action: str, holds: int, refill: int) -> None:
    assert account.allowed(action, 200) == holds
    account.now += 1
    assert account.allowed(action, 200) == refill
    # It is not filled beyond its size, however long nobody calls.
    account.now += 3600
    assert account.allowed(action, 200) == holds


@pytest.mark.parametrize("narrowed", [{"Filter.1.Name": "tag:a"}, {"MaxResults": "5"}])
def test_a_list_of_everything_is_dearer_than_a_part_of_it(account: Account, narrowed: dict[str, str]) -> None:
    assert account.allowed("DescribeInstances", 200) == 50
    assert account.allowed("DescribeInstances", 200, narrowed) == 100


def test_one_action_takes_no_tokens_of_another_nor_of_another_region(account: Account) -> None:
    assert account.allowed("GetConsoleOutput", 200) == 100
    assert account.allowed("DescribeImages", 1) == 1
    assert account.allowed("GetConsoleOutput", 200, region="eu-west-1") == 100


def test_each_instance_of_a_call_takes_a_token_too(account: Account) -> None:
    assert account.allowed("RunInstances", 3, {"MaxCount": "400"}) == 2
    assert account.allowed("RunInstances", 3, {"MaxCount": "200"}) == 1
    # The calls would be allowed again after a second, and two instances.
    account.now += 1
    assert account.allowed("RunInstances", 1, {"MaxCount": "3"}) == 0
    assert account.allowed("RunInstances", 1, {"MaxCount": "2"}) == 1


def test_an_account_may_be_allowed_more(account: Account) -> None:
    assert account.allowed("RunInstances", 200, allowance=10) == 50
    account.now += 1
    assert account.allowed("RunInstances", 200, allowance=10) == 20
