"""The embedded cloud of the demo and the tests: real EC2 and S3 wire protocol, instances that are containers.

Nothing in the product may import it. The cloud itself knows of the product the root error and how to talk to a
Chef server; the demo that plays on it uses the product as anybody would.
"""

from __future__ import annotations

from gantry.local.control import down, leftovers, up
from gantry.local.errors import LocalCloudError
from gantry.local.state import EmbeddedCloud, load

__all__ = ["EmbeddedCloud", "LocalCloudError", "down", "leftovers", "load", "up"]
