"""View models: plain frozen data, the input of templates and of the JSON API beside `gantry.overview`.

Times are in UTC; the browser converts them to the user's time zone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from gantry import inventory, names, overview
from gantry.state import config_history


@dataclasses.dataclass(frozen=True)
class ConfigHistory:
    """The configuration files that a service received on a server, newest first."""

    service: names.ServiceName
    handed: config_history.Handouts


@dataclasses.dataclass(frozen=True)
class DeploymentDetails:
    """The content of a deployment's page.

    Attributes:
        current: its state, without the runs of DAGs that may not be read.
        known: its current definition.
        trouble: why the cloud does not answer, if it was asked.
        console: the URL prefix of instances' pages in the cloud's console; empty if there is none.
        addresses: the URLs of the deployed application, by load balancer.
        operations: the operations that it has a DAG for, and whether that is paused.
    """

    current: overview.DeploymentOverview
    known: overview.CompiledDefinition
    trouble: str = ""
    console: str = ""
    addresses: Mapping[names.BalancerName, str] = dataclasses.field(default_factory=dict)
    operations: Mapping[names.Operation, bool] = dataclasses.field(default_factory=dict)

    def link(self, instance: inventory.Server) -> str | None:
        """Return the URL of an instance in the cloud's console, or None if there is no console."""
        return f"{self.console}{instance.instance_id}" if self.console else None
