"""Backups: what is backed up, where to, how often, how many are kept, and how restores are tested."""

from __future__ import annotations

import datetime
from typing import Annotated

import pydantic
from pydantic import Field

from gantry.definition import source
from gantry.definition.fields import BackupName, Duration, Model, S3Folder
from gantry.definition.models import runs
from gantry.definition.models.services import Dependency

MOST_KEPT = 1000
LONGEST_CHECK = 10_000
"""Characters. Longer programs belong in the service's archive."""


class Drill(Model):
    """Restores the newest backups on throw-away servers, to see whether that works."""

    schedule: str | None = Field(
        default=None,
        description=(
            "Cron expression (five fields) or `@daily` and the like, in the file's `timezone`. Left out: drills are "
            "started by hand only."
        ),
        examples=["0 5 * * 0"],
    )
    of: tuple[BackupName, ...] = Field(
        default=(),
        description="Which backups, by their names. Left out: all.",
        examples=[["catalog"]],
    )
    max_age: Duration | None = Field(
        default=None,
        description=(
            "The drill fails if the newest backup is older than this. Left out: any age is accepted."
        ),
        examples=["36h"],
    )
    check: dict[BackupName, Annotated[str, Field(min_length=1, max_length=LONGEST_CHECK)]] = Field(
        default_factory=dict,
        description=(
            "By the backup's name: a shell script that is run as root in the service's folder once the service's own "
            "check has said `OK`, and has to end with 0. Its last line is in the drill's report. Left out: the "
            "service's own check is enough."
        ),
        examples=[{"catalog": "bin/count-books --at-least 100"}],
    )
    timeout: Duration = Field(
        default=datetime.timedelta(minutes=15),
        description="How long each `check` may take.",
        examples=["5m"],
    )

    @pydantic.field_validator("schedule")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        return runs.schedule(value)

    @pydantic.field_validator("of")
    @classmethod
    def _once(cls, value: tuple[BackupName, ...]) -> tuple[BackupName, ...]:
        twice = sorted({str(each) for each in value if value.count(each) > 1})
        if twice:
            raise ValueError(f"named twice: {source.listed(twice)}")
        return value


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
        description="The folder in object storage; a backup is stored in `TO/DEPLOYMENT/NAME/`.",
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
        description="How many backups of each are kept: older ones are removed once a new one is complete.",
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
    drill: Drill | None = Field(
        default=None,
        description="How restores are tested. Left out: they are not, and there is no DAG for it.",
        examples=[{"schedule": "0 5 * * 0", "max_age": "36h"}],
    )

    @pydantic.field_validator("schedule")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        return runs.schedule(value)
