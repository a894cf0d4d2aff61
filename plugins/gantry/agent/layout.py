"""Paths and marks of a service on a server."""

from __future__ import annotations

from gantry import names
from gantry.definition import models


def service_config(service: names.ServiceId) -> str:
    """Return the path of a service's `enstratus.cfg` on a server."""
    return f"/mnt/services/{service}/cfg/enstratus.cfg"


def archive_mark(service: models.Service) -> str:
    """Return the key of the mark that names the installed archive."""
    return f"{service.id}/archive"
