"""Where a server keeps what belongs to a service, and under which mark it notes it."""

from __future__ import annotations

from gantry import names
from gantry.definition import models


def service_config(service: names.ServiceId) -> str:
    """Where a server keeps a service's `enstratus.cfg`."""
    return f"/mnt/services/{service}/cfg/enstratus.cfg"


def archive_mark(service: models.Service) -> str:
    """The mark that says which archive is installed."""
    return f"{service.id}/archive"
