"""Who may call: requests to the embedded cloud are signed with its one access key, as AWS demands.

moto answers anybody. This WSGI layer stands before it and checks AWS signatures, version 4, in headers and in
presigned URLs. The expected signature is calculated by botocore's own signer, from the request as it arrived.
"""

from __future__ import annotations

import datetime
import hmac
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from botocore import auth, awsrequest, credentials

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_HEADER = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=(?P<credential>[^, ]+), *SignedHeaders=(?P<headers>[^, ]+), *"
    r"Signature=(?P<signature>[0-9a-f]+)"
)
_TIMESTAMP = "%Y%m%dT%H%M%SZ"
_CLOCK_SKEW = datetime.timedelta(minutes=15)
_LONGEST_VALIDITY = datetime.timedelta(days=7)
_XML = "text/xml"
_JSON_CODES = {
    "InvalidAccessKeyId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "RequestTimeTooSkewed": "InvalidSignatureException",
}
"""What the APIs that speak JSON call the same refusals."""


class _Refused(Exception):  # noqa: N818 (it is an answer, not an error of ours)
    """The request gets an error document."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(code)


@dataclass(frozen=True)
class _Signature:
    """A version 4 signature as the request states it."""

    access_key_id: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    value: str
    signed_at: datetime.datetime
    expires_in: datetime.timedelta | None  # of a presigned URL


class SignatureCheck:
    """A WSGI application that lets signed requests through to another one."""

    def __init__(self, application: WSGIApplication, access_key_id: str, secret_access_key: str) -> None:
        self._application = application
        self._credentials = credentials.Credentials(access_key_id, secret_access_key)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass the request on, or answer with the error that AWS would give."""
        service = _claimed_service(environ)
        try:
            self._check(environ)
        except _Refused as refusal:
            status, kind, body = _error_document(service, refusal)
            start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
            return [body]
        return self._application(environ, start_response)

    def _check(self, environ: WSGIEnvironment) -> None:
        # moto's own control interface (reset, seed) is no part of a cloud.
        if environ["PATH_INFO"].startswith(("/moto-api", "/latest/")):
            raise _Refused("AccessDenied", "Access Denied")
        signature = _read_signature(environ)
        if signature.access_key_id != self._credentials.access_key:
            raise _Refused(
                "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
            )
        _check_time(signature)
        if not hmac.compare_digest(self._expected(environ, signature), signature.value):
            raise _Refused(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method.",
            )

    def _expected(self, environ: WSGIEnvironment, signature: _Signature) -> str:
        presigned = signature.expires_in is not None
        is_s3 = signature.service == "s3"
        signer_class: type[auth.SigV4Auth] = auth.SigV4Auth
        if is_s3:
            signer_class = auth.S3SigV4QueryAuth if presigned else auth.S3SigV4Auth
        signer = signer_class(self._credentials, signature.service, signature.region)
        request = awsrequest.AWSRequest(
            method=environ["REQUEST_METHOD"],
            url=_url_without_signature(environ),
            headers={name: _header(environ, name) for name in signature.signed_headers},
            # S3 signs its payload by a header, and bodies may be large: they are left to moto.
            data=b"" if is_s3 else _body(environ),
        )
        request.context["timestamp"] = signature.signed_at.strftime(_TIMESTAMP)
        to_sign = signer.string_to_sign(request, signer.canonical_request(request))
        return str(signer.signature(to_sign, request))


