"""Client tokens as in EC2: they outlive the instances that were started with them."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError

_LONGEST = 64


class ClientTokens:
    """RunInstances' answers by token, per region; and per zone if a request names its subnet.

    EC2 remembers a token for at least a day after its instances are terminated, which it shows for about an hour; here
    it is remembered as long as the cloud runs.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[str, str], str], tuple[str, Any]] = {}

    def answered(self, scope: tuple[str, str], token: str, request: str) -> Any:  # noqa: ANN401 - moto is untyped for us
        """Return a token's reservation, with its instances as they are now, or None for a new token.

        Args:
            scope: the region, and the zone or an empty string.
            token: as it was sent.
            request: the fingerprint of the request's other parameters.

        Raises:
            EC2ClientError: the token is invalid, or belongs to another request.
        """
        if len(token) > _LONGEST or not token.isascii():
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Value ({token}) for parameter clientToken is invalid. It has at most 64 ASCII characters.",
            )
        if (scope, token) not in self._known:
            return None
        known, reservation = self._known[scope, token]
        if known != request:
            raise EC2ClientError(
                "IdempotentParameterMismatch",
                "The request uses the same client token as a previous, but non-identical request.",
            )
        return reservation

    def keep(self, scope: tuple[str, str], token: str, request: str, reservation: Any) -> None:  # noqa: ANN401
        """Store an answer. The reservation itself loses the instances that are no longer shown."""
        kept = copy.copy(reservation)
        kept.instances = list(reservation.instances)
        self._known[scope, token] = (request, kept)


def fingerprint(request: Mapping[str, Any]) -> str:
    """Return a fingerprint of a request, without its token."""
    parameters = {key: value for key, value in request.items() if key != "ClientToken"}
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()
