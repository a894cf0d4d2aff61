"""Request for an operation, passed from the task that checks a deployment's servers to the task that triggers it."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class TriggerRequest:
    """An operation that a check of the servers calls for.

    Attributes:
        conf: the form values that its run is triggered with; the reason is added automatically.
        why: the explanation for people; also the run's reason.
    """

    conf: dict[str, Any]
    why: str

    def as_json(self) -> dict[str, Any]:
        """Convert for an XCom."""
        return dataclasses.asdict(self)
