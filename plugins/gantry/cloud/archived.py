"""Objects in storage classes that S3 gives nothing back from: they are there, and cannot be fetched.

`HeadObject` answers as for any other object, and only its headers tell; `GetObject`, and so a server's link, is refused
with `403 InvalidObjectState`. Often a lifecycle rule of the bucket has moved them.
"""

from __future__ import annotations

from collections.abc import Mapping

from gantry import errors

REFUSAL = "InvalidObjectState"
"""The code of S3's refusal."""

_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""`GLACIER_IR` is none: it answers at once."""


class ArchivedObjectError(errors.GantryError):
    """An object that has to be restored before anybody can fetch it.

    Attributes:
        storage_class: where it is; empty where S3 has not told.
        is_coming: whether a restore of it is under way.
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
        super().__init__(f"{url} ({wanted_by}) is in {place}, from where S3 gives nothing back\n{todo}")


def obstacle(url: str, wanted_by: str, found: Mapping[str, object]) -> ArchivedObjectError | None:
    """Why an object cannot be fetched now, by what `HeadObject` tells of it; None if it can.

    What was restored can be, for as many days as it was asked for.
    """
    # Intelligent tiering keeps its class, and says which of its tiers it is in.
    place = str(found.get("ArchiveStatus") or found.get("StorageClass") or "")
    restored = str(found.get("Restore") or "")
    if "ArchiveStatus" in found or (place in _ARCHIVES and 'ongoing-request="false"' not in restored):
        return ArchivedObjectError(url, wanted_by, place, is_coming='ongoing-request="true"' in restored)
    return None
