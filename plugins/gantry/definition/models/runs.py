"""Run settings: the schedule of launches, timeouts of steps, and other settings that Airflow has."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from typing import TYPE_CHECKING, Annotated, Literal

import croniter
from pydantic import Field

from gantry.definition import source
from gantry.definition.fields import Duration, Model
from gantry.names import StepKind

SMALLEST_FAN_OUT, LARGEST_FAN_OUT = 1, 64
MOST_RETRIES = 20

# Strict: otherwise `true` would be one retry.
Retries = Annotated[int, Field(strict=True, ge=0, le=MOST_RETRIES)]
Count = Annotated[int, Field(strict=True, ge=1, le=1000)]
Pool = Annotated[str, Field(min_length=1, max_length=256)]
if TYPE_CHECKING:
    StepName = str
else:
    # An approval is requested once: it has no retries, no slots, and no settings.
    StepName = Literal[tuple(kind.value for kind in StepKind if kind is not StepKind.APPROVE)]
"""The kinds of steps with settings, by the names of their tasks."""


class StepSettings(Model):
    """How Airflow runs the tasks of one kind of step, in Airflow's words."""

    retries: Retries | None = Field(
        default=None,
        description=(
            "How often it is retried. If set here, after every failure, also of a script; otherwise only after "
            "temporary failures, as often as the file's `retries` says."
        ),
        examples=[3],
    )
    retry_delay: Duration | None = Field(
        default=None,
        description="How long to wait before it is retried. Left out: the file's.",
        examples=["30s"],
    )
    retry_exponential_backoff: Annotated[float, Field(strict=True, ge=1, le=10)] | None = Field(
        default=None,
        description=(
            "The factor by which the wait grows from one try to the next. Left out: the wait stays the same."
        ),
        examples=[2],
    )
    pool: Pool | None = Field(
        default=None, description="Airflow pool of its tasks. Left out: the file's.", examples=["databases"]
    )
    pool_slots: Count | None = Field(
        default=None, description="Slots of the pool that each of its tasks takes. Left out: 1.", examples=[2]
    )
    priority_weight: Count | None = Field(
        default=None,
        description="Its priority where tasks wait for a slot; the higher one goes first. Left out: 1.",
        examples=[10],
    )


class Timeouts(Model):
    """How long each kind of step may take on one server before it is ended there."""

    scale_up: Duration = Field(
        default=datetime.timedelta(minutes=10),
        description="Until stopped servers can be resumed, and until terminated ones are gone.",
        examples=["10m"],
    )
    handshake: Duration = Field(
        default=datetime.timedelta(minutes=10),
        description='From "asked for" to "the agent answers".',
        examples=["5m"],
    )
    execute_configuration_management: Duration = Field(
        default=datetime.timedelta(minutes=45),
        description="A Chef run, or a run of the program.",
        examples=["1h"],
    )
    install_services: Duration = Field(
        default=datetime.timedelta(minutes=15),
        description="Download and install of one service.",
        examples=["15m"],
    )
    install_datasources: Duration = Field(
        default=datetime.timedelta(minutes=60),
        description="Download and load of one datasource; the copying of a replicant.",
        examples=["2h"],
    )
    configure: Duration = Field(
        default=datetime.timedelta(minutes=15),
        description="Configure, stop and start, each.",
        examples=["5m"],
    )
    check: Duration = Field(
        default=datetime.timedelta(minutes=5),
        description="Until the service's check says `OK`.",
        examples=["90s"],
    )
    grant_access: Duration = Field(
        default=datetime.timedelta(minutes=5), description="A grant.", examples=["1m"]
    )
    start_proxy: Duration = Field(
        default=datetime.timedelta(minutes=5), description="The joining of one node.", examples=["1m"]
    )
    stop: Duration = Field(
        default=datetime.timedelta(minutes=5),
        description="Stopping, when terminating or scaling in.",
        examples=["2m"],
    )
    back_up: Duration = Field(
        default=datetime.timedelta(minutes=60),
        description="Making and uploading one backup. (A restore has the time of an installation.)",
        examples=["3h"],
    )


def known_time_zone(value: str) -> str:
    """Validate the name of a time zone, such as `Europe/Berlin`. Raises ValueError."""
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        shown = source.shown(value)
        raise ValueError(f"unknown time zone {shown}; write one such as Europe/Berlin") from error
    return value


def schedule(value: str | None) -> str | None:
    """Validate a cron expression with five fields that matches some time, or a preset. Raises ValueError."""
    if value is None or value in _PRESETS:
        return value
    if value.startswith("@"):
        raise ValueError(f"unknown preset {source.shown(value)}; known are {', '.join(sorted(_PRESETS))}")
    # croniter also accepts seconds, years, and random values that would differ at each parse.
    is_plain = (
        len(value) <= _LONGEST_CRON and len(value.split()) == _CRON_FIELDS and not _RANDOM.search(value)
    )
    if not is_plain or not croniter.croniter.is_valid(value):
        shown = source.shown(value)
        raise ValueError(f"{shown} is not a cron expression (minute hour day month weekday)")
    try:
        croniter.croniter(value, _SOME_MOMENT).get_next()
    except croniter.CroniterBadDateError as error:
        raise ValueError(f"{source.shown(value)} is a moment that never comes") from error
    return value


_CRON_FIELDS = 5
_LONGEST_CRON = 500
_RANDOM = re.compile(r"(^|[\s,])[rR]([\s(]|$)")
_SOME_MOMENT = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
_PRESETS = frozenset({"@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly"})
