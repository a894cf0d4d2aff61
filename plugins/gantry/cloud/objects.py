"""Objects in S3: what an archive or a dump is now, and how a server may fetch it by itself."""

from __future__ import annotations

import dataclasses
import datetime
from typing import TYPE_CHECKING

from gantry import errors, names
from gantry.cloud.errors import CloudError, worded

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

LINK_LIFETIME = datetime.timedelta(hours=6)
"""How long a presigned URL is good for. A server gets all links of a step at once and fetches one after the other:
the last of several datasources waits until those before it are loaded."""


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
            if error.code in {"404", "NoSuchKey", "NoSuchBucket", "NotFound"}:
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


def _parts(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key
