"""The embedded cloud of the demo and the tests: real EC2 and S3 wire protocol, instances that are containers.

Nothing in the product may import it. The cloud itself knows of the product the root error and how to talk to a
Chef server; the demo that plays on it uses the product as anybody would.
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
"""The name of the demo, its cloud and its profile, if none is given."""

_HOMES = {
    "down": "cloud.control",
    "leftovers": "cloud.control",
    "up": "cloud.control",
    "LocalCloudError": "errors",
    "EmbeddedCloud": "cloud.state",
    "load": "cloud.state",
}


def __getattr__(name: str) -> object:
    # `gantry --help` asks the command in this package for its help, also where Docker's client is not installed.
    if name in _HOMES:
        return getattr(importlib.import_module(f"gantry.local.{_HOMES[name]}"), name)
    raise AttributeError(name)
