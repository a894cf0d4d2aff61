"""The states of a deployment during and after a launch."""

from __future__ import annotations

_CHECK = "awaitService"
"""The script that waits for a service's check. A step that ends with it fails because the check does."""
