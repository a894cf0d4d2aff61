"""Backups: of what, where to, how often, and how many of them are kept."""

from __future__ import annotations

from typing import Annotated

import pydantic
from pydantic import Field

from gantry.definition.fields import BackupName, Model, S3Folder
from gantry.definition.models import runs
from gantry.definition.models.services import Dependency

MOST_KEPT = 1000


class Backups(Model):
    """What is backed up, all of it at the same times and to the same place."""

    of: Annotated[dict[BackupName, Dependency], Field(min_length=1)] = Field(
        description=(
            "By name, `SERVICE.DATASOURCE`: what the service's `enstratus-backupDataSource` writes; or `SERVICE`: its "
            "folder on the servers, which is for services without datasources."
        ),
        examples=[{"catalog": "db.catalog"}],
    )
    to: S3Folder = Field(
        description="The folder in object storage; a backup is put to `TO/DEPLOYMENT/NAME/`.",
        examples=["s3://bookshop-backups/daily/"],
    )
    schedule: str | None = Field(
        default=None,
        description=(
            "Cron expression (five fields) or `@daily` and the like, in the file's `timezone`. Left out: backups are "
            "made by hand only."
        ),
        examples=["0 2 * * *"],
    )
    keep: Annotated[int, Field(strict=True, ge=1, le=MOST_KEPT)] = Field(
        default=7,
        description="How many of each are kept: older ones are removed once a new one is complete.",
        examples=[7],
    )
    final: bool = Field(
        default=False,
        description=(
            "Whether a termination makes all backups before it stops anything, unless its form says otherwise."
        ),
        examples=[True],
    )
    restore_from: tuple[S3Folder, ...] = Field(
        default=(),
        description="Folders whose backups may be restored here too, such as another deployment's.",
        examples=[["s3://bookshop-backups/daily/production/"]],
    )

    @pydantic.field_validator("schedule")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        return runs.schedule(value)
