"""The embedded cloud of the demo and the tests: real EC2 and S3 wire protocol, containers as instances.

The product must not import it. Of the product, the cloud itself uses only the root error and the Chef server client;
the demo uses the product as any user would.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gantry.local.cloud.control import down, leftovers, up
    from gantry.local.cloud.state import EmbeddedCloud, load
    from gantry.local.errors import LocalCloudError

__all__ = ["DEMO", "EmbeddedCloud", "LocalCloudError", "down", "leftovers", "load", "up"]

DEMO = "demo"
"""The default name of the demo, its cloud and its profile."""

_HOMES = {
    "down": "cloud.control",
    "leftovers": "cloud.control",
    "up": "cloud.control",
    "LocalCloudError": "errors",
    "EmbeddedCloud": "cloud.state",
    "load": "cloud.state",
}


def __getattr__(name: str) -> object:
    # `gantry --help` reads the help of this package's command, even without Docker's client installed.
    if name in _HOMES:
        return getattr(importlib.import_module(f"gantry.local.{_HOMES[name]}"), name)
    raise AttributeError(name)
