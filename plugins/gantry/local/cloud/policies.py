"""Authorization of requests: their IAM actions, and whether the caller's policies allow them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from gantry.local.cloud import buckets, ec2_rights
from gantry.local.cloud.api_errors import Refused
from gantry.local.cloud.iam import Ask

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from gantry.local.cloud.callers import Caller

_OBJECTS = {
    "GET": "GetObject",
    "HEAD": "GetObject",
    "PUT": "PutObject",
    "POST": "PutObject",
    "DELETE": "DeleteObject",
}
_BUCKETS = {"GET": "ListBucket", "HEAD": "ListBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}
_ASKED = {
    "location": "GetBucketLocation",
    "versioning": "GetBucketVersioning",
    "versions": "ListBucketVersions",
}
"""Actions on a bucket, by the query parameter that requests them."""

_OF_UPLOADS = {"DELETE": "AbortMultipartUpload", "GET": "ListMultipartUploadParts"}
"""Actions on a multipart upload besides uploading parts."""

_OTHER = "Other"
"""An action that this product never uses: allowed only by policies for everything."""


def check_s3(environ: WSGIEnvironment, caller: Caller, address: buckets.S3Address) -> None:
    """Refuse what no policy allows, including the information that an object is missing. Raises Refused."""
    method = environ["REQUEST_METHOD"]
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    bucket = buckets.find(address.bucket)
    everything = f"arn:aws:s3:::{address.bucket}"
    if not address.bucket:
        _require(caller, Ask("s3:ListAllMyBuckets"))
        return
    if address.key:
        _require(caller, Ask(f"s3:{_on_object(method, query)}", f"{everything}/{address.key}"))
        _check_copied(environ, caller)
        if bucket is None:
            return
        if method in ("GET", "HEAD") and address.key not in bucket.keys:
            # Without permission to list, a missing object is not reported.
            _require(caller, Ask("s3:ListBucket", everything))
            return
        _check_key(method, caller, bucket, address.key, next(iter(query.get("versionId", ())), None))
        return
    if bucket is None and method != "PUT":
        return
    words = [action for word, action in _ASKED.items() if word in query]
    action = words[0] if words and method == "GET" else _BUCKETS.get(method, _OTHER)
    headers = {} if bucket is None else {"x-amz-bucket-region": bucket.region_name}
    context = {f"s3:{key}": tuple(query[key]) for key in ("prefix", "delimiter") if key in query}
    _require(caller, Ask(f"s3:{action}", everything, context), headers)


def _on_object(method: str, query: dict[str, list[str]]) -> str:
    if "uploadId" in query and method in _OF_UPLOADS:
        return _OF_UPLOADS[method]
    action = _OBJECTS.get(method, _OTHER)
    return f"{action}Version" if "versionId" in query and action in ("GetObject", "DeleteObject") else action


def _check_copied(environ: WSGIEnvironment, caller: Caller) -> None:
    """Check that the caller of a copy may read its source."""
    source = buckets.copied(environ)
    if source is not None:
        version = "Version" if source.version else ""
        _require(caller, Ask(f"s3:GetObject{version}", f"arn:aws:s3:::{source.bucket}/{source.key}"))


def _check_key(method: str, caller: Caller, bucket: Any, key: str, version: str | None) -> None:  # noqa: ANN401 - moto's bucket
    """Check the permissions on a customer managed KMS key. AWS's key for S3 is available to all who may use S3.

    A HEAD request needs none of them: so a caller that can see an object may not be able to download it.
    """
    if method == "GET":
        found = buckets.object_in(bucket, key, version)
        used, action = (found.kms_key_id if found is not None else None), "kms:Decrypt"
    elif method in ("PUT", "POST"):
        used, action = buckets.default_key(bucket), "kms:GenerateDataKey"
    else:
        return
    if used:
        _require(caller, Ask(action, str(used)))


def check_call(environ: WSGIEnvironment, caller: Caller, service: str, region: str, body: bytes) -> None:
    """Check the same for the APIs that call their actions by name."""
    if caller.policies is None:
        return
    target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
    form = parse_qs(body.decode(errors="replace"))
    name = target.rpartition(".")[2] or form.get("Action", [_OTHER])[0]
    if (service, name) == ("sts", "GetCallerIdentity"):
        return
    if service == "ec2":
        for ask in ec2_rights.asked(form, region):
            if not caller.may(ask):
                raise Refused(
                    "UnauthorizedOperation",
                    f"You are not authorized to perform this operation. {_denied(caller, ask)}",
                )
        return
    ask = Ask(f"{service}:{name}", form.get("RoleArn", ["*"])[0])
    if not caller.may(ask):
        raise Refused("AccessDenied", _denied(caller, ask))


def _require(caller: Caller, ask: Ask, headers: dict[str, str] | None = None) -> None:
    if not caller.may(ask):
        raise Refused("AccessDenied", _denied(caller, ask), headers=headers)


def _denied(caller: Caller, ask: Ask) -> str:
    return (
        f"User: {caller.arn} is not authorized to perform: {ask.action} on resource: {ask.resource} because no "
        f"identity-based policy allows the {ask.action} action"
    )
