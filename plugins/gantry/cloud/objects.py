"""Objects in S3: what an archive or a dump is now, and how a server may fetch it by itself."""

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
"""How long a presigned URL is good for at most: it is made directly before the job that uses it, and S3 looks at the
time when a transfer begins. It ends sooner with the session that has signed it."""

UPLOAD_TYPE = "application/octet-stream"
"""What `uploadFile` calls everything that it puts: the type is signed together with the link."""

LARGEST_READ = 1_000_000
"""Bytes of an object that are read at most."""

_ABSENT = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})
_MUTE = frozenset({"400", "403"})
"""What a HEAD request is refused with, whatever the reason: the answer has no body that could tell it."""

_TAKEN = frozenset({200, 206, 416})
"""Statuses of a link that was taken; 416 is the first byte of nothing."""

_VERSION = "?versionId="
_FORBIDDEN = frozenset({"403", "AccessDenied"})
_NO_SUCH_RANGE = "InvalidRange"
"""What the first byte of nothing is refused with."""

_SHA256 = "sha256"
_FIRST_REGION = "us-east-1"
"""The one region that must not be named when a bucket is made in it."""


@dataclasses.dataclass(frozen=True)
class ObjectFacts:
    """An object as it is now.

    `version` is its ETag. It changes when the content does, and also with its encryption, the size of the parts that it
    was uploaded in, and copies of the same bytes: that it has changed does not say that the content has.

    `obstacle` is why it cannot be fetched though it is there: a matter of whoever has to fetch it.
    """

    url: str
    version: str
    size: int
    obstacle: archived.ArchivedObjectError | None = dataclasses.field(default=None, compare=False)

    def fetchable(self) -> ObjectFacts:
        """These facts. Raises ArchivedObjectError if the object cannot be fetched."""
        if self.obstacle is not None:
            raise self.obstacle
        return self


class MissingObjectError(errors.GantryError):
    """An archive or a dump that a definition names, and that is not there."""

    def __init__(self, url: str, wanted_by: str) -> None:
        self.url = url
        self.wanted_by = wanted_by
        version = " Versions cannot be named: its newest one is taken." if _VERSION in url else ""
        super().__init__(
            f"{url} does not exist ({wanted_by})\nUpload it, or correct the definition.{version}"
        )


class ForbiddenObjectError(errors.GantryError):
    """S3 refuses to say anything about an object, which has two possible causes."""

    def __init__(self, url: str, wanted_by: str, connection: names.ConnectionId) -> None:
        self.url = url
        self.wanted_by = wanted_by
        bucket, _ = parts(url)
        super().__init__(
            f"{url} ({wanted_by}): S3 answered 403 Forbidden to the Airflow connection {connection!r}\n"
            f"Either there is no such object (check its spelling), or the credentials lack s3:GetObject for it: "
            f"without s3:ListBucket on the bucket {bucket!r}, S3 does not tell which. Grant s3:ListBucket, and it will."
        )


class MissingBucketError(errors.GantryError):
    """Where something should be put, there is no bucket."""

    def __init__(self, bucket: str, connection: names.ConnectionId) -> None:
        self.bucket = bucket
        super().__init__(
            f"there is no bucket {bucket!r} for the Airflow connection {connection!r}\n"
            "Make it (`gantry archive --create-bucket` does), or name another."
        )


