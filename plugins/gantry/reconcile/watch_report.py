"""What a look at a deployment's servers has found, for those who decide what follows."""

from __future__ import annotations

import dataclasses
import datetime

from gantry import inventory
from gantry.agent import metrics
from gantry.reconcile import server_health


@dataclasses.dataclass(frozen=True)
class ServerObservation:
    """A server as a look has found it.

    Attributes:
        silent_since: when the first look was that it has not answered since, at each look; None where it answers.
    """

    server: inventory.Server
    seen: metrics.MetricsResult
    silent_since: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True)
class WatchReport:
    """All that a look has found.

    Attributes:
        now: when it was.
        before: when the look before it was, or None where something came in between, or too much time.
        sights: each server that stays, in the inventory's order.
        findings: what follows for the servers; nothing where the watch replaces none and none was unwell before.
    """

    now: datetime.datetime
    before: datetime.datetime | None
    sights: tuple[ServerObservation, ...]
    findings: server_health.HealthReport = server_health.NOTHING
