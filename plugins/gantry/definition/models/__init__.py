"""The definition language: what a team writes about a deployment, as frozen models.

The models hold what stands in the file and check each value by itself. What needs two places of the file
(a service's tier, a dependency, a cycle) is checked in `gantry.definition.checks`. Every field has a description and
examples: the reference and the JSON Schema are made from them.
"""

from __future__ import annotations

from gantry.definition.models.definition import Definition
from gantry.definition.models.runs import LARGEST_FAN_OUT, SMALLEST_FAN_OUT, Timeouts
from gantry.definition.models.servers import (
    MOST_SERVERS,
    Chef,
    Cloud,
    Converge,
    LaunchConfiguration,
    Script,
    ServerCount,
    Ssh,
    Tier,
)
from gantry.definition.models.services import (
    BalancerTls,
    Datasource,
    Dependency,
    LoadBalancer,
    Replication,
    Service,
    ServicePort,
    ServiceTls,
)

__all__ = [
    "LARGEST_FAN_OUT",
    "MOST_SERVERS",
    "SMALLEST_FAN_OUT",
    "BalancerTls",
    "Chef",
    "Cloud",
    "Converge",
    "Datasource",
    "Definition",
    "Dependency",
    "LaunchConfiguration",
    "LoadBalancer",
    "Replication",
    "Script",
    "ServerCount",
    "Service",
    "ServicePort",
    "ServiceTls",
    "Ssh",
    "Tier",
    "Timeouts",
]
