"""The names that people, servers and the cloud share, as types and as the rules they obey."""

from __future__ import annotations

import enum
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


ONLY_LOOKS = frozenset({Operation.WATCH})
"""Operations that touch nothing: they take no turn, and leave no record."""

KEEPS_STATE = frozenset({Operation.BACKUP, Operation.RESTORE, Operation.DRILL}) | ONLY_LOOKS
"""Operations that leave a deployment in the state in which they find it."""

BESIDE = frozenset({Operation.DRILL})
"""Operations on servers of their own. Only a termination, which takes those too, must not meet them."""


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
    """The name, and the URI, of a deployment's asset. Its state outlives the deployment's runs."""
    return f"deployment://{deployment}"
