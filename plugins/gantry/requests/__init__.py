"""What each operation can be asked for: the fields of its trigger form, their words, defaults and checks.

A field's param has the name of the request's attribute. DAGs declare it, runs read it, and the command line, the
preview and the autoscaling write it, all by the same class.
"""

from __future__ import annotations

from gantry.requests.errors import (
    FieldNotOfferedError,
    NotConfirmedError,
    ServerCountError,
    UnknownChoiceError,
)
from gantry.requests.fields import ParamDeclaration, Schemas
from gantry.requests.operations import (
    LONGEST_REASON,
    REQUESTS,
    BackupRequest,
    ConfirmedRequest,
    DrillRequest,
    LaunchRequest,
    LostDataRequest,
    MovableRequest,
    ReasonedRequest,
    RecoverRequest,
    RestoreRequest,
    ScaleRequest,
    TerminateRequest,
    WatchRequest,
)
from gantry.requests.request import OperationRequest, schemas_of

__all__ = [
    "LONGEST_REASON",
    "REQUESTS",
    "BackupRequest",
    "ConfirmedRequest",
    "DrillRequest",
    "FieldNotOfferedError",
    "LaunchRequest",
    "LostDataRequest",
    "MovableRequest",
    "NotConfirmedError",
    "OperationRequest",
    "ParamDeclaration",
    "ReasonedRequest",
    "RecoverRequest",
    "RestoreRequest",
    "ScaleRequest",
    "Schemas",
    "ServerCountError",
    "TerminateRequest",
    "UnknownChoiceError",
    "WatchRequest",
    "schemas_of",
]
