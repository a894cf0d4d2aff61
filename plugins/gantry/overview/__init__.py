"""The read model: what a deployment's pages, their JSON and the terminal show of it.

Facts come through one protocol, `Source`, which pages implement by SQL, and the terminal by Airflow's API. What they
mean is computed here, once.
"""

from __future__ import annotations

from gantry.overview.bundles import left as left_bundle
from gantry.overview.bundles import told as told_bundles
from gantry.overview.deployment import DeploymentOverview, deployment, row
from gantry.overview.failures import allowed, completed, failed_tasks, recorded_run
from gantry.overview.model import (
    CompiledDefinition,
    DeploymentRow,
    FailedTask,
    LaunchDag,
    PastRun,
    Run,
    RunEnd,
    RunKey,
    ServerView,
    ServiceView,
    TaskInstanceRow,
    TierView,
)
from gantry.overview.parts import servers, services, tiers
from gantry.overview.records import DeliveredConfig, deliveries, history, installed, open_runs
from gantry.overview.runs import (
    before,
    most_relevant,
    progress,
    run_snapshot,
    shown,
    weight,
    worked,
    worked_before,
)
from gantry.overview.snapshot import RunProgress, RunSnapshot
from gantry.overview.source import RunSource, Source

__all__ = [
    "CompiledDefinition",
    "DeliveredConfig",
    "DeploymentOverview",
    "DeploymentRow",
    "FailedTask",
    "LaunchDag",
    "PastRun",
    "Run",
    "RunEnd",
    "RunKey",
    "RunProgress",
    "RunSnapshot",
    "RunSource",
    "ServerView",
    "ServiceView",
    "Source",
    "TaskInstanceRow",
    "TierView",
    "allowed",
    "before",
    "completed",
    "deliveries",
    "deployment",
    "failed_tasks",
    "history",
    "installed",
    "left_bundle",
    "most_relevant",
    "open_runs",
    "progress",
    "recorded_run",
    "row",
    "run_snapshot",
    "servers",
    "services",
    "shown",
    "tiers",
    "told_bundles",
    "weight",
    "worked",
    "worked_before",
]