class Objects:
    """S3 with the credentials of one Airflow connection.

    A call that is refused because the credentials have ended is made once more with those that the connection gives
    then, and so is a link for whoever asks for it with `renewed`.

    Args:
        s3: the client for calls.
        connection: its connection, for errors.
        source: makes further clients: for links, and with renewed credentials. Without one there is only `s3`.
    """

    def __init__(self, s3: S3Client, connection: names.ConnectionId, source: S3Access | None = None) -> None:
        self._s3 = s3
        self._connection = connection
        self._source = source
        self._regions: dict[str, str] = {}

    @classmethod
    def of(cls, source: S3Access) -> Objects:
        """What a connection opens. Raises UnknownConnectionError, CloudUnreachableError."""
        return cls(source.client, source.connection, source)

    @property
    def whose(self) -> str:
        """Whose credentials links are signed with, for a person."""
        if self._source is None:
            return f"the credentials of the Airflow connection {self._connection!r}"
        return self._source.whose

    def facts(self, url: str, wanted_by: str) -> ObjectFacts:
        """Look at an object.

        Args:
            url: `s3://bucket/key`.
            wanted_by: what names it, for the error.

        Raises:
            MissingObjectError: there is no such bucket or key.
            ForbiddenObjectError: there is none, or it may not be read.
            CloudError: the cloud refused to say.
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
        """An object as it is now, and its first bytes, `count` at most. One request.

        Raises as `facts`, and ArchivedObjectError if S3 gives nothing of it back.
        """
        bucket, key = parts(url)

        def get(s3: S3Client) -> tuple[ObjectFacts, bytes]:
            found = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{count - 1}")
            # `bytes 0-511/2048`; a store that knows no ranges sends all of it.
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
                # Only headers tell where it is.
                self.facts(url, wanted_by).fetchable()
            raise self._about(error, url, wanted_by) from error

    def link(self, url: str, *, upload: bool = False, renewed: bool = False) -> str:
        """A URL that fetches the object, or puts it, without credentials. It is a secret.

        It is signed for the bucket's own region, for its own host there, and good for `LINK_LIFETIME` at most.

        Args:
            url: `s3://bucket/key`.
            upload: whether it puts the object, `UPLOAD_TYPE` being its type.
            renewed: sign it with credentials that are read again, since a link of those before was refused.

        Raises:
            MissingBucketError: there is no such bucket.
            CloudError, CloudUnreachableError: the bucket's region cannot be found, or no link be signed.
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
        """Where the bucket of a URL is. It stays there for good, so it is looked for once. Raises as `link`."""
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
        """Use a link as a server would, for one byte, from here and by the connection's proxies.

        Raises:
            RefusedLinkError: S3 does not take it. An object that cannot be fetched is no such thing, see `ObjectFacts`.
            MissingBucketError, CloudError, CloudUnreachableError: as `link`; or nothing answers.
        """
        link = self.link(url)
        if self._source is None:
            raise LookupError("a link is tried by a connection's proxies, and there is no connection")
        status, said = self._source.first_byte(link)
        if status not in _TAKEN and f"<Code>{archived.REFUSAL}</Code>" not in said:
            raise RefusedLinkError(url, urllib.parse.urlsplit(link).netloc, status, _said(said))

    def read(self, url: str, wanted_by: str) -> bytes:
        """A small object's content. Raises as `facts`."""
        bucket, key = parts(url)
        try:
            return self._ask(
                f"reading {url}",
                lambda s3: s3.get_object(Bucket=bucket, Key=key)["Body"].read(LARGEST_READ),
            )
        except CloudError as error:
            raise self._about(error, url, wanted_by) from error

    def write(self, url: str, content: bytes) -> None:
        """Put a small object, in place of what may be there. Raises MissingBucketError, CloudError."""
        bucket, key = parts(url)
        try:
            self._ask(f"writing {url}", lambda s3: s3.put_object(Bucket=bucket, Key=key, Body=content))
        except CloudError as error:
            if error.code == "NoSuchBucket":
                raise MissingBucketError(bucket, self._connection) from error
            raise

    def names_in(self, folder: str) -> tuple[str, ...]:
        """The names of the objects in a folder (`s3://bucket/…/`), sorted, without those of folders below it."""
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
        """Take an object away; one that is gone already is no error. Raises CloudError."""
        bucket, key = parts(url)
        self._ask(f"removing {url}", lambda s3: s3.delete_object(Bucket=bucket, Key=key))

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
        """Make the bucket of a URL in the client's region. Returns whether it was missing."""
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
            # Who may put objects need not be allowed to read them.
            if error.code in _ABSENT or error.code in _FORBIDDEN:
                return None
            raise

    def _about(self, error: CloudError, url: str, wanted_by: str) -> errors.GantryError:
        """What a refusal means for an object that is to be read."""
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
        """Make a call, once more if its credentials have ended.

        Args:
            doing: for a person.
            call: the call.
            aloud: one that is refused for the same reason, and says it; for a call whose answers have no body.
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
    """Code and message of S3's error document."""
    fields = (re.search(rf"<{name}>([^<]*)</{name}>", document) for name in ("Code", "Message"))
    return " ".join(found[1] for found in fields if found)


def _code(error: Exception) -> str:
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def parts(url: str) -> tuple[str, str]:
    """The bucket and the key of `s3://bucket/key`."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key
