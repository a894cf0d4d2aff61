"""Links for servers, created with a deployment's cloud connection."""

from __future__ import annotations

import dataclasses
import functools

from gantry.cloud import sources
from gantry.cloud.objects import Objects
from gantry.definition import models


@dataclasses.dataclass(frozen=True)
class CloudLinks:
    """Creates presigned URLs; reads the connection at the first one. See `gantry.agent.jobs.LinkMaker`."""

    cloud: models.Cloud

    @property
    def whose(self) -> str:
        """Return whose credentials they are signed with, for people."""
        return self.objects.whose

    def link(self, url: str, *, upload: bool = False, renewed: bool = False) -> str:
        """Return a URL for an object. Blocks. Raises as `Objects.link`, and UnknownConnectionError."""
        return self.objects.link(url, upload=upload, renewed=renewed)

    @functools.cached_property
    def objects(self) -> Objects:
        """Return the archives, dumps and backups in the cloud."""
        return Objects.of(sources.S3Access(self.cloud.connection, self.cloud.region))
