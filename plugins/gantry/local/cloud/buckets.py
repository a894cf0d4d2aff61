"""Bucket location as in AWS: by host and region, with ETags under KMS that are not digests of the content.

moto answers for every bucket on every host. The embedded cloud's own address stands for the regional endpoint of the
region that a request is signed for; AWS's own hosts, which reach it through a proxy or `curl --connect-to`, are
distinguished.
"""

from __future__ import annotations

import dataclasses
import re
import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from moto.s3.models import s3_backends

from gantry.local.cloud import account
from gantry.local.cloud.api_errors import Refused

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_HOST = re.compile(
    r"(?:(?P<bucket>[a-z0-9][a-z0-9.-]+)\.)?s3(?:[.-](?:dualstack\.)?(?P<region>[a-z]{2}(?:-[a-z]+)+-\d))?\.amazonaws\.com"
)
_FIRST_REGION = "us-east-1"
_HEADER = "x-amz-bucket-region"
_BEFORE_2019 = frozenset(
    {
        *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"),
        *("eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1"),
        *("ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2"),
    }
)
"""Regions whose buckets the global host knows. It refuses those since 20 March 2019."""

_LARGEST_UPLOAD = 5 * 2**30


@dataclasses.dataclass(frozen=True)
class S3Address:
    """The target of a request: its bucket and key, or neither; the region of its host, or None."""

    bucket: str
    key: str
    region: str | None = None
    is_global: bool = False
    is_virtual: bool = False


@dataclasses.dataclass(frozen=True)
class CopySource:
    """The source object of a copy; without a version the newest."""

    bucket: str
    key: str
    version: str | None


def read(environ: WSGIEnvironment) -> S3Address:
    """Return the target of an S3 request."""
    path = str(environ["RAW_URI"]).partition("?")[0]
    host = _HOST.fullmatch(str(environ["HTTP_HOST"]).partition(":")[0])
    if host is not None and host["bucket"]:
        bucket, key = host["bucket"], path.removeprefix("/")
    else:
        bucket, _, key = path.removeprefix("/").partition("/")
    is_global = host is not None and host["region"] is None
    region = _FIRST_REGION if is_global else host["region"] if host is not None else None
    return S3Address(
        unquote(bucket), unquote(key), region, is_global, bool(host is not None and host["bucket"])
    )


def find(name: str) -> Any:  # noqa: ANN401 - moto's bucket
    """Return moto's bucket of that name, or None."""
    return s3_backends[account.ACCOUNT_ID]["aws"].buckets.get(name)


def check_size(environ: WSGIEnvironment) -> None:
    """Refuse an upload that is too large for one request instead of parts. Raises Refused."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if environ["REQUEST_METHOD"] == "PUT" and length > _LARGEST_UPLOAD:
        raise Refused(
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed size",
            status=400,
            details={"ProposedSize": str(length), "MaxSizeAllowed": str(_LARGEST_UPLOAD)},
        )


def copied(environ: WSGIEnvironment) -> CopySource | None:
    """Return the source of a copy request, or None."""
    header = str(environ.get("HTTP_X_AMZ_COPY_SOURCE", ""))
    if not header:
        return None
    path, _, query = header.partition("?")
    bucket, _, key = unquote(path).removeprefix("/").partition("/")
    return CopySource(bucket, key, next(iter(parse_qs(query).get("versionId", ())), None))


def object_in(bucket: Any, key: str, version: str | None) -> Any:  # noqa: ANN401 - moto's object
    """Return moto's object of that name in a bucket, its newest or the given version; or None."""
    if version is None:
        return bucket.keys.get(key)
    return next((each for each in bucket.keys.getlist(key, []) if str(each.version_id) == version), None)


def default_key(bucket: Any) -> str | None:  # noqa: ANN401 - moto's bucket
    """Return the customer managed key that encrypts new objects of a bucket; None if it is AWS's, or there is none."""
    if not bucket.encryption:
        return None
    key: str | None = bucket.encryption["Rule"]["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID")
    return key


