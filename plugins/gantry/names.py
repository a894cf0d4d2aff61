"""The names that people, servers and the cloud share, as types and as the rules they obey."""

from __future__ import annotations

import enum
import re
from typing import NewType

DeploymentName = NewType("DeploymentName", str)
"""A deployment's name; also the id of its launch DAG."""

TierName = NewType("TierName", str)
"""A tier's name, unique within its deployment."""

ServiceName = NewType("ServiceName", str)
"""A service's name in the definition, unique within its deployment."""

ServiceId = NewType("ServiceId", str)
"""A service's id on the server: `a` and digits. It names the folder `/mnt/services/a####`."""

CustomerId = NewType("CustomerId", str)
"""`c` and digits; also the user that services run as."""

DatasourceName = NewType("DatasourceName", str)
"""A datasource's name, unique within its service."""

BackupName = NewType("BackupName", str)
"""The name of something that is backed up, unique within its deployment."""

BalancerName = NewType("BalancerName", str)
"""A load balancer's name in the definition."""

PortName = NewType("PortName", str)
"""The name of one of a service's ports, unique within its service."""

ConnectionId = NewType("ConnectionId", str)
"""The id of an Airflow connection: a reference to a secret, never the secret."""

Slot = NewType("Slot", int)
"""A server's number in its tier, from 1. It outlives the VM that fills it."""

ServerName = NewType("ServerName", str)
"""A server's name, as the definition's `server_name` makes it: `deployment-tier-slot` where that is left out."""

NAME_PATTERN = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
"""Names of deployments, tiers, services, datasources, ports and balancers: usable in DNS, task ids and tags."""

SERVICE_ID_PATTERN = r"^a[0-9]{1,9}$"
CUSTOMER_ID_PATTERN = r"^c[0-9]{1,9}$"
USER_PATTERN = r"^[a-z_][a-z0-9_-]{0,31}$"


_WRITTEN = re.compile(
    rb"""^["']?deployment["']?[ \t]*:[ \t]+(?P<quote>["']?)(?P<name>[^\s"'#][^"'\r\n]*?)(?P=quote)"""
    rb"""[ \t]*(?:[ \t]#.*)?\r?$""",
    re.MULTILINE,
)


def written(definition: bytes) -> str | None:
    """What a definition says after `deployment:`, without reading the YAML: there may be many, and broken ones."""
    found = _WRITTEN.search(definition)
    return found["name"].decode(errors="replace") if found else None


class Operation(enum.StrEnum):
    """What can be done with a deployment as a whole. Each operation is a DAG."""

    LAUNCH = "launch"
    SCALE = "scale"
    TERMINATE = "terminate"
    BACKUP = "backup"
    RESTORE = "restore"
    RECOVER = "recover"
    WATCH = "watch"
    DRILL = "drill"


class StepKind(enum.StrEnum):
    """What a step of an operation does. The value names its task; `gantry.plan.STEP_KINDS` has the rest."""

    APPROVE = "approve"
    TURN = "turn"
    FIND_LOST = "find_lost"
    SCALE_UP = "scale_up"
    HANDSHAKE = "handshake"
    PREPARE_CONFIGURATION_MANAGEMENT = "prepare_configuration_management"
    EXECUTE_CONFIGURATION_MANAGEMENT = "execute_configuration_management"
    INSTALL_SERVICES = "install_services"
    INSTALL_DATASOURCES = "install_datasources"
    UPDATE = "update"
    CONFIGURE = "configure"
    RESTART = "restart"
    CONFIGURE_REPLICANTS = "configure_replicants"
    GRANT_ACCESS = "grant_access"
    START_PROXY = "start_proxy"
    FINISH_LAUNCH = "finish_launch"
    REMOVE_NEW_SERVERS = "remove_new_servers"
    CHOOSE_SERVERS = "choose_servers"
    RELEASE_NODES = "release_nodes"
    RETIRE_SERVERS = "retire_servers"
    CONFIRM = "confirm"
    ASK_SERVERS = "ask_servers"
    STOP_PROXY = "stop_proxy"
    STOP_SERVICE = "stop_service"
    TERMINATE_SERVERS = "terminate_servers"
    CLEAN_UP_CONFIGURATION_MANAGEMENT = "clean_up_configuration_management"
    FINISH_TERMINATION = "finish_termination"
    BACK_UP = "back_up"
    KEEP_BACKUP = "keep_backup"
    CONFIRM_RESTORE = "confirm_restore"
    RESTORE = "restore"
    WATCH = "watch"
    TRIGGER_RECOVER = "trigger_recover"
    TRIGGER_SCALE = "trigger_scale"
    KEEP_RECORD = "keep_record"
    CHOOSE_BACKUPS = "choose_backups"
    CHECK_BACKUP = "check_backup"
    REMOVE_DRILL_SERVERS = "remove_drill_servers"
    FINISH_DRILL = "finish_drill"


def dag_id(deployment: str, operation: Operation) -> str:
    """The id of the DAG of an operation: the launch has the deployment's name, others add their own to it."""
    return deployment if operation is Operation.LAUNCH else f"{deployment}.{operation.value}"


def operation_of(dag: str) -> Operation | None:
    """The operation of a DAG, by its id; None for one that is not known here."""
    _, dot, word = dag.partition(".")
    if not dot:
        return Operation.LAUNCH
    return next((each for each in Operation if each is not Operation.LAUNCH and each.value == word), None)


_DRILL = "--drill"
"""No name that a person may give has two dashes in a row, so no deployment has the name of another one's drills."""


def of_drill(deployment: DeploymentName) -> DeploymentName:
    """The name under which a drill launches what it needs of a deployment."""
    return DeploymentName(f"{deployment}{_DRILL}")


def deployment_of(name: DeploymentName) -> DeploymentName:
    """The deployment whose drill has this name; the name itself if it is no drill's."""
    return DeploymentName(name.removesuffix(_DRILL))


def asset(deployment: str) -> str:
    """The name, and the URI, of the asset that a successful launch updates."""
    return f"deployment://{deployment}"


def state(deployment: str) -> str:
    """The name, and the URI, of the asset whose state holds what is kept of a deployment; also its alias's name.

    It is one of its own because of the alias: who writes there emits an event by it, and an event of the deployment's
    own asset says that a launch has succeeded.
    """
    return f"deployment-state://{deployment}"
