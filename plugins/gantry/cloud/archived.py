"""Objects in S3 archive storage classes: they exist, but cannot be downloaded before a restore.

`HeadObject` answers as for any other object, and only its headers show the class; `GetObject`, and so a server's link,
is refused with `403 InvalidObjectState`. Often a lifecycle rule of the bucket has moved them.
"""

from __future__ import annotations

from collections.abc import Mapping

from gantry import errors

REFUSAL = "InvalidObjectState"
"""The error code of S3's refusal."""

_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""`GLACIER_IR` is not one of them: it answers at once."""


class ArchivedObjectError(errors.GantryError):
    """An object has to be restored before it can be downloaded.

    Attributes:
        storage_class: its storage class; empty if S3 did not report it.
        is_coming: whether its restore is in progress.
    """

    def __init__(self, url: str, wanted_by: str, storage_class: str = "", *, is_coming: bool = False) -> None:
        self.url = url
        self.storage_class = storage_class
        self.is_coming = is_coming
        bucket, _, key = url.removeprefix("s3://").partition("/")
        place = f"the storage class {storage_class}" if storage_class else "an archive's storage class"
        todo = (
            "S3 is restoring it, which takes hours. Try again when that is done."
            if is_coming
            else f"Restore it (aws s3api restore-object --bucket '{bucket}' --key '{key}' --restore-request Days=7; it "
            "takes hours), or copy it to another class, then try again. Look for the lifecycle rule that has moved it."
        )
        super().__init__(f"{url} ({wanted_by}) is in {place}, from which S3 returns no objects\n{todo}")


def obstacle(url: str, wanted_by: str, found: Mapping[str, object]) -> ArchivedObjectError | None:
    """Return why an object cannot be downloaded now, according to `HeadObject`; None if it can.

    A restored object can be downloaded for the requested number of days.
    """
    # Intelligent tiering keeps its class, and reports its tier separately.
    place = str(found.get("ArchiveStatus") or found.get("StorageClass") or "")
    restored = str(found.get("Restore") or "")
    if "ArchiveStatus" in found or (place in _ARCHIVES and 'ongoing-request="false"' not in restored):
        return ArchivedObjectError(url, wanted_by, place, is_coming='ongoing-request="true"' in restored)
    return None
