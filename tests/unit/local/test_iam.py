"""What a policy says to a request, as IAM documents it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gantry.local.cloud import api_errors, iam

INSTANCE = "arn:aws:ec2:eu-central-1:123456789012:instance/i-1"
STAGE = "aws:ResourceTag/stage"


def says(*statements: dict[str, Any], action: str = "ec2:StopInstances", **context: tuple[str, ...]) -> bool:
    """Whether statements (each allows stopping any instance, unless it says otherwise) allow it."""
    whole = {"Effect": "Allow", "Action": "ec2:StopInstances", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [{**whole, **each} for each in statements]})
    asked = {key.replace("stage", STAGE): values for key, values in context.items()}
    return iam.allows([document], iam.Ask(action, INSTANCE, asked))


def when(operator: str, *values: str, key: str = STAGE) -> dict[str, Any]:
    return {"Condition": {operator: {key: list(values) if len(values) > 1 else values[0]}}}


def test_what_no_statement_allows_is_refused_and_a_denial_outweighs_all() -> None:
    assert says({})
    assert not says()
    assert not says({}, {"Effect": "Deny"})
    assert not says({}, action="ec2:StartInstances")


@pytest.mark.parametrize(
    ("written", "fits"),
    [
        ("ec2:*", True), ("*", True), ("EC2:stop*", True), ("ec2:Stop?nstances", True), (["s3:*", "ec2:*"], True),
        ("ec2:Stop", False), ("ec2:S.*", False), ("s3:*", False),
    ],
)  # fmt: skip
def test_actions_are_named_with_wildcards_in_any_case(written: str | list[str], fits: bool) -> None:  # noqa: FBT001 - parametrized
    assert says({"Action": written}) is fits


@pytest.mark.parametrize(
    ("written", "fits"),
    [
        (INSTANCE, True), ("arn:aws:ec2:*:*:instance/*", True), (INSTANCE.upper(), False),
        (INSTANCE[:-1], False), ("arn:aws:ec2:eu-central-1:123456789012:volume/*", False),
    ],
)  # fmt: skip
def test_resources_are_named_with_wildcards_in_their_own_case(written: str, fits: bool) -> None:  # noqa: FBT001 - parametrized
    assert says({"Resource": written}) is fits


def test_everything_but_what_is_named() -> None:
    statement = {"Effect": "Allow", "NotAction": "ec2:Start*", "NotResource": "arn:aws:s3:::*"}
    document = json.dumps({"Statement": statement})
    assert iam.allows([document], iam.Ask("ec2:StopInstances", INSTANCE))
    assert not iam.allows([document], iam.Ask("ec2:StartInstances", INSTANCE))
    assert not iam.allows([document], iam.Ask("ec2:StopInstances", "arn:aws:s3:::shelf"))


@pytest.mark.parametrize(
    ("condition", "with_test", "with_live", "without"),
    [
        (when("StringEquals", "test", "demo"), True, False, False),
        (when("StringEquals", "Test"), False, False, False),
        (when("StringEqualsIgnoreCase", "Test"), True, False, False),
        (when("StringNotEquals", "test"), False, True, True),
        (when("StringNotEquals", "test", "live"), False, False, True),
        (when("StringLike", "t*"), True, False, False),
        (when("StringNotLike", "t*"), False, True, True),
        (when("StringEqualsIfExists", "test"), True, False, True),
        (when("ForAllValues:StringEquals", "test"), True, False, True),
        (when("ForAnyValue:StringEquals", "test"), True, False, False),
        (when("ForAnyValue:StringNotEquals", "test"), False, True, False),
        (when("Null", "true"), False, False, True),
        (when("Null", "false"), True, True, False),
        (when("StringEquals", "test", key="aws:resourcetag/STAGE"), True, False, False),
    ],
    ids=json.dumps,
)
def test_conditions_hold_as_documented_also_where_the_request_has_no_such_value(
    condition: dict[str, Any],
    with_test: bool,  # noqa: FBT001 - parametrized
    with_live: bool,  # noqa: FBT001 - parametrized
    without: bool,  # noqa: FBT001 - parametrized
) -> None:
    assert (says(condition, stage=("test",)), says(condition, stage=("live",)), says(condition)) == (
        with_test,
        with_live,
        without,
    )


def test_of_several_values_all_or_any_have_to_fit() -> None:
    assert says(when("ForAllValues:StringLike", "t*", "l*"), stage=("test", "live"))
    assert not says(when("ForAllValues:StringLike", "t*"), stage=("test", "live"))
    assert says(when("ForAnyValue:StringLike", "t*"), stage=("test", "live"))


def test_all_conditions_of_a_statement_have_to_hold() -> None:
    both = {"Condition": {"StringEquals": {STAGE: "test", "aws:PrincipalOrgID": "o-1"}}}
    assert not says(both, stage=("test",))


def test_a_condition_that_is_not_evaluated_is_refused_aloud() -> None:
    with pytest.raises(api_errors.Refused) as refused:
        says(when("NumericLessThan", "5"), stage=("test",))
    assert "'NumericLessThan'" in refused.value.message
