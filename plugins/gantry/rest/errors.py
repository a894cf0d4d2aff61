"""Errors of Airflow's API, with messages for the person who has to act."""

from __future__ import annotations

from pathlib import Path

from gantry import errors


class RestError(errors.GantryError):
    """An error of Airflow's API.

    Attributes:
        call: the request, such as `GET /dags/shop`; empty before the first one.
        code: the answer's status; 0 if there was no answer.
    """

    def __init__(self, message: str, call: str = "", code: int = 0) -> None:
        self.call = call
        self.code = code
        super().__init__(message)


class NoAirflowError(RestError):
    """No Airflow is configured."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"no Airflow is configured; give its URL with --url or GANTRY_URL, such as https://airflow.example.com, "
            f"or add a profile to {file}:\n"
            f'  [default]\n  url = "https://airflow.example.com"\n  username = "ada"\n  password = "…"'
        )


class UrlError(RestError):
    """The URL is invalid."""

    def __init__(self, url: str, said_by: str) -> None:
        super().__init__(
            f"{url!r} ({said_by}) is not the URL of an Airflow, such as https://airflow.example.com"
        )


class SecretFileError(RestError):
    """A file with a password or certificates is unusable."""

    def __init__(self, option: str, file: Path, reason: str) -> None:
        super().__init__(f"{option} {file}: {reason}")


class UnreachableError(RestError):
    """Airflow does not answer."""

    transient = True

    def __init__(self, call: str, url: str, said_by: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(
            f"Airflow at {url} cannot be reached: {reason}\n"
            f"Check that it is running, and that the URL is correct ({said_by}).",
            call,
        )


class CertificateError(RestError):
    """The server's certificate is not signed by a trusted authority, or is for another host."""

    def __init__(self, call: str, url: str, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"the certificate of {url} is not trusted: {reason}\n"
            f"If your own authority signed it, name its certificate (PEM) with --ca-file, GANTRY_CA_FILE or the "
            f"profile's ca_file. Nothing was sent.",
            call,
        )


class NotAirflowError(RestError):
    """The answer is not from Airflow's API."""

    def __init__(self, call: str, code: int, url: str, said_by: str, seen: str) -> None:
        super().__init__(
            f"{url} ({said_by}) is not the API of an Airflow 3: {seen}\n"
            f"Give the URL of Airflow's UI, without /api/v2.",
            call,
            code,
        )


class LoginRefusedError(RestError):
    """Airflow does not accept the user or the password."""

    def __init__(self, url: str, code: int, username: str, said_by: str, reason: str) -> None:
        self.username = username
        super().__init__(
            f"Airflow at {url} rejects the login of {username!r} ({code}: {reason})\n"
            f"Check user name and password ({said_by}). If users log in through another service (single sign-on), "
            f"give a token with --token or GANTRY_TOKEN.",
            "POST /auth/token",
            code,
        )


class DatabaseAwayError(RestError):
    """Airflow cannot check logins: its metadata database does not answer. FAB's auth manager returns 401 then."""

    transient = True

    def __init__(self, url: str, code: int) -> None:
        super().__init__(
            f"Airflow at {url} cannot check logins at the moment ({code}): its metadata database does not answer\n"
            f"Wait until the database is available; for details, see the log of Airflow's API server.",
            "POST /auth/token",
            code,
        )


class NoCredentialsError(RestError):
    """Airflow requires credentials."""

    def __init__(self, url: str, missing: str) -> None:
        super().__init__(
            f"Airflow at {url} requires a login: {missing}\n"
            f"Give a token (--token, GANTRY_TOKEN), or a user and a password (--username with --password-file, "
            f"GANTRY_USERNAME with GANTRY_PASSWORD), or keep them in a profile.",
            code=401,
        )


class TokenRefusedError(RestError):
    """The token is not valid, or no longer."""

    def __init__(self, call: str, code: int, url: str, said_by: str, reason: str) -> None:
        super().__init__(
            f"Airflow at {url} refuses the token ({said_by}): {reason}\n"
            f"It may have expired. Get a new one, or give a user and a password: Gantry then gets a token itself.",
            call,
            code,
        )


class ForbiddenError(RestError):
    """The user lacks the permission."""

    def __init__(self, call: str, who: str, reason: str) -> None:
        super().__init__(
            f"{who} may not do this in Airflow ({call}): {reason}\nAsk its administrator for the right, or log in as "
            f"a user who has it.",
            call,
            403,
        )


class NotFoundError(RestError):
    """The object does not exist in Airflow."""

    def __init__(self, call: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"Airflow has no such object ({call}): {reason}", call, 404)


class ConflictError(RestError):
    """An existing object conflicts with the request."""

    def __init__(self, call: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{call} conflicts with an object that Airflow already has: {reason}", call, 409)


class RefusedError(RestError):
    """Airflow rejected the request."""

    def __init__(self, call: str, code: int, reason: str) -> None:
        self.reason = reason
        super().__init__(f"Airflow rejected {call} ({code}): {reason}", call, code)


class BrokenError(RestError):
    """Airflow itself has failed."""

    transient = True

    def __init__(self, call: str, code: int, reason: str) -> None:
        super().__init__(
            f"Airflow failed to process {call} ({code}): {reason}\nFor details, see the log of Airflow's API server.",
            call,
            code,
        )
