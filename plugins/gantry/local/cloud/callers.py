"""Identities of callers: the account's own access key, IAM users' keys, and expiring sessions of roles."""

from __future__ import annotations

import dataclasses
import hmac
import json
from typing import Any

from moto.core.utils import utcnow
from moto.iam import access_control
from moto.sts.models import sts_backends

from gantry.local.cloud import account, iam
from gantry.local.cloud.api_errors import Refused

PARTITION = "aws"
_TOKEN = "X-Amz-Security-Token"  # noqa: S105 (the header's name)


@dataclasses.dataclass(frozen=True)
class Caller:
    """The owner of an access key. `policies` are JSON; the account's own key has none and may do everything."""

    secret_access_key: str = dataclasses.field(repr=False)
    arn: str = f"arn:aws:iam::{account.ACCOUNT_ID}:root"
    policies: tuple[str, ...] | None = None

    def may(self, ask: iam.Ask) -> bool:
        """Return whether the policies allow it. Raises Refused for a condition that is not evaluated."""
        return self.policies is None or iam.allows(self.policies, ask)


class Callers:
    """All identities."""

    def __init__(self, access_key_id: str, secret_access_key: str) -> None:
        self._access_key_id = access_key_id
        self._root = Caller(secret_access_key)

    def find(self, access_key_id: str, token: str) -> Caller:
        """Return the owner of an access key. `token`: the session token, or an empty string.

        Raises:
            Refused: the key has no owner; or its session is another one, or has expired.
        """
        if access_key_id == self._access_key_id:
            if token:
                raise _invalid_token()
            return self._root
        sessions = sts_backends[account.ACCOUNT_ID][PARTITION].assumed_roles
        session = next((each for each in sessions if each.access_key_id == access_key_id), None)
        if session is not None:
            if not hmac.compare_digest(session.session_token.encode(), token.encode()):
                raise _invalid_token()
            if session.expiration <= utcnow():
                raise Refused("ExpiredToken", "The provided token has expired.")
        try:
            found = access_control.create_access_key(
                account.ACCOUNT_ID, PARTITION, access_key_id, {_TOKEN: token} if token else {}
            )
        except access_control.CreateAccessKeyFailure as failure:
            if failure.reason == "InvalidToken":
                raise _invalid_token() from failure
            raise Refused(
                "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
            ) from failure
        secret = found.create_credentials().secret_key
        return Caller(secret, found.arn, tuple(map(_document, found.collect_policies())))


def _document(policy: Any) -> str:  # noqa: ANN401 - moto's
    """Return a policy's JSON: moto stores inline policies of roles separately from attached ones."""
    if isinstance(policy, str):
        return policy
    if isinstance(policy, dict):
        written = policy["policy_document"]
        return written if isinstance(written, str) else json.dumps(written)
    return str(next(each.document for each in policy.versions if each.is_default))


def _invalid_token() -> Refused:
    return Refused("InvalidToken", "The provided token is malformed or otherwise invalid.")
