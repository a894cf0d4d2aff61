"""An operation that a look at a deployment's servers calls for, as one task hands it to the next."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class TriggerRequest:
    """An operation that a look calls for.

    Attributes:
        conf: what its run is triggered with, as its form has it; the reason comes by itself.
        why: for people; also the run's reason.
    """

    conf: dict[str, Any]
    why: str

    def as_json(self) -> dict[str, Any]:
        """For an XCom."""
        return dataclasses.asdict(self)
