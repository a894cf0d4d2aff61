"""A denial says whether rights are missing or a policy forbids it, and its encoded reason is not spilled everywhere."""

from __future__ import annotations

import logging
from typing import Any

import botocore.exceptions
import pytest

from gantry import names
from gantry.cloud import errors

AWS = names.ConnectionId("aws_shop")
WHO = "You are not authorized to perform this operation. User: arn:aws:sts::123456789012:assumed-role/launcher/night"
CALL = "is not authorized to perform: ec2:RunInstances on resource: arn:aws:ec2:eu-central-1:123456789012:instance/*"
BLOB = "g4oZPBqZ4Bni8dE5dGjxYTnOZ" * 40


def denied(message: str, code: str = "UnauthorizedOperation") -> errors.CloudError:
    answer: Any = {"Error": {"Code": code, "Message": message}}
    with pytest.raises(errors.CloudError) as refused, errors.worded("starting shop-web-1", AWS):
        raise botocore.exceptions.ClientError(answer, "RunInstances")
    return refused.value


@pytest.mark.parametrize(
    ("policy", "whose"),
    [
        ("a service control policy", "the organization's"),
        (
            "a service control policy: arn:aws:organizations::123456789012:policy/o-1/p-1",
            "the organization's",
        ),
        ("a resource control policy", "the organization's"),
        ("a permissions boundary", "set on the user or role itself"),
        ("a session policy", "given when the role was assumed"),
        ("an identity-based policy", "attached to the user or role"),
        ("a resource-based policy", "attached to the requested resource"),
        ("a VPC endpoint policy", "through which the workers reach the cloud"),
        ("the role trust policy", "of the role that the connection assumes"),
    ],
)
def test_a_policy_that_forbids_is_told_from_rights_that_are_missing(policy: str, whose: str) -> None:
    error = denied(f"{WHO} {CALL} with an explicit deny in {policy}")
    assert error.denial is not None
    assert (error.denial.is_forbidden, error.denial.action) == (True, "ec2:RunInstances")
    advice = str(error).partition("\n")[2]
    assert " forbids ec2:RunInstances" in advice
    assert whose in advice
    assert "more rights change nothing" in advice
    assert not error.transient


def test_a_right_that_is_missing_is_named() -> None:
    error = denied(f"{WHO} {CALL} because no identity-based policy allows the ec2:RunInstances action.")
    assert str(error).endswith(
        "\nec2:RunInstances is missing among the rights of the Airflow connection 'aws_shop'."
    )
    assert error.denial is not None
    assert not error.denial.is_forbidden
    assert error.denial.resource == "arn:aws:ec2:eu-central-1:123456789012:instance/*"


@pytest.mark.parametrize(
    "policy", ["service control policy", "permissions boundary", "session policy", "VPC endpoint policy"]
)
def test_a_policy_that_limits_rights_and_allows_too_little_is_named(policy: str) -> None:
    advice = str(denied(f"{WHO} {CALL} because no {policy} allows the ec2:RunInstances action")).partition(
        "\n"
    )[2]
    assert f"No {policy} (" in advice
    assert "'aws_shop' alone are not enough" in advice
    assert "forbids" not in advice


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "AccessDenied", "AccessDeniedException"])
def test_where_the_cloud_gives_no_reason_both_are_said(code: str) -> None:
    advice = str(denied("You are not authorized to perform this operation.", code)).partition("\n")[2]
    assert advice == (
        "Check the rights of the Airflow connection 'aws_shop'. A policy of the organization, or a boundary, can be "
        "the cause as well."
    )


@pytest.mark.parametrize(
    "message",
    [
        f"You are not authorized to perform this operation. Encoded authorization failure message: {BLOB}",
        f"{WHO} {CALL} with an explicit deny in a service control policy. "
        f"Encoded authorization failure message: {BLOB}",
    ],
    ids=["alone", "after a reason"],
)
def test_an_encoded_reason_is_shortened_and_the_log_has_the_command_that_decodes_all_of_it(
    message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        error = denied(message)
    assert BLOB not in str(error)
    assert f"message: g4oZPBqZ4Bni… ({len(BLOB)} letters)" in str(error)
    assert len(str(error)) < 1000
    assert "decodes the reason is in the log" in str(error)
    (line,) = (line for line in caplog.text.splitlines() if line.startswith("aws sts"))
    assert line.startswith("aws sts decode-authorization-message ")
    assert line.endswith(f" --encoded-message {BLOB}")


def test_a_refusal_of_something_else_is_no_denial(caplog: pytest.LogCaptureFixture) -> None:
    assert denied("said the cloud", "InvalidSubnetID.NotFound").denial is None
    assert caplog.text == ""
