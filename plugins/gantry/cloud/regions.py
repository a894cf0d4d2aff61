"""Region of a bucket: S3 signs, and answers, by region."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_HEADER = "x-amz-bucket-region"
_OLD_NAMES = {"EU": "eu-west-1"}
"""Locations whose S3 name is older than the regions' names."""

_FIRST_REGION = "us-east-1"


def region_of(s3: S3Client, bucket: str) -> str:
    """Return the region of a bucket, regardless of the client's own region.

    S3 reports it with each answer about a bucket, even with refusals: no additional permission is needed. Other stores
    may not report it; then the client's own region is right.

    Raises:
        ClientError: botocore's: the bucket does not exist, or the credentials are not valid.
    """
    import botocore.exceptions  # noqa: PLC0415 - takes a while to load

    try:
        headers = s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]
    except botocore.exceptions.ClientError as error:
        headers = error.response["ResponseMetadata"]["HTTPHeaders"]
        if error.response["Error"].get("Code") in {"404", "NoSuchBucket"}:
            raise
    if found := headers.get(_HEADER):
        return found
    try:
        # This needs a separate permission; but its refusals have a body with the reason.
        location: str | None = s3.get_bucket_location(Bucket=bucket)["LocationConstraint"]
    except botocore.exceptions.ClientError as error:
        if error.response["Error"].get("Code") != "AccessDenied":
            raise
        return s3.meta.region_name
    if not location:
        return _FIRST_REGION if ".amazonaws.com" in s3.meta.endpoint_url else s3.meta.region_name
    return _OLD_NAMES.get(location, location)
