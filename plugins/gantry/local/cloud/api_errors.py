"""Error responses of the embedded cloud, in the format of the called API."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from xml.sax.saxutils import escape

_XML = "text/xml"
_JSON_CODES = {
    "InvalidAccessKeyId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "RequestTimeTooSkewed": "InvalidSignatureException",
    "ExpiredToken": "ExpiredTokenException",
}
"""Names of the same errors in JSON APIs."""

_BAD_REQUESTS = ("InvalidRequest", "InvalidToken", "ExpiredToken", "Authorization", "IllegalLocation")
_REASONS = {
    301: "301 Moved Permanently",
    307: "307 Temporary Redirect",
    400: "400 Bad Request",
    403: "403 Forbidden",
}


class Refused(Exception):  # noqa: N818 (it is an answer, not an error of ours)
    """The request is answered with an error document.

    Attributes:
        status: the HTTP status; None if it follows from the code.
        details: additional elements of S3's document.
        headers: additional headers.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        details: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        self.message = message
        self.status = status
        self.details = dict(details or {})
        self.headers = dict(headers or {})
        super().__init__(code)


@dataclasses.dataclass(frozen=True)
class HttpAnswer:
    """Status line, headers and body."""

    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def answer(service: str, method: str, refusal: Refused) -> HttpAnswer:
    """Return the answer in the format of the called API."""
    status, kind, body = _document(service, refusal)
    if method == "HEAD":
        # It does not reveal the reason: as with S3.
        body = b""
    headers = (("Content-Type", kind), ("Content-Length", str(len(body))), *refusal.headers.items())
    return HttpAnswer(status, headers, body)


def _document(service: str, refusal: Refused) -> tuple[str, str, bytes]:
    code, message = refusal.code, refusal.message
    if service == "secretsmanager":
        body = {"__type": _JSON_CODES.get(code, "AccessDeniedException"), "message": message}
        return "400 Bad Request", "application/x-amz-json-1.1", json.dumps(body).encode()
    if service == "ec2":
        return _ec2_document(refusal)
    error = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    status = refusal.status or (400 if code.startswith(_BAD_REQUESTS) else 403)
    if service == "s3":
        error += "".join(f"<{name}>{escape(value)}</{name}>" for name, value in refusal.details.items())
        document = f"<Error>{error}<RequestId>gantry.local</RequestId></Error>"
    else:
        document = f"<ErrorResponse><Error>{error}</Error></ErrorResponse>"
    return _REASONS[status], _XML, document.encode()


def _ec2_document(refusal: Refused) -> tuple[str, str, bytes]:
    code, message, status = refusal.code, refusal.message, "401 Unauthorized"
    match code:
        case "ExpiredToken":
            code, message, status = "RequestExpired", "Request has expired.", "400 Bad Request"
        case "RequestLimitExceeded":
            status = "503 Service Unavailable"
        case "UnauthorizedOperation":
            status = "403 Forbidden"
        case "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AccessDenied" | "InvalidToken":
            # EC2 does not distinguish a wrong key from a wrong signature.
            code, message = "AuthFailure", "AWS was not able to validate the provided access credentials"
    document = (
        f"<Response><Errors><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error></Errors>"
        "<RequestID>gantry.local</RequestID></Response>"
    )
    return status, _XML, document.encode()