def _read_signature(environ: WSGIEnvironment) -> _Signature:
    header = environ.get("HTTP_AUTHORIZATION")
    query = {key: values[0] for key, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
    if header and (match := _HEADER.fullmatch(header)):
        return _signature(match["credential"], match["headers"], match["signature"], _date(environ), None)
    if "X-Amz-Signature" in query:
        try:
            return _signature(
                query["X-Amz-Credential"],
                query["X-Amz-SignedHeaders"],
                query["X-Amz-Signature"],
                query["X-Amz-Date"],
                datetime.timedelta(seconds=int(query["X-Amz-Expires"])),
            )
        except (KeyError, ValueError, OverflowError) as error:
            raise _Refused(
                "AuthorizationQueryParametersError", "Query-string authentication is malformed."
            ) from error
    if header or "AWSAccessKeyId" in query:
        # Version 2, or something else. Regions younger than 2014, as our default one, never took it.
        raise _Refused(
            "InvalidRequest",
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        )
    raise _Refused("AccessDenied", "Access Denied")


def _signature(
    credential: str, headers: str, value: str, date: str, expires_in: datetime.timedelta | None
) -> _Signature:
    try:
        access_key_id, day, region, service, terminator = credential.split("/")
        signed_at = datetime.datetime.strptime(date, _TIMESTAMP).replace(tzinfo=datetime.UTC)
    except ValueError as error:
        raise _Refused("AuthorizationHeaderMalformed", "The authorization is malformed.") from error
    if day != date[:8] or terminator != "aws4_request":
        raise _Refused("AuthorizationHeaderMalformed", "The credential's scope is malformed.")
    return _Signature(access_key_id, region, service, tuple(headers.split(";")), value, signed_at, expires_in)


def _check_time(signature: _Signature) -> None:
    age = datetime.datetime.now(datetime.UTC) - signature.signed_at
    if signature.expires_in is None:
        if abs(age) > _CLOCK_SKEW:
            raise _Refused(
                "RequestTimeTooSkewed", "The difference between the request time and ours is too large."
            )
    elif not datetime.timedelta() < signature.expires_in <= _LONGEST_VALIDITY:
        raise _Refused(
            "AuthorizationQueryParametersError", "X-Amz-Expires must be between 1 and 604800 seconds."
        )
    elif age > signature.expires_in:
        raise _Refused("AccessDenied", "Request has expired")
    elif -age > _CLOCK_SKEW:
        raise _Refused("AccessDenied", "Request is not valid yet")


def _date(environ: WSGIEnvironment) -> str:
    return str(environ.get("HTTP_X_AMZ_DATE", ""))


def _header(environ: WSGIEnvironment, name: str) -> str:
    key = name.upper().replace("-", "_")
    return str(environ.get(key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}", ""))


def _url_without_signature(environ: WSGIEnvironment) -> str:
    """The URL with its percent-encoding as sent (which is what was signed)."""
    parts = urlsplit(f"http://{environ['HTTP_HOST']}{environ['RAW_URI']}")
    query = "&".join(part for part in parts.query.split("&") if not part.startswith("X-Amz-Signature="))
    return parts._replace(query=query).geturl()


def _body(environ: WSGIEnvironment) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _claimed_service(environ: WSGIEnvironment) -> str:
    """Which API's error document suits: the signature's scope says it, else the way of calling."""
    match = _HEADER.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
    if match and match["credential"].count("/") == 4:  # noqa: PLR2004 (key/date/region/service/aws4_request)
        return match["credential"].split("/")[3]
    posts_form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
    return "ec2" if posts_form else "s3"


def _error_document(service: str, refusal: _Refused) -> tuple[str, str, bytes]:
    """Status, content type and body, as the API that was called would answer."""
    code, message = refusal.code, refusal.message
    if service == "secretsmanager":
        body = {"__type": _JSON_CODES.get(code, "AccessDeniedException"), "message": message}
        return "400 Bad Request", "application/x-amz-json-1.1", json.dumps(body).encode()
    if service == "ec2":
        # EC2 does not tell a wrong key from a wrong signature.
        if code in {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"}:
            code = "AuthFailure"
            message = "AWS was not able to validate the provided access credentials"
        document = (
            f"<Response><Errors><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error></Errors>"
            "<RequestID>gantry.local</RequestID></Response>"
        )
        return "401 Unauthorized", _XML, document.encode()
    error = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    status = "400 Bad Request" if code.startswith(("InvalidRequest", "Authorization")) else "403 Forbidden"
    if service == "s3":
        return status, _XML, f"<Error>{error}<RequestId>gantry.local</RequestId></Error>".encode()
    return status, _XML, f"<ErrorResponse><Error>{error}</Error></ErrorResponse>".encode()
