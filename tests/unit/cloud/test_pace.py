"""EC2 is asked at a pace, and what it refuses for a while costs time and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore import awsrequest, compat, session
from botocore.retries import standard

from gantry import names
from gantry.cloud import clients, errors, pace, transient_errors
from gantry.definition import models

AWS = names.ConnectionId("aws_shop")
CLOUD = models.Cloud(region="eu-central-1", connection=AWS)
Connect = Callable[..., Any]


class Clock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(pace, "time", found)
    monkeypatch.setattr(pace, "_paces", {})
    return found


def moments(clock: Clock, operation: str, count: int) -> list[float]:
    """When calls go out that are made one after the other, from now on."""
    found, begun = [], clock.now
    for _ in range(count):
        pace.of(AWS, "eu-central-1").wait(operation)
        found.append(clock.now - begun)
    return found


def test_calls_go_out_two_a_second_once_the_first_ten_are_made(clock: Clock) -> None:
    assert moments(clock, "DescribeInstances", 13) == [0.0] * 10 + [0.5, 1.0, 1.5]
    # After a rest, some may be made at once again.
    clock.now += 2
    assert moments(clock, "CreateTags", 6) == [0.0] * 4 + [0.5, 1.0]


def test_consoles_are_never_read_at_once(clock: Clock) -> None:
    assert moments(clock, "GetConsoleOutput", 4) == [0.0, 0.5, 1.0, 1.5]
    # And other calls do not wait for them.
    assert pace.of(AWS, "eu-central-1").reserve("DescribeInstances") == 0


def test_processes_that_wait_side_by_side_keep_the_pace_of_one(clock: Clock) -> None:
    with pace.shared(8):
        assert moments(clock, "DescribeInstances", 7) == [0.0] * 5 + [4.0, 8.0]
    with pace.shared(24):
        assert moments(clock, "GetConsoleOutput", 3) == [0.0, 12.0, 24.0]


def test_what_was_reserved_is_not_waited_for_twice(clock: Clock) -> None:
    found = pace.of(AWS, "eu-central-1")
    assert found.reserve("GetConsoleOutput") == 0
    with pace.reserved():
        assert moments(clock, "GetConsoleOutput", 2) == [0.0, 0.5]


def test_another_account_and_another_region_have_a_pace_of_their_own(clock: Clock) -> None:
    moments(clock, "DescribeInstances", 11)
    assert pace.of(AWS, "eu-west-1").reserve("DescribeInstances") == 0
    assert pace.of(names.ConnectionId("other"), "eu-central-1").reserve("DescribeInstances") == 0


# --- clients ---------------------------------------------------------------------------------------------------


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Connect:
    """Makes an Airflow connection, and the client that steps have of it."""
    monkeypatch.setattr(time, "sleep", clock.sleep)

    def connection(**extra: Any) -> Any:
        given = {"conn_type": "aws", "login": "AKIAEXAMPLE", "password": "secret", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_SHOP", json.dumps(given))
        return clients.ec2(CLOUD)

    return connection


def refuse(client: Any, code: str, status: int, times: int) -> list[str]:
    """Have EC2 refuse the next calls; what was called, in order."""
    called: list[str] = []

    def answer(request: Any, event_name: str, **_: Any) -> Any:
        called.append(event_name.rpartition(".")[2])
        error = f"<Errors><Error><Code>{code}</Code><Message>-</Message></Error></Errors>"
        is_refused = len(called) <= times
        found: Any = awsrequest.AWSResponse(
            request.url, status if is_refused else 200, compat.HTTPHeaders(), None
        )
        found._content = f"<Response>{error if is_refused else ''}</Response>".encode()
        return found

    # Behind those that wait.
    client.meta.events.register("before-send.ec2.*", answer)
    return called


def test_each_call_of_a_client_keeps_the_pace_repeated_ones_too(connect: Connect, clock: Clock) -> None:
    client, begun = connect(), clock.now
    called = refuse(client, "RequestLimitExceeded", 503, 3)
    for _ in range(20):
        client.describe_instances()
    assert len(called) == 23
    assert clock.now - begun >= (23 - 10) / 2


@pytest.mark.parametrize("code", ["RequestLimitExceeded", "Throttling"])
def test_a_throttled_call_is_repeated_for_half_a_minute(connect: Connect, clock: Clock, code: str) -> None:
    client = connect()
    called = refuse(client, code, 503, transient_errors.ATTEMPTS - 1)
    client.describe_instances()
    assert len(called) == transient_errors.ATTEMPTS
    assert clock.now > 1000


def test_how_often_a_call_is_repeated_is_said_by_the_connection_or_the_environment(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def settings(**config: Any) -> tuple[str, int]:
        found = connect(config_kwargs=config).meta.config.retries
        return found["mode"], found["total_max_attempts"]

    # botocore's own has changed from one version to the next.
    default = session.get_session().get_config_variable("retry_mode")
    assert settings() == (default, 8)
    assert settings(user_agent_extra="acme") == (default, 8)
    assert settings(retries={"mode": "adaptive"}) == ("adaptive", 8)
    assert settings(retries={"mode": "legacy", "max_attempts": 2}) == ("legacy", 3)
    assert settings(retries={"total_max_attempts": 4}) == (default, 4)
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
    assert settings() == ("adaptive", 8)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    assert settings() == ("adaptive", 5)


@pytest.mark.parametrize("mode", ["standard", "adaptive", "legacy"])
def test_an_instance_that_is_not_known_yet_is_asked_for_again(connect: Connect, mode: str) -> None:
    client = connect(config_kwargs={"retries": {"mode": mode}})
    called = refuse(client, "InvalidInstanceID.NotFound", 400, 3)
    client.create_tags(Resources=["i-1"], Tags=[{"Key": "a", "Value": "b"}])
    assert called == ["CreateTags"] * 4


def test_an_instance_that_stays_unknown_is_told_of_and_the_task_is_tried_again(connect: Connect) -> None:
    client = connect()
    called = refuse(client, "InvalidInstanceID.NotFound", 400, 1000)
    with (
        pytest.raises(errors.CloudError, match="tried again") as refused,
        errors.worded("reading a console", AWS),
    ):
        client.get_console_output(InstanceId="i-1")
    assert len(called) == 5
    assert (refused.value.code, refused.value.transient) == ("InvalidInstanceID.NotFound", True)


def test_what_botocore_takes_for_throttling_passes() -> None:
    others = {
        # Of DynamoDB and Lambda, Route 53, and of everything that has no rate.
        *("ProvisionedThroughputExceededException", "TransactionInProgressException"),
        *("PriorRequestNotComplete", "LimitExceededException"),
    }
    checker: Any = standard.ThrottledRetryableChecker
    assert set(checker._THROTTLED_ERROR_CODES) - others == errors.THROTTLED


@pytest.mark.parametrize("code", ["InsufficientFreeAddressesInSubnet", "InstanceLimitExceeded"])
def test_what_is_short_for_a_while_is_tried_again(code: str) -> None:
    error = errors.CloudError("starting web-1", code, "-", AWS)
    assert error.transient
    assert not error.waits
