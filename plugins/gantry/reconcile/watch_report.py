"""Result of a check of a deployment's servers, as input for decisions."""

from __future__ import annotations

import dataclasses
import datetime

from gantry import inventory
from gantry.agent import metrics
from gantry.reconcile import server_health


@dataclasses.dataclass(frozen=True)
class ServerObservation:
    """A server as a check has found it.

    Attributes:
        silent_since: time of the first of the consecutive checks without an answer; None if it answers.
    """

    server: inventory.Server
    seen: metrics.MetricsResult
    silent_since: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True)
class WatchReport:
    """The result of a check.

    Attributes:
        now: the time of the check.
        before: the time of the previous check; None if it was interrupted by an operation or is too long ago.
        sights: each server that stays, in the inventory's order.
        findings: the servers' health; empty if the watch replaces none and none was unhealthy before.
    """

    now: datetime.datetime
    before: datetime.datetime | None
    sights: tuple[ServerObservation, ...]
    findings: server_health.HealthReport = server_health.NOTHING
