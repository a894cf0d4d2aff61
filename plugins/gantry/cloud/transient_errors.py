"""Transient errors, and how long a call is retried because of them.

botocore retries throttled calls, with growing, randomized pauses. It does not retry a call that EC2 refuses because a
new instance is not known everywhere yet.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from gantry.cloud import errors

if TYPE_CHECKING:
    from botocore.config import Config

ATTEMPTS = 8
"""Attempts of a throttled call: about half a minute."""

_LOOKS = 5
"""Attempts of a call about an instance that is not known yet."""

_LONGEST = 5.0
"""Maximum seconds between two of these."""


def settings(given: Config, session: Any) -> Config:  # noqa: ANN401 - boto3's, which is loaded late
    """Return a connection's configuration, with more attempts unless it or the session's environment sets them.

    The retry mode (`standard`, `adaptive`) is always left to them.
    """
    from botocore.config import Config  # noqa: PLC0415

    said: Any = dict(getattr(given, "retries", None) or {})
    if said.keys() & {"max_attempts", "total_max_attempts"}:
        return given
    if session._session.get_config_variable("max_attempts") is not None:  # noqa: SLF001 - boto3 shows it nowhere else
        return given
    said["total_max_attempts"] = ATTEMPTS
    return given.merge(Config(retries=said))


def with_new_instances(client: Any) -> None:  # noqa: ANN401 - a botocore client of whatever service
    """Make a client retry calls about an instance that EC2 does not know yet."""
    client.meta.events.register_first("needs-retry.ec2", _again)


def _again(attempts: int, response: tuple[Any, dict[str, Any]] | None = None, **_: object) -> float | None:
    """Return the seconds until the next attempt, or None to leave the decision to botocore."""
    code = (response[1].get("Error") or {}).get("Code") if response is not None else None
    if code not in errors.LATE or attempts >= _LOOKS:
        return None
    # Not a secret: it only has to differ between calls.
    return min(2.0 ** (attempts - 1), _LONGEST) * random.uniform(0.5, 1)  # noqa: S311
