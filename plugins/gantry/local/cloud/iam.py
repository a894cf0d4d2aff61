"""Evaluation of IAM policies: by action, resource and conditions. moto's own evaluation ignores conditions.

As in IAM, one denying statement outweighs all allowing ones, and the default is to deny. The supported condition
operators are those for texts, ARNs, booleans and absence. A policy with any other is rejected with an error: otherwise
it would seem to work without being evaluated.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gantry.local.cloud.api_errors import Refused


@dataclasses.dataclass(frozen=True)
class Ask:
    """A requested action.

    Attributes:
        action: for example `s3:GetObject`.
        resource: an ARN, or `*` if the action has no resources.
        context: values for conditions, by key, such as `aws:ResourceTag/stage`. Keys without a value in the request
            are absent.
    """

    action: str
    resource: str = "*"
    context: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


def allows(documents: Iterable[str], ask: Ask) -> bool:
    """Return whether the policies (as JSON) allow it. Raises Refused for a condition that is not evaluated here."""
    effects = {
        str(statement["Effect"])
        for document in documents
        for statement in _listed(json.loads(document)["Statement"])
        if _is_about(statement, ask)
    }
    return "Allow" in effects and "Deny" not in effects


def _is_about(statement: Mapping[str, Any], ask: Ask) -> bool:
    named = _named(statement, "Action", ask.action.lower(), str.lower)
    return (
        named
        and _named(statement, "Resource", ask.resource, str)
        and all(
            _holds(operator, key, _listed(wanted), ask.context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _named(statement: Mapping[str, Any], element: str, value: str, written: Callable[[str], str]) -> bool:
    excluded = f"Not{element}"
    if excluded in statement:
        return not any(_like(written(each), value) for each in _listed(statement[excluded]))
    return any(_like(written(each), value) for each in _listed(statement[element]))


def _holds(operator: str, key: str, wanted: list[Any], context: Mapping[str, tuple[str, ...]]) -> bool:
    # Keys are compared case-insensitively, values case-sensitively.
    given = next((values for name, values in context.items() if name.lower() == key.lower()), None)
    texts = [_text(each) for each in wanted]
    if operator == "Null":
        return (given is None) == (texts == ["true"])
    each_of, colon, plain = operator.rpartition(":")
    if_exists, plain = plain.endswith("IfExists"), plain.removesuffix("IfExists")
    negative, positive = "Not" in plain, plain.replace("Not", "")
    if positive not in _COMPARED or (colon and each_of not in _OF_SEVERAL):
        raise Refused(
            "UnsupportedCondition", f"The embedded cloud does not evaluate the condition {operator!r}."
        )
    if not given:
        return if_exists or each_of == "ForAllValues" or (negative and each_of != "ForAnyValue")
    compare = _COMPARED[positive]
    matches = [any(compare(pattern, value) for pattern in texts) is not negative for value in given]
    return any(matches) if each_of == "ForAnyValue" else all(matches)


def _like(pattern: str, value: str) -> bool:
    parts = (".*" if each == "*" else "." if each == "?" else re.escape(each) for each in pattern)
    return re.fullmatch("".join(parts), value, re.DOTALL) is not None


def _equal(wanted: str, value: str) -> bool:
    return wanted == value


def _equal_in_any_case(wanted: str, value: str) -> bool:
    return wanted.lower() == value.lower()


_COMPARED: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": _equal,
    "StringEqualsIgnoreCase": _equal_in_any_case,
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": _equal_in_any_case,
}
"""By operator, without the `Not` in it. ARNs are compared with wildcards in both operators."""

_OF_SEVERAL = ("ForAllValues", "ForAnyValue")


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - JSON
    return value if isinstance(value, list) else [value]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
