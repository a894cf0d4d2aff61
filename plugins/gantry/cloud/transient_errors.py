"""What passes by itself, and how long a call waits for that.

botocore repeats throttled calls, with growing pauses that chance spreads. It does not repeat a call that EC2 refuses
because a new instance is not known everywhere yet.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from gantry.cloud import errors

if TYPE_CHECKING:
    from botocore.config import Config

ATTEMPTS = 8
"""Of a call that is throttled: about half a minute."""

_LOOKS = 5
"""Attempts of a call about an instance that is not known yet."""

_LONGEST = 5.0
"""Seconds between two of these."""


def settings(given: Config, session: Any) -> Config:  # noqa: ANN401 - boto3's, which is loaded late
    """A connection's configuration, with more attempts where neither it nor the session's environment says how many.

    In which mode botocore repeats (`standard`, `adaptive`) is left to them in any case.
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
    """Have a client ask again about an instance that EC2 does not know yet."""
    client.meta.events.register_first("needs-retry.ec2", _again)


def _again(attempts: int, response: tuple[Any, dict[str, Any]] | None = None, **_: object) -> float | None:
    """Seconds until the next attempt, or None for whatever botocore itself decides."""
    code = (response[1].get("Error") or {}).get("Code") if response is not None else None
    if code not in errors.LATE or attempts >= _LOOKS:
        return None
    # Not a secret: it only has to differ from one call to the next.
    return min(2.0 ** (attempts - 1), _LONGEST) * random.uniform(0.5, 1)  # noqa: S311
