"""Errors of the embedded cloud itself, worded for users of the demo and the tests."""

from __future__ import annotations

from pathlib import Path

from gantry.errors import GantryError
from gantry.local import resources


class LocalCloudError(GantryError):
    """The embedded cloud cannot do what was requested."""


class EngineUnreachableError(LocalCloudError):
    """No Docker Engine answers."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"no Docker Engine answers ({reason}); run {resources.SETUP_MACHINE}")


class ImageMissingError(LocalCloudError):
    """The image that instances boot from does not exist."""

    def __init__(self, image: str) -> None:
        self.image = image
        super().__init__(f"the server image {image} is missing; run {resources.SETUP_MACHINE}")


class NoFreeNetworkError(LocalCloudError):
    """All address ranges of the embedded cloud are in use."""

    def __init__(self, pool: str) -> None:
        self.pool = pool
        super().__init__(
            f"no free address range in {pool}: all are used by Docker networks or routes of this machine; "
            "see `docker network ls` and `ip route`"
        )


class CloudNotRunningError(LocalCloudError):
    """No embedded cloud of that name is running."""

    def __init__(self, name: str, state_file: Path) -> None:
        self.name = name
        self.state_file = state_file
        super().__init__(
            f"the embedded cloud {name!r} is not running (no {state_file}); run `python -m gantry.local up`"
        )


class CloudStartError(LocalCloudError):
    """The server process did not become ready."""

    def __init__(self, name: str, log_file: Path, log_tail: str) -> None:
        self.name = name
        self.log_file = log_file
        self.log_tail = log_tail
        super().__init__(f"the embedded cloud {name!r} did not start; the end of {log_file}:\n{log_tail}")


class MachineError(LocalCloudError):
    """A container of an instance could not be created, started or stopped."""

    def __init__(self, instance_id: str, action: str, reason: str) -> None:
        self.instance_id = instance_id
        self.action = action
        self.reason = reason
        super().__init__(f"{instance_id}: {action} failed: {reason}")
