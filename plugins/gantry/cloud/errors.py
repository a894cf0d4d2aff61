"""Errors of cloud calls, with messages that say what to do."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

from gantry import errors, names
from gantry.cloud import denials

_log = logging.getLogger(__name__)

ENDED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
"""Error codes for credentials that have expired."""

THROTTLED = frozenset(
    {
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "EC2ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "BandwidthLimitExceeded",
        "SlowDown",
    }
)
"""Error codes for an account that calls too often."""

LATE = frozenset({"InvalidInstanceID.NotFound"})
"""Error codes of EC2 for an instance that is not known everywhere yet."""

_DOWN = frozenset({"InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "500", "503"})

_TRANSIENT = frozenset(
    {
        *ENDED,
        *THROTTLED,
        *LATE,
        *_DOWN,
        "InsufficientInstanceCapacity",
        "InsufficientFreeAddressesInSubnet",
        "InsufficientAddressCapacity",
        "InsufficientHostCapacity",
        # Terminated instances count for a while.
        "InstanceLimitExceeded",
        "IncorrectInstanceState",
    }
)

_REFUSED = frozenset(
    {
        "AuthFailure",
        "UnauthorizedOperation",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "AccessDenied",
        "InvalidToken",
        "OptInRequired",
        "403",
    }
)


_DENIED = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})
"""Denials with valid credentials; with the other codes, the credentials are not valid."""

_IDS = ("InvalidSubnet", "InvalidGroup", "InvalidSecurityGroup", "InvalidSnapshot")


class CloudError(errors.GantryError):
    """The cloud did not carry out a call.

    Attributes:
        doing: the action, for people.
        code, reason: the cloud's own, without a denial's encoded reason.
        denial: the cause of a denial; None if the call was refused for another reason.
        waits: whether a caller that waits for something else may simply continue: the cloud will answer a later call.
        whose: whose credentials were used, if more is known than the connection; no secrets.
    """

    def __init__(
        self,
        doing: str,
        code: str,
        reason: str,
        connection: names.ConnectionId,
        *,
        whose: str = "",
    ) -> None:
        self.whose = whose or f"the credentials of the Airflow connection {connection!r}"
        self.doing = doing
        self.code = code
        self.denial = denials.read(reason) if code in _DENIED else None
        self.reason = self.denial.reason if self.denial else reason
        self.connection = connection
        self.transient = code in _TRANSIENT
        self.waits = code in THROTTLED | LATE | _DOWN
        advice = self._advice() if self.denial is None else self.denial.advice(connection)
        super().__init__(f"{doing}: the cloud answered {code}: {self.reason}\n{advice}")

    def _advice(self) -> str:
        if self.code in ENDED:
            return (
                f"Expired: {self.whose}. A role's session is requested again by the next try; a session token "
                f"that is written into the connection has to be replaced there."
            )
        if self.code in _REFUSED:
            return f"Check the credentials and rights of the Airflow connection {self.connection!r}."
        if self.code.startswith("InvalidAMIID"):
            return (
                f"Check the image of the launch configuration, and that the account of the Airflow connection "
                f"{self.connection!r} may use it in this region."
            )
        if self.code.startswith(_IDS):
            return (
                f"Check network and volumes of the launch configuration: ids belong to one region of one account, and "
                f"the Airflow connection {self.connection!r} sees those of its own."
            )
        if self.transient:
            why = (
                "The account makes too many calls, including those of other programs. "
                if self.code in THROTTLED
                else ""
            )
            return f"{why}This is often temporary; the task is tried again."
        return f"Asked with the Airflow connection {self.connection!r}. Fix the cause and clear this task."


class UnusableConnectionError(errors.GantryError):
    """A client cannot be created because of a field of the cloud connection. `problem` does not quote it."""

    def __init__(self, connection: names.ConnectionId, problem: str) -> None:
        self.connection = connection
        self.problem = problem
        super().__init__(f"Airflow connection {connection!r}: {problem}")


class CloudConnectionError(errors.GantryError):
    """The definition's cloud connection cannot be read.

    The provider itself would fall back to whatever credentials the worker happens to have.
    """

    def __init__(self, connection: names.ConnectionId, reason: str) -> None:
        self.connection = connection
        super().__init__(
            f"Airflow connection {connection!r} cannot be read: {reason}\n"
            f"Create it with the type aws (Admin → Connections, or a secrets backend), or correct `cloud:` in the "
            f"definition."
        )


class CloudUnreachableError(errors.GantryError):
    """The cloud's endpoint did not answer, or there were no credentials for the call."""

    def __init__(self, doing: str, reason: str, connection: names.ConnectionId, *, transient: bool) -> None:
        self.doing = doing
        self.reason = reason
        self.connection = connection
        self.transient = self.waits = transient
        super().__init__(f"{doing}: {reason}\nCheck the Airflow connection {connection!r}.")


_KEYS = " kms:"
_KEY_ADVICE = (
    "The object is encrypted with a key of KMS: grant that on the key to what signs the links, the credentials of "
    "the Airflow connection."
)
_LINK_ADVICE = (
    "Check endpoint_url and config_kwargs (s3, signature_version) of the Airflow connection, and the policies of the "
    "bucket and of a VPC endpoint."
)


class RefusedLinkError(errors.GantryError):
    """S3 rejects a link of the kind that servers get."""

    def __init__(self, url: str, host: str, status: int, said: str) -> None:
        self.url = url
        self.status = status
        super().__init__(
            f"a link to {url} is refused by {host}: HTTP status {status} {said}\n"
            f"Servers would get such a link. {_KEY_ADVICE if _KEYS in said else _LINK_ADVICE}"
        )


@contextlib.contextmanager
def worded(
    doing: str, connection: names.ConnectionId, whose: Callable[[], str] = lambda: ""
) -> Iterator[None]:
    """Convert botocore's exceptions to this module's errors. `whose` names the owner of the credentials."""
    # Every task start parses its DAG file, which imports this module through the operators.
    import botocore.exceptions  # noqa: PLC0415

    try:
        yield
    except botocore.exceptions.ClientError as error:
        answer = error.response["Error"]
        code = answer.get("Code", "?")
        said = whose() if code in ENDED else ""
        refused = CloudError(doing, code, answer.get("Message", ""), connection, whose=said)
        if refused.denial and refused.denial.encoded:
            # Complete, once, and on a line of its own, so that it can be copied.
            _log.warning("to decode why it was denied:\n%s", refused.denial.decoding)
        raise refused from error
    except botocore.exceptions.WaiterError as error:
        said_last = error.last_response.get("Error", {})
        code, reason = said_last.get("Code", "nothing new"), said_last.get("Message") or str(error)
        raise CloudError(doing, code, reason, connection) from error
    except (
        botocore.exceptions.NoCredentialsError,
        botocore.exceptions.PartialCredentialsError,
    ) as error:
        raise CloudUnreachableError(doing, str(error), connection, transient=False) from error
    except botocore.exceptions.BotoCoreError as error:
        raise CloudUnreachableError(doing, str(error), connection, transient=True) from error
