"""How the cloud is asked for a page: soon answered, and not by every reader anew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from gantry import inventory, names
from gantry.cloud import clients, errors
from gantry.definition import models
from gantry.web.queries import cloud_facts

EMPTY = inventory.Inventory(())


class Asked:
    """Stands for the cloud: counts, and answers when it is let."""

    def __init__(self) -> None:
        self.times = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.answer = cloud_facts.CloudAnswer(EMPTY)

    def __call__(self, _: models.Definition) -> cloud_facts.CloudAnswer:
        self.times += 1
        assert self.may_answer.wait(30)
        return self.answer


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    found = Asked()
    monkeypatch.setattr(cloud_facts, "_find", found)
    yield found
    found.may_answer.set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [1000.0]
    monkeypatch.setattr("gantry.web.queries.cloud_facts.time.monotonic", lambda: now[0])

    def later(seconds: float) -> None:
        now[0] += seconds

    return later


def test_many_readers_are_one_question(
    bookshop: models.Definition, asked: Asked, clock: Callable[[float], None]
) -> None:
    found = cloud_facts.CloudReader()
    assert [found.ask(bookshop, 30).inventory for _ in range(5)] == [EMPTY] * 5
    assert asked.times == 1
    clock(6)
    found.ask(bookshop, 30)
    assert asked.times == 2


def test_a_silent_cloud_keeps_nobody_waiting_and_is_asked_once(
    bookshop: models.Definition, asked: Asked, clock: Callable[[float], None]
) -> None:
    found = cloud_facts.CloudReader()
    asked.may_answer.clear()
    assert found.ask(bookshop, 0.01) == cloud_facts.NOTHING
    clock(60)
    assert found.ask(bookshop, 0.01) == cloud_facts.CloudAnswer(trouble="it has not answered for 60 s")
    assert asked.times == 1
    asked.may_answer.set()
    found.ask(bookshop, 30)


def test_a_cloud_that_refuses_has_its_peace_for_a_while(
    bookshop: models.Definition, asked: Asked, clock: Callable[[float], None]
) -> None:
    found = cloud_facts.CloudReader()
    asked.answer = cloud_facts.CloudAnswer(trouble="no")
    assert found.ask(bookshop, 30).trouble == "no"
    clock(6)
    found.ask(bookshop, 30)
    assert asked.times == 1
    clock(20)
    found.ask(bookshop, 30)
    assert asked.times == 2


def test_what_goes_wrong_is_told_and_not_raised(
    bookshop: models.Definition, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(error: Exception) -> None:
        def ec2(_: models.Cloud) -> None:
            raise error

        monkeypatch.setattr(clients, "impatient_ec2", ec2)

    refuse(errors.CloudConnectionError(bookshop.cloud.connection, "not there"))
    assert "not there" in cloud_facts._find(bookshop).trouble
    refuse(RuntimeError("secret words"))
    assert cloud_facts._find(bookshop).trouble == "the request to the cloud failed: RuntimeError"


@pytest.mark.parametrize(
    ("endpoint", "has_console"),
    [
        ("https://ec2.eu-central-1.amazonaws.com", True),
        ("https://ec2.eu-central-1.api.aws", True),
        ("http://172.17.0.1:5000", False),
        ("https://amazonaws.com.example.com", False),
    ],
)
def test_only_aws_has_a_console(endpoint: str, *, has_console: bool) -> None:
    assert bool(cloud_facts.console("eu-central-1", endpoint)) is has_console


def test_a_denial_names_no_account_and_no_role_to_those_who_may_only_look() -> None:
    said = (
        "You are not authorized to perform this operation. User: arn:aws:sts::123456789012:assumed-role/launcher/night "
        "is not authorized to perform: ec2:DescribeInstances with an explicit deny in a service control policy: "
        "arn:aws:organizations::210987654321:policy/o-1/service_control_policy/p-1. "
        f"Encoded authorization failure message: {'Xq3secretive' * 30}"
    )
    error = errors.CloudError("listing", "UnauthorizedOperation", said, names.ConnectionId("aws_shop"))
    shown = cloud_facts.discreet(str(error))
    for secret in ("123456789012", "210987654321", "launcher", "p-1", "Xq3secret"):
        assert secret not in shown
    assert "A service control policy forbids ec2:DescribeInstances" in shown
