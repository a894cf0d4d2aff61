"""Objects in S3: the current state of archives and dumps, and links for servers to download them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import pathlib
import re
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from gantry import errors, names
from gantry.cloud import archived, regions
from gantry.cloud.errors import ENDED, CloudError, RefusedLinkError, worded

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.literals import BucketLocationConstraintType

    from gantry.cloud.sources import S3Access

T = TypeVar("T")

LINK_LIFETIME = datetime.timedelta(hours=1)
"""Maximum lifetime of a presigned URL: it is created directly before the job that uses it, and S3 checks the time when
a transfer begins. It expires earlier with the session that has signed it."""

UPLOAD_TYPE = "application/octet-stream"
"""Content type of all uploads by `uploadFile`: the type is signed together with the link."""

LARGEST_READ = 1_000_000
"""Maximum number of bytes that are read of an object."""

_ABSENT = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})
_MUTE = frozenset({"400", "403"})
"""Status codes of refused HEAD requests, whatever the reason: the answer has no body that could explain it."""

_TAKEN = frozenset({200, 206, 416})
"""Status codes of accepted links; 416 is the answer to reading the first byte of an empty object."""

_VERSION = "?versionId="
_FORBIDDEN = frozenset({"403", "AccessDenied"})
_NO_SUCH_RANGE = "InvalidRange"
"""Error code when reading the first byte of an empty object."""

_SHA256 = "sha256"
_FIRST_REGION = "us-east-1"
"""The only region that must not be named when a bucket is created in it."""


@dataclasses.dataclass(frozen=True)
class ObjectFacts:
    """The current state of an object.

    `version` is its ETag. It changes with the content, but also with encryption, the part size of the upload, and
    copies of the same bytes: a changed ETag does not imply changed content.

    `obstacle` is why it cannot be downloaded although it exists; only relevant if it has to be downloaded.
    """

    url: str
    version: str
    size: int
    obstacle: archived.ArchivedObjectError | None = dataclasses.field(default=None, compare=False)

    def fetchable(self) -> ObjectFacts:
        """Return these facts. Raises ArchivedObjectError if the object cannot be downloaded."""
        if self.obstacle is not None:
            raise self.obstacle
        return self


class MissingObjectError(errors.GantryError):
    """An archive or a dump that a definition names does not exist."""

    def __init__(self, url: str, wanted_by: str) -> None:
        self.url = url
        self.wanted_by = wanted_by
        version = " A version cannot be given: the newest one is used." if _VERSION in url else ""
        super().__init__(
            f"{url} does not exist ({wanted_by})\nUpload it, or correct the definition.{version}"
        )


class ForbiddenObjectError(errors.GantryError):
    """S3 refuses any information about an object, for one of two possible reasons."""

    def __init__(self, url: str, wanted_by: str, connection: names.ConnectionId) -> None:
        self.url = url
        self.wanted_by = wanted_by
        bucket, _ = parts(url)
        super().__init__(
            f"{url} ({wanted_by}): S3 answered 403 Forbidden to the Airflow connection {connection!r}\n"
            f"Either there is no such object (check its spelling), or the credentials lack s3:GetObject for it: "
            f"without s3:ListBucket on the bucket {bucket!r}, S3 does not say which. Grant s3:ListBucket, and it will."
        )


class MissingBucketError(errors.GantryError):
    """The bucket of an upload does not exist."""

    def __init__(self, bucket: str, connection: names.ConnectionId) -> None:
        self.bucket = bucket
        super().__init__(
            f"there is no bucket {bucket!r} for the Airflow connection {connection!r}\n"
            "Create it (`gantry archive --create-bucket` does), or name another."
        )


class Objects:
    """S3 with the credentials of one Airflow connection.

    A call that is refused because the credentials have expired is repeated once with renewed credentials from the
    connection; links are signed with these if `renewed` is given.

    Args:
        s3: the client for calls.
        connection: its connection, for errors.
        source: creates further clients: for links, and with renewed credentials. Without it there is only `s3`.
    """

    def __init__(self, s3: S3Client, connection: names.ConnectionId, source: S3Access | None = None) -> None:
        self._s3 = s3
        self._connection = connection
        self._source = source
        self._regions: dict[str, str] = {}

    @classmethod
    def of(cls, source: S3Access) -> Objects:
        """Create from a connection. Raises CloudConnectionError, CloudUnreachableError."""
        return cls(source.client, source.connection, source)

    @property
    def whose(self) -> str:
        """Return whose credentials links are signed with, for people."""
        if self._source is None:
            return f"the credentials of the Airflow connection {self._connection!r}"
        return self._source.whose

    def facts(self, url: str, wanted_by: str) -> ObjectFacts:
        """Query an object's state.

        Args:
            url: `s3://bucket/key`.
            wanted_by: the user of the object, for the error.

        Raises:
            MissingObjectError: the bucket or the key does not exist.
            ForbiddenObjectError: it does not exist, or may not be read.
            CloudError: the cloud refused.
        """
        bucket, key = parts(url)
        try:
            found = self._ask(
                f"looking at {url}",
                lambda s3: s3.head_object(Bucket=bucket, Key=key),
                lambda s3: s3.get_object(Bucket=bucket, Key=key, Range="bytes=0-0"),
            )
        except CloudError as error:
            raise self._about(error, url, wanted_by) from error
        obstacle = archived.obstacle(url, wanted_by, found)
        return ObjectFacts(url, found["ETag"].strip('"'), found["ContentLength"], obstacle)

    def head(self, url: str, wanted_by: str, count: int) -> tuple[ObjectFacts, bytes]:
        """Return an object's state and its first bytes, at most `count`, with one request.

        Raises as `facts`, and ArchivedObjectError if S3 does not return any of it.
        """
        bucket, key = parts(url)

        def get(s3: S3Client) -> tuple[ObjectFacts, bytes]:
            found = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{count - 1}")
            # `bytes 0-511/2048`; a store without ranges sends all of it.
            whole = found.get("ContentRange", "").rpartition("/")[2]
            size = int(whole) if whole.isdecimal() else found["ContentLength"]
            with contextlib.closing(found["Body"]) as body:
                return ObjectFacts(url, found["ETag"].strip('"'), size), body.read(count)

        try:
            return self._ask(f"looking at {url}", get)
        except CloudError as error:
            if error.code == _NO_SUCH_RANGE:
                return self.facts(url, wanted_by), b""
            if error.code == archived.REFUSAL:
                # Only headers show the storage class.
                self.facts(url, wanted_by).fetchable()
            raise self._about(error, url, wanted_by) from error

    def link(self, url: str, *, upload: bool = False, renewed: bool = False) -> str:
        """Return a URL that downloads or uploads the object without credentials. It is a secret.

        It is signed for the bucket's own region, for that region's host, and valid for at most `LINK_LIFETIME`.

        Args:
            url: `s3://bucket/key`.
            upload: whether it uploads the object, with the content type `UPLOAD_TYPE`.
            renewed: sign it with reloaded credentials, since a link with the previous ones was refused.

        Raises:
            MissingBucketError: the bucket does not exist.
            CloudError, CloudUnreachableError: the bucket's region cannot be determined, or signing failed.
        """
        if renewed:
            self._renew()
        bucket, key = parts(url)
        region = self.region(url)
        with worded(f"making a link to {url}", self._connection, lambda: self.whose):
            s3 = self._s3 if self._source is None else self._source.linking(region)
            params = {"Bucket": bucket, "Key": key, **({"ContentType": UPLOAD_TYPE} if upload else {})}
            return s3.generate_presigned_url(
                "put_object" if upload else "get_object",
                Params=params,
                ExpiresIn=int(LINK_LIFETIME.total_seconds()),
            )

    def region(self, url: str) -> str:
        """Return the region of a URL's bucket. It never changes, so it is looked up once. Raises as `link`."""
        bucket, _ = parts(url)
        if bucket not in self._regions:
            try:
                self._regions[bucket] = self._ask(
                    f"looking for the region of the bucket {bucket}", lambda s3: regions.region_of(s3, bucket)
                )
            except CloudError as error:
                if error.code in _ABSENT:
                    raise MissingBucketError(bucket, self._connection) from error
                raise
        return self._regions[bucket]

    def try_link(self, url: str) -> None:
        """Test a link as a server would use it, for one byte, from here and through the connection's proxies.

        Raises:
            RefusedLinkError: S3 rejects it. An object that cannot be downloaded does not count, see `ObjectFacts`.
            MissingBucketError, CloudError, CloudUnreachableError: as `link`; or there is no answer.
        """
        link = self.link(url)
        if self._source is None:
            raise LookupError("a link is tried by a connection's proxies, and there is no connection")
        status, said = self._source.first_byte(link)
        if status not in _TAKEN and f"<Code>{archived.REFUSAL}</Code>" not in said:
            raise RefusedLinkError(url, urllib.parse.urlsplit(link).netloc, status, _said(said))

    def read(self, url: str, wanted_by: str) -> bytes:
        """Return a small object's content. Raises as `facts`."""
        bucket, key = parts(url)
        try:
            return self._ask(
                f"reading {url}",
                lambda s3: s3.get_object(Bucket=bucket, Key=key)["Body"].read(LARGEST_READ),
            )
        except CloudError as error:
            raise self._about(error, url, wanted_by) from error

    def write(self, url: str, content: bytes) -> None:
        """Write a small object, replacing an existing one. Raises MissingBucketError, CloudError."""
        bucket, key = parts(url)
        try:
            self._ask(f"writing {url}", lambda s3: s3.put_object(Bucket=bucket, Key=key, Body=content))
        except CloudError as error:
            if error.code == "NoSuchBucket":
                raise MissingBucketError(bucket, self._connection) from error
            raise

    def names_in(self, folder: str) -> tuple[str, ...]:
        """Return the sorted names of the objects in a folder (`s3://bucket/…/`), without those of subfolders."""
        bucket, prefix = parts(folder)

        def keys(s3: S3Client) -> list[str]:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
            return [each["Key"] for page in pages for each in page.get("Contents", ())]

        try:
            found = self._ask(f"listing {folder}", keys)
        except CloudError as error:
            if error.code == "NoSuchBucket":
                raise MissingBucketError(bucket, self._connection) from error
            raise
        return tuple(sorted(key.removeprefix(prefix) for key in found))

    def remove(self, url: str) -> None:
        """Remove an object; a missing one is not an error. Raises CloudError."""
        bucket, key = parts(url)
        self._ask(f"removing {url}", lambda s3: s3.delete_object(Bucket=bucket, Key=key))

    def put(self, file: pathlib.Path, url: str, sha256: str) -> bool:
        """Upload a file to `url`, unless the same content is already there.

        Args:
            file: the file to upload.
            url: `s3://bucket/key`.
            sha256: the file's digest; it is stored as the object's metadata, by which the same file is recognized
                later.

        Returns:
            Whether there was anything to upload.

        Raises:
            MissingBucketError: the bucket does not exist.
            CloudError: the cloud refused.
        """
        bucket, key = parts(url)
        if self._sha256_of(bucket, key) == sha256:
            return False

        def upload(s3: S3Client) -> None:
            with file.open("rb") as content:
                s3.put_object(Bucket=bucket, Key=key, Body=content, Metadata={_SHA256: sha256})

        try:
            self._ask(f"putting {file.name} to {url}", upload)
        except CloudError as error:
            if error.code == "NoSuchBucket":
                raise MissingBucketError(bucket, self._connection) from error
            raise
        return True

    def make_bucket(self, url: str) -> bool:
        """Create the bucket of a URL in the client's region. Returns whether it was missing."""
        bucket, _ = parts(url)
        try:
            self._ask(
                f"looking at the bucket {bucket}",
                lambda s3: s3.head_bucket(Bucket=bucket),
                lambda s3: s3.list_objects_v2(Bucket=bucket, MaxKeys=1),
            )
        except CloudError as error:
            if error.code not in _ABSENT:
                raise
        else:
            return False
        region = self._s3.meta.region_name
        constraint = cast("BucketLocationConstraintType", region)

        def make(s3: S3Client) -> None:
            if region == _FIRST_REGION:
                s3.create_bucket(Bucket=bucket)
            else:
                s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": constraint})

        self._ask(f"making the bucket {bucket}", make)
        return True

    def _sha256_of(self, bucket: str, key: str) -> str | None:
        try:
            return self._ask(
                f"looking at s3://{bucket}/{key}",
                lambda s3: s3.head_object(Bucket=bucket, Key=key)["Metadata"].get(_SHA256),
                lambda s3: s3.get_object(Bucket=bucket, Key=key, Range="bytes=0-0"),
            )
        except CloudError as error:
            # Permission to write objects does not imply permission to read them.
            if error.code in _ABSENT or error.code in _FORBIDDEN:
                return None
            raise

    def _about(self, error: CloudError, url: str, wanted_by: str) -> errors.GantryError:
        """Return the error for a refused read of an object."""
        if error.code in _ABSENT:
            return MissingObjectError(url, wanted_by)
        if error.code in _FORBIDDEN:
            return ForbiddenObjectError(url, wanted_by, self._connection)
        if error.code == archived.REFUSAL:
            return archived.ArchivedObjectError(url, wanted_by)
        return error

    def _ask(
        self, doing: str, call: Callable[[S3Client], T], aloud: Callable[[S3Client], object] | None = None
    ) -> T:
        """Make a call, and repeat it once if its credentials have expired.

        Args:
            doing: the action, for people.
            call: the call.
            aloud: a call that is refused for the same reason with an error message; for a call whose answers have no
                body.
        """
        try:
            return self._once(doing, call, aloud)
        except CloudError as error:
            if error.code not in ENDED or self._source is None:
                raise
            self._renew()
            return self._once(doing, call, aloud)

    def _once(
        self, doing: str, call: Callable[[S3Client], T], aloud: Callable[[S3Client], object] | None
    ) -> T:
        with worded(doing, self._connection, lambda: self.whose):
            try:
                return call(self._s3)
            except Exception as error:
                if aloud is not None and _code(error) in _MUTE:
                    aloud(self._s3)
                raise

    def _renew(self) -> None:
        if self._source is not None:
            source = self._source.renewed()
            self._s3, self._source = source.client, source


def _said(document: str) -> str:
    """Return code and message of S3's error document."""
    fields = (re.search(rf"<{name}>([^<]*)</{name}>", document) for name in ("Code", "Message"))
    return " ".join(found[1] for found in fields if found)


def _code(error: Exception) -> str:
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def parts(url: str) -> tuple[str, str]:
    """Split `s3://bucket/key` into the bucket and the key."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key
