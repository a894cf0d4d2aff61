"""What the cloud refused, in words that say what to do about it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from gantry import errors, names

_PASSING = frozenset(
    {
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "InsufficientInstanceCapacity",
        "InternalError",
        "InternalFailure",
        "ServiceUnavailable",
        "Unavailable",
        "SlowDown",
        "IncorrectInstanceState",
        "500",
        "503",
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
        "ExpiredToken",
        "InvalidToken",
        "OptInRequired",
        "RequestExpired",
        "403",
    }
)


_IDS = ("InvalidSubnet", "InvalidGroup", "InvalidSecurityGroup", "InvalidSnapshot")


class CloudError(errors.GantryError):
    """A call that the cloud did not carry out.

    Attributes:
        doing: what was being done, for a person.
        code, reason: the cloud's own words.
    """

    def __init__(self, doing: str, code: str, reason: str, connection: names.ConnectionId) -> None:
        self.doing = doing
        self.code = code
        self.reason = reason
        self.connection = connection
        self.passing = code in _PASSING
        super().__init__(f"{doing}: the cloud answered {code}: {reason}\n{self._advice()}")

    def _advice(self) -> str:
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
        if self.passing:
            return "This often passes by itself; the task is tried again."
        return f"Asked with the Airflow connection {self.connection!r}. Mend the cause and clear this task."


class UnknownConnectionError(errors.GantryError):
    """The definition's cloud connection cannot be read.

    The provider itself would go on with whatever credentials the worker happens to have.
    """

    def __init__(self, connection: names.ConnectionId, reason: str) -> None:
        self.connection = connection
        super().__init__(
            f"Airflow connection {connection!r} cannot be read: {reason}\n"
            f"Create it with the type aws (Admin → Connections, or a secrets backend), or correct `cloud:` in the "
            f"definition."
        )


class CloudUnreachableError(errors.GantryError):
    """The cloud's endpoint did not answer, or there were no credentials to ask it with."""

    def __init__(self, doing: str, reason: str, connection: names.ConnectionId, *, passing: bool) -> None:
        self.doing = doing
        self.reason = reason
        self.connection = connection
        self.passing = passing
        super().__init__(f"{doing}: {reason}\nCheck the Airflow connection {connection!r}.")


@contextlib.contextmanager
def worded(doing: str, connection: names.ConnectionId) -> Iterator[None]:
    """Turn what botocore raises inside into one of this module's errors."""
    # Every task start parses its DAG file, which imports this module by way of the operators.
    import botocore.exceptions  # noqa: PLC0415

    try:
        yield
    except botocore.exceptions.ClientError as error:
        answer = error.response["Error"]
        raise CloudError(doing, answer.get("Code", "?"), answer.get("Message", ""), connection) from error
    except botocore.exceptions.WaiterError as error:
        raise CloudError(doing, "nothing new", str(error), connection) from error
    except (
        botocore.exceptions.NoCredentialsError,
        botocore.exceptions.PartialCredentialsError,
    ) as error:
        raise CloudUnreachableError(doing, str(error), connection, passing=False) from error
    except botocore.exceptions.BotoCoreError as error:
        raise CloudUnreachableError(doing, str(error), connection, passing=True) from error
