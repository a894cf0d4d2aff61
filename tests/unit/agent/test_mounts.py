"""Which file system a folder is on, as the kernel tells it."""

from __future__ import annotations

import pytest

from gantry.agent import bootstrap

MOUNTS = """\
overlay / overlay rw,relatime 0 0
/dev/xvdb /mnt ext4 rw,nosuid,noexec 0 0
/dev/xvdc /mnt/services ext4 rw 0 0
tmpfs /enstratus tmpfs rw 0 0
tmpfs /enstratus tmpfs rw,noexec 0 0
tmpfs /mnt/ser\\040vices tmpfs rw,noexec 0 0
"""


@pytest.mark.parametrize(
    ("folder", "place", "may_run"),
    [
        ("/mnt/services", "/mnt/services", True),
        ("/mnt/other", "/mnt", False),
        # The newest mount hides the one before.
        ("/enstratus/bin", "/enstratus", False),
        ("/enstratus-else", "/", True),
        ("/mnt/ser vices/x", "/mnt/ser vices", False),
    ],
)
def test_the_deepest_and_newest_mount_counts(folder: str, place: str, may_run: bool) -> None:  # noqa: FBT001
    found, options = bootstrap.mount_of(folder, MOUNTS)
    assert (found, "noexec" not in options) == (place, may_run)


def test_where_nothing_is_known_everything_may_run() -> None:
    assert bootstrap.mount_of("/enstratus/bin", "odd\n\n") == ("/", ())
