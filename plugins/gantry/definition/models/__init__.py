"""Data model of the definition language: a deployment's description as frozen models.

The models mirror the file and check each value by itself. Checks that involve two places of the file (a service's
tier, a dependency, a cycle) are in `gantry.definition.checks`. Every field has a description and examples, from which
the reference and the JSON Schema are generated.
"""

from __future__ import annotations

from gantry.definition.models.backups import Backups, Drill
from gantry.definition.models.definition import SERVER_NAME, WRITTEN, Definition
from gantry.definition.models.instances import (
    IMAGE_PARAMETER,
    LARGEST_USER_DATA,
    LONGEST_TAG_KEY,
    MOST_TAGS,
    Metadata,
    Network,
    Volume,
)
from gantry.definition.models.notifications import Approval, AssignedUser, Deadline, Notifier
from gantry.definition.models.runs import LARGEST_FAN_OUT, SMALLEST_FAN_OUT, StepSettings, Timeouts
from gantry.definition.models.scaling import ScalingTime
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
from gantry.definition.models.updates import Update
from gantry.definition.models.variables import Variable
from gantry.definition.models.watch import Rule, Watch

__all__ = [
    "IMAGE_PARAMETER",
    "LARGEST_FAN_OUT",
    "LARGEST_USER_DATA",
    "LONGEST_TAG_KEY",
    "MOST_SERVERS",
    "MOST_TAGS",
    "SERVER_NAME",
    "SMALLEST_FAN_OUT",
    "WRITTEN",
    "Approval",
    "AssignedUser",
    "Backups",
    "BalancerTls",
    "Chef",
    "Cloud",
    "Converge",
    "Datasource",
    "Deadline",
    "Definition",
    "Dependency",
    "Drill",
    "LaunchConfiguration",
    "LoadBalancer",
    "Metadata",
    "Network",
    "Notifier",
    "Replication",
    "Rule",
    "ScalingTime",
    "Script",
    "ServerCount",
    "Service",
    "ServicePort",
    "ServiceTls",
    "Ssh",
    "StepSettings",
    "Tier",
    "Timeouts",
    "Update",
    "Variable",
    "Volume",
    "Watch",
]
