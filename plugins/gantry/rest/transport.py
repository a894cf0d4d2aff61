"""HTTP transport of Airflow's API: login, trusted certificates, and translation of errors."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import httpx

from gantry.rest import errors, login

Json = dict[str, Any]

_PAGE = 100
_SECONDS = httpx.Timeout(60, connect=10)
_NOT_FOUND, _BROKEN = 404, 500


class Connection:
    """A connection to one Airflow. The first call logs in; before it there are no requests."""

    def __init__(self, who: login.AirflowLogin) -> None:
        self.login = who
        self._client = httpx.Client(base_url=who.url, timeout=_SECONDS, verify=_trusted(who))
        self._is_logged_in = False
        if who.token:
            self._take(who.token)

    def pages(self, path: str, key: str, params: Json) -> Iterator[Json]:
        """Yield all entries of a collection. Airflow limits the number per page by its settings."""
        seen = 0
        while True:
            answer = self.call("GET", path, params={"limit": _PAGE, **params, "offset": seen})
            found = answer[key]
            yield from found
            seen += len(found)
            if not found or seen >= (answer.get("total_entries") or 0):
                return

    def call(self, method: str, path: str, *, below: str = "/api/v2", **more: Any) -> Json:  # noqa: ANN401 - httpx's
        """Make one call; return its answer. See `client.AirflowApi.call`."""
        call = f"{method} {path}"
        if not self._is_logged_in:
            self._log_in()
        place = f"{below}{path}"
        answer = self._request(call, method, place, **more)
        if _is_about_the_token(answer) and self.login.token is None:
            # The token that was exchanged for the password has expired.
            self._log_in()
            answer = self._request(call, method, place, **more)
        if answer.is_success:
            return self._json(call, answer) if answer.content else {}
        raise self._refusal(call, answer)

    def _log_in(self) -> None:
        who, call = self.login, "POST /auth/token"
        if who.token is not None:
            return
        if who.username and not who.password:
            raise errors.NoCredentialsError(who.url, f"there is no password for {who.username!r}")
        if who.username:
            answer = self._request(
                call, "POST", "/auth/token", json={"username": who.username, "password": who.password}
            )
        else:
            # Airflow's simple auth manager can be configured to admit all users.
            answer = self._request(call, "GET", "/auth/token")
        if answer.status_code >= _BROKEN:
            raise errors.BrokenError(call, answer.status_code, _reason(answer))
        if answer.is_success:
            token = self._json(call, answer).get("access_token")
            if isinstance(token, str):
                self._take(token)
                return
        if answer.is_redirect or answer.status_code == _NOT_FOUND:
            raise self._not_airflow(call, answer)
        if not who.username:
            raise errors.NoCredentialsError(who.url, "neither a token nor a user was given")
        if not self._has_database():
            raise errors.DatabaseAwayError(who.url, answer.status_code)
        raise errors.LoginRefusedError(
            who.url, answer.status_code, who.username, who.credentials_from, _reason(answer)
        )

    def _has_database(self) -> bool:
        """What Airflow says of its metadata database, which needs no login; True where it does not say."""
        call = "GET /monitor/health"
        answer = self._request(call, "GET", "/api/v2/monitor/health")
        if not answer.is_success or not _is_json(answer):
            return True
        found = self._json(call, answer).get("metadatabase")
        return not isinstance(found, dict) or found.get("status") != "unhealthy"

    def _take(self, token: str) -> None:
        self._client.headers["Authorization"] = f"Bearer {token}"
        self._is_logged_in = True

    def _request(self, call: str, method: str, place: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        who = self.login
        try:
            return self._client.request(method, place, **more)
        except httpx.HTTPError as error:
            if (refused := _certificate(error)) is not None:
                raise errors.CertificateError(call, who.url, refused) from error
            reason = str(error) or type(error).__name__
            raise errors.UnreachableError(call, who.url, who.url_from, reason) from error

    def _json(self, call: str, answer: httpx.Response) -> Json:
        try:
            found = answer.json()
        except ValueError:
            raise self._not_airflow(call, answer) from None
        # Airflow answers `null` if there is nothing to return.
        if not isinstance(found, dict | None):
            raise self._not_airflow(call, answer)
        return found or {}

    def _refusal(self, call: str, answer: httpx.Response) -> errors.RestError:
        who, code, reason = self.login, answer.status_code, _reason(answer)
        if answer.is_redirect or (code == _NOT_FOUND and not _is_json(answer)):
            return self._not_airflow(call, answer)
        if _is_about_the_token(answer):
            return errors.TokenRefusedError(call, code, who.url, who.credentials_from, reason)
        match code:
            case httpx.codes.FORBIDDEN:
                owner = repr(who.username) if who.username else "this token's owner"
                found: errors.RestError = errors.ForbiddenError(call, owner, reason)
            case httpx.codes.NOT_FOUND:
                found = errors.NotFoundError(call, reason)
            case httpx.codes.CONFLICT:
                found = errors.ConflictError(call, reason)
            case _ if code >= _BROKEN:
                found = errors.BrokenError(call, code, reason)
            case _:
                found = errors.RefusedError(call, code, reason)
        return found

    def _not_airflow(self, call: str, answer: httpx.Response) -> errors.NotAirflowError:
        if answer.is_redirect:
            seen = f"it sends to {answer.headers.get('location', 'somewhere else')}"
        else:
            kind = answer.headers.get("content-type", "nothing").partition(";")[0]
            seen = f"{call} got {answer.status_code} and {kind}"
        return errors.NotAirflowError(call, answer.status_code, self.login.url, self.login.url_from, seen)


def _trusted(who: login.AirflowLogin) -> ssl.SSLContext | bool:
    if who.url.startswith("http://"):
        # There is no certificate; and loading the trusted ones takes a tenth of a second.
        return False
    if who.ca_file is None:
        return True
    try:
        # Certificates that the system trusts remain trusted: a proxy in between may have any of them.
        context = ssl.create_default_context()
        context.load_verify_locations(who.ca_file)
    except OSError as error:
        raise errors.SecretFileError(
            "--ca-file", who.ca_file, f"holds no certificates (PEM): {error}"
        ) from error
    return context


def _certificate(error: BaseException | None) -> str | None:
    """Return why a certificate was rejected, if that is the cause of an error."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return None


def _is_about_the_token(answer: httpx.Response) -> bool:
    """Return whether the token is rejected: Airflow answers 401 if it has expired, 403 if it is not one of its own."""
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return True
    return answer.status_code == httpx.codes.FORBIDDEN and _reason(answer) == "Invalid JWT token"


def _is_json(answer: httpx.Response) -> bool:
    return "application/json" in answer.headers.get("content-type", "")


def _reason(answer: httpx.Response) -> str:
    """Return Airflow's error message: a sentence, or one for each field of the request."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return answer.text.strip()[:300] or answer.reason_phrase
    if isinstance(detail, list):
        return "; ".join(
            f"{'.'.join(map(str, each.get('loc', ())))}: {each.get('msg', '')}"
            for each in detail
            if isinstance(each, dict)
        )
    if isinstance(detail, dict):
        return str(detail.get("reason") or detail.get("message") or detail)
    return str(detail)
