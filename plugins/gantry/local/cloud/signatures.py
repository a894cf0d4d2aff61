"""Signature check of the embedded cloud: requests have to be signed, as in AWS.

moto answers any request. This WSGI layer in front of it checks AWS signatures, version 4, in headers and in presigned
URLs, then regions and permissions. The expected signature is calculated by botocore's own signer, from the request as
it arrived.
"""

from __future__ import annotations

import datetime
import hmac
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from botocore import auth, awsrequest, credentials

from gantry.local.cloud import api_errors, buckets, policies
from gantry.local.cloud.api_errors import Refused
from gantry.local.cloud.callers import Caller, Callers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_HEADER = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=(?P<credential>[^, ]+), *SignedHeaders=(?P<headers>[^, ]+), *"
    r"Signature=(?P<signature>[0-9a-f]+)"
)
_TIMESTAMP = "%Y%m%dT%H%M%SZ"
_CLOCK_SKEW = datetime.timedelta(minutes=15)
_LONGEST_VALIDITY = datetime.timedelta(days=7)
_SCOPE = 5
"""Parts of a credential: key, day, region, service, `aws4_request`."""


@dataclass(frozen=True)
class _Signature:
    """A version 4 signature as stated by the request."""

    access_key_id: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    value: str
    signed_at: datetime.datetime
    expires_in: datetime.timedelta | None  # of a presigned URL
    token: str  # of a session; empty where there is none


class SignatureCheck:
    """A WSGI wrapper that passes signed requests on."""

    def __init__(self, application: WSGIApplication, callers: Callers) -> None:
        self._application = application
        self._callers = callers

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass the request on, or answer with the error that AWS would give."""
        _to_origin_form(environ)
        service = _claimed_service(environ)
        try:
            self._check(environ)
        except Refused as refusal:
            answer = api_errors.answer(service, environ["REQUEST_METHOD"], refusal)
            start_response(answer.status, list(answer.headers))
            return [answer.body]
        return self._application(environ, start_response)

    def _check(self, environ: WSGIEnvironment) -> None:
        # moto's own control interface (reset, seed) is not part of a cloud.
        if environ["PATH_INFO"].startswith(("/moto-api", "/latest/")):
            raise Refused("AccessDenied", "Access Denied")
        signature = _read_signature(environ)
        caller = self._callers.find(signature.access_key_id, signature.token)
        _check_time(signature)
        if not hmac.compare_digest(_expected(environ, signature, caller), signature.value):
            raise Refused(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method.",
            )

        environ["gantry.service"], environ["gantry.region"] = signature.service, signature.region
        if signature.service != "s3":
            policies.check_call(environ, caller, signature.service, signature.region, _body(environ))
            return
        address = buckets.read(environ)
        presigned = signature.expires_in is not None
        buckets.check_region(environ, address, signature.region, presigned=presigned)
        policies.check_s3(environ, caller, address)
        buckets.check_size(environ)
        buckets.to_path_style(environ, address)


def _expected(environ: WSGIEnvironment, signature: _Signature, caller: Caller) -> str:
    presigned = signature.expires_in is not None
    is_s3 = signature.service == "s3"
    signer_class: type[auth.SigV4Auth] = auth.SigV4Auth
    if is_s3:
        signer_class = auth.S3SigV4QueryAuth if presigned else auth.S3SigV4Auth
    # Without the session token: if it is signed, the request contains it.
    keys = credentials.Credentials(signature.access_key_id, caller.secret_access_key)
    signer = signer_class(keys, signature.service, signature.region)
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
        return _signature(
            match["credential"],
            match["headers"],
            match["signature"],
            _date(environ),
            None,
            _header(environ, "x-amz-security-token"),
        )
    if "X-Amz-Signature" in query:
        try:
            return _signature(
                query["X-Amz-Credential"],
                query["X-Amz-SignedHeaders"],
                query["X-Amz-Signature"],
                query["X-Amz-Date"],
                datetime.timedelta(seconds=int(query["X-Amz-Expires"])),
                query.get("X-Amz-Security-Token", ""),
            )
        except (KeyError, ValueError, OverflowError) as error:
            raise Refused(
                "AuthorizationQueryParametersError", "Query-string authentication is malformed."
            ) from error
    if header or "AWSAccessKeyId" in query:
        # Version 2, or something else. Regions younger than 2014 never accepted it, and buckets of the others no
        # longer do.
        raise Refused(
            "InvalidRequest",
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        )
    raise Refused("AccessDenied", "Access Denied")


def _signature(
    credential: str,
    headers: str,
    value: str,
    date: str,
    expires_in: datetime.timedelta | None,
    token: str,
) -> _Signature:
    try:
        access_key_id, day, region, service, terminator = credential.split("/")
        signed_at = datetime.datetime.strptime(date, _TIMESTAMP).replace(tzinfo=datetime.UTC)
    except ValueError as error:
        raise Refused("AuthorizationHeaderMalformed", "The authorization is malformed.") from error
    if day != date[:8] or terminator != "aws4_request":
        raise Refused("AuthorizationHeaderMalformed", "The credential's scope is malformed.")
    return _Signature(
        access_key_id, region, service, tuple(headers.split(";")), value, signed_at, expires_in, token
    )


def _check_time(signature: _Signature) -> None:
    age = datetime.datetime.now(datetime.UTC) - signature.signed_at
    if signature.expires_in is None:
        if abs(age) > _CLOCK_SKEW:
            raise Refused(
                "RequestTimeTooSkewed", "The difference between the request time and ours is too large."
            )
    elif not datetime.timedelta() < signature.expires_in <= _LONGEST_VALIDITY:
        raise Refused(
            "AuthorizationQueryParametersError", "X-Amz-Expires must be between 1 and 604800 seconds."
        )
    elif age > signature.expires_in:
        raise Refused("AccessDenied", "Request has expired")
    elif -age > _CLOCK_SKEW:
        raise Refused("AccessDenied", "Request is not valid yet")


def _date(environ: WSGIEnvironment) -> str:
    return str(environ.get("HTTP_X_AMZ_DATE", ""))


def _header(environ: WSGIEnvironment, name: str) -> str:
    key = name.upper().replace("-", "_")
    return str(environ.get(key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}", ""))


def _url_without_signature(environ: WSGIEnvironment) -> str:
    """Return the URL with its percent-encoding as sent (which is what was signed)."""
    parts = urlsplit(f"http://{environ['HTTP_HOST']}{environ['RAW_URI']}")
    query = "&".join(part for part in parts.query.split("&") if not part.startswith("X-Amz-Signature="))
    return parts._replace(query=query).geturl()


def _to_origin_form(environ: WSGIEnvironment) -> None:
    """Convert a whole URL, as sent by clients that use this as a proxy, to the path, which is what is signed."""
    uri = str(environ["RAW_URI"])
    if uri.startswith("http://"):
        environ["RAW_URI"] = environ["REQUEST_URI"] = "/" + uri.removeprefix("http://").partition("/")[2]


def _body(environ: WSGIEnvironment) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _claimed_service(environ: WSGIEnvironment) -> str:
    """Return the API whose error format applies: from the signature's scope, else from the way of calling."""
    match = _HEADER.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
    if match and len(match["credential"].split("/")) == _SCOPE:
        return match["credential"].split("/")[3]
    posts_form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
    return "ec2" if posts_form else "s3"
