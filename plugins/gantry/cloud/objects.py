"""Objects in S3: what an archive or a dump is now, and how a server may fetch it by itself."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from typing import TYPE_CHECKING, cast

from gantry import errors, names
from gantry.cloud.errors import CloudError, worded

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.literals import BucketLocationConstraintType

LINK_LIFETIME = datetime.timedelta(hours=6)
"""How long a presigned URL is good for. A server gets all links of a step at once and fetches one after the other:
the last of several datasources waits until those before it are loaded."""

_LONGEST_LIFETIME = datetime.timedelta(days=7)
UPLOAD_TYPE = "application/octet-stream"
"""What `uploadFile` calls everything that it puts: the type is signed together with the link."""

LARGEST_READ = 1_000_000
"""Bytes of an object that are read at most."""

_ABSENT = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})
_SHA256 = "sha256"
_FIRST_REGION = "us-east-1"
"""The one region that must not be named when a bucket is made in it."""


@dataclasses.dataclass(frozen=True)
class ObjectFacts:
    """An object as it is now. `version` changes exactly when its content does."""

    url: str
    version: str
    size: int


class MissingObjectError(errors.GantryError):
    """An archive or a dump that a definition names, and that is not there."""

    def __init__(self, url: str, wanted_by: str) -> None:
        self.url = url
        self.wanted_by = wanted_by
        super().__init__(f"{url} does not exist ({wanted_by})\nUpload it, or correct the definition.")


class MissingBucketError(errors.GantryError):
    """Where something should be put, there is no bucket."""

    def __init__(self, bucket: str, connection: names.ConnectionId) -> None:
        self.bucket = bucket
        super().__init__(
            f"there is no bucket {bucket!r} for the Airflow connection {connection!r}\n"
            "Make it (`gantry archive --create-bucket` does), or name another."
        )


class Objects:
    """S3 with the credentials of one Airflow connection."""

    def __init__(self, s3: S3Client, connection: names.ConnectionId) -> None:
        self._s3 = s3
        self._connection = connection

    def facts(self, url: str, wanted_by: str) -> ObjectFacts:
        """Look at an object.

        Args:
            url: `s3://bucket/key`.
            wanted_by: what names it, for the error.

        Raises:
            MissingObjectError: there is no such bucket or key.
            CloudError: the cloud refused to say.
        """
        bucket, key = _parts(url)
        try:
            with worded(f"looking at {url}", self._connection):
                found = self._s3.head_object(Bucket=bucket, Key=key)
        except CloudError as error:
            if error.code in _ABSENT:
                raise MissingObjectError(url, wanted_by) from error
            raise
        return ObjectFacts(url, found["ETag"].strip('"'), found["ContentLength"])

    def link(self, url: str) -> str:
        """A URL that fetches the object without credentials for `LINK_LIFETIME`. It is a secret."""
        bucket, key = _parts(url)
        with worded(f"making a link to {url}", self._connection):
            return self._s3.generate_presigned_url(
                "get_object",
                Params={"Bucket": bucket, "Key": key},
                ExpiresIn=int(LINK_LIFETIME.total_seconds()),
            )

    def upload_link(self, url: str, lifetime: datetime.timedelta) -> str:
        """A URL that puts the object without credentials, `UPLOAD_TYPE` being its type. It is a secret.

        Good for `lifetime`, but not for less than `LINK_LIFETIME`, nor for more than a link may be.
        """
        bucket, key = _parts(url)
        seconds = min(max(lifetime, LINK_LIFETIME), _LONGEST_LIFETIME).total_seconds()
        with worded(f"making a link to {url}", self._connection):
            return self._s3.generate_presigned_url(
                "put_object",
                Params={"Bucket": bucket, "Key": key, "ContentType": UPLOAD_TYPE},
                ExpiresIn=int(seconds),
            )

    def read(self, url: str, wanted_by: str) -> bytes:
        """A small object's content. Raises as `facts`."""
        bucket, key = _parts(url)
        try:
            with worded(f"reading {url}", self._connection):
                return self._s3.get_object(Bucket=bucket, Key=key)["Body"].read(LARGEST_READ)
        except CloudError as error:
            if error.code in _ABSENT:
                raise MissingObjectError(url, wanted_by) from error
            raise

    def write(self, url: str, content: bytes) -> None:
        """Put a small object, in place of what may be there. Raises MissingBucketError, CloudError."""
        bucket, key = _parts(url)
        try:
            with worded(f"writing {url}", self._connection):
                self._s3.put_object(Bucket=bucket, Key=key, Body=content)
        except CloudError as error:
            if error.code == "NoSuchBucket":
                raise MissingBucketError(bucket, self._connection) from error
            raise

    def names_in(self, folder: str) -> tuple[str, ...]:
        """The names of the objects in a folder (`s3://bucket/…/`), sorted, without those of folders below it."""
        bucket, prefix = _parts(folder)
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix, Delimiter="/"
        )
        try:
            with worded(f"listing {folder}", self._connection):
                found = [each["Key"] for page in pages for each in page.get("Contents", ())]
        except CloudError as error:
            if error.code == "NoSuchBucket":
                raise MissingBucketError(bucket, self._connection) from error
            raise
        return tuple(sorted(key.removeprefix(prefix) for key in found))

    def remove(self, url: str) -> None:
        """Take an object away; one that is gone already is no error. Raises CloudError."""
        bucket, key = _parts(url)
        with worded(f"removing {url}", self._connection):
            self._s3.delete_object(Bucket=bucket, Key=key)

    def put(self, file: pathlib.Path, url: str, sha256: str) -> bool:
        """Put a file where `url` says, unless the very same is there already.

        Args:
            file: what to put there.
            url: `s3://bucket/key`.
            sha256: of the file; it is kept beside the object, which makes the same file known again.

        Returns:
            Whether there was anything to do.

        Raises:
            MissingBucketError: there is no such bucket.
            CloudError: the cloud refused.
        """
        bucket, key = _parts(url)
        if self._sha256_of(bucket, key) == sha256:
            return False
        try:
            with worded(f"putting {file.name} to {url}", self._connection), file.open("rb") as content:
                self._s3.put_object(Bucket=bucket, Key=key, Body=content, Metadata={_SHA256: sha256})
        except CloudError as error:
            if error.code == "NoSuchBucket":
                raise MissingBucketError(bucket, self._connection) from error
            raise
        return True

    def make_bucket(self, url: str) -> bool:
        """Make the bucket of a URL in the client's region. Returns whether it was missing."""
        bucket, _ = _parts(url)
        try:
            with worded(f"looking at the bucket {bucket}", self._connection):
                self._s3.head_bucket(Bucket=bucket)
        except CloudError as error:
            if error.code not in _ABSENT:
                raise
        else:
            return False
        region = self._s3.meta.region_name
        with worded(f"making the bucket {bucket}", self._connection):
            if region == _FIRST_REGION:
                self._s3.create_bucket(Bucket=bucket)
            else:
                self._s3.create_bucket(
                    Bucket=bucket,
                    CreateBucketConfiguration={
                        "LocationConstraint": cast("BucketLocationConstraintType", region)
                    },
                )
        return True

    def _sha256_of(self, bucket: str, key: str) -> str | None:
        try:
            with worded(f"looking at s3://{bucket}/{key}", self._connection):
                return self._s3.head_object(Bucket=bucket, Key=key)["Metadata"].get(_SHA256)
        except CloudError as error:
            # Who may put objects need not be allowed to read them.
            if error.code in _ABSENT or error.code == "403":
                return None
            raise


def _parts(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key