def check_region(environ: WSGIEnvironment, address: S3Address, signed_for: str, *, presigned: bool) -> None:
    """Refuse a request that AWS would only answer in another region. Raises Refused."""
    bucket = find(address.bucket)
    if bucket is None:
        return
    home = bucket.region_name
    asks_where = "location" in parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    if asks_where and address.region in (None, signed_for):
        # Any region returns a bucket's location.
        return
    told = {_HEADER: home}
    if address.region is not None and address.region != home and not asks_where:
        raise _elsewhere(environ, address, home, told)
    expected = address.region or home
    if signed_for != expected:
        wrong = f"the region '{signed_for}' is wrong; expecting '{expected}'"
        code, message = (
            ("AuthorizationQueryParametersError", f"Error parsing the X-Amz-Credential parameter; {wrong}")
            if presigned
            else ("AuthorizationHeaderMalformed", f"The authorization header is malformed; {wrong}")
        )
        raise Refused(code, message, details={"Region": expected}, headers=told)


def _elsewhere(environ: WSGIEnvironment, address: S3Address, home: str, told: dict[str, str]) -> Refused:
    if home not in _BEFORE_2019 or (not address.is_global and address.region not in _BEFORE_2019):
        return Refused(
            "IllegalLocationConstraintException",
            f"The {home} location constraint is incompatible for the region specific endpoint this request was sent "
            f"to.",
            headers=told,
        )
    host = f"{address.bucket}.s3.{home}.amazonaws.com"
    details = {"Endpoint": host, "Bucket": address.bucket}
    if address.is_global:
        # All buckets here are hours old. The signature is for another host, so following the redirect fails.
        path = str(environ["RAW_URI"]) if address.is_virtual else f"/{address.key}"
        return Refused(
            "TemporaryRedirect",
            "Please re-send this request to the specified temporary endpoint. Continue to use the original request "
            "endpoint for future requests.",
            status=307,
            details=details,
            headers={**told, "Location": f"{environ['wsgi.url_scheme']}://{host}{path}"},
        )
    return Refused(
        "PermanentRedirect",
        "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all "
        "future requests to this endpoint.",
        status=301,
        details=details,
        headers=told,
    )


def to_path_style(environ: WSGIEnvironment, address: S3Address) -> None:
    """Convert a request to one of AWS's own hosts into a request to the embedded cloud's address, which moto knows."""
    if address.region is None:
        return
    prefix = f"/{address.bucket}" if address.is_virtual else ""
    environ["HTTP_HOST"] = f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    environ["PATH_INFO"] = f"{prefix}{environ['PATH_INFO']}"
    environ["RAW_URI"] = environ["REQUEST_URI"] = f"{prefix}{environ['RAW_URI']}"


class OpaqueTags:
    """A WSGI wrapper that gives objects under KMS the ETags that S3 gives them."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass the request on."""
        if environ["REQUEST_METHOD"] not in ("PUT", "POST") or environ.get("gantry.service") != "s3":
            return self._application(environ, start_response)
        address = read(environ)
        answers: list[tuple[str, list[tuple[str, str]]]] = []

        def note(status: str, headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], None]:
            answers.append((status, headers))
            return lambda _: None

        body = b"".join(self._application(environ, note))
        ((status, headers),) = answers
        if status.startswith("2") and (changed := _opaque(address)):
            old, new = changed
            body = body.replace(old.encode(), new.encode())
            headers = [
                (name, value.replace(old, new) if name.lower() == "etag" else value)
                for name, value in headers
            ]
        start_response(status, headers)
        return [body]


def _opaque(address: S3Address) -> tuple[str, str] | None:
    """Give the newest version of an object under KMS another ETag; return the old and the new one."""
    bucket = find(address.bucket)
    key = bucket.keys.get(address.key) if bucket is not None and address.key else None
    if key is None or key.encryption != "aws:kms":
        return None
    old = key.etag.strip('"')
    digest, dash, parts = old.partition("-")
    key._etag = f"{secrets.token_hex(len(digest) // 2)}{dash}{parts}"  # noqa: SLF001 (moto offers no other way)
    return old, key.etag.strip('"')
