"""What steps work with, as far as their tests need it."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, ClassVar

from gantry import inventory
from gantry.reconcile import step_run


class Store(dict[str, Any]):
    """The state of a deployment's asset."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


@dataclasses.dataclass(frozen=True)
class Run(step_run.StepRun):
    """A try of a step, whose cloud is a stand-in that remembers what it was told."""

    told: Any = dataclasses.field(kw_only=True)

    @property
    def cloud(self) -> Any:
        return self.told

    @property
    def health(self) -> Any:
        return self.told

    @property
    def inventory(self) -> inventory.Inventory:
        found: inventory.Inventory = self.told.find()
        return found


class Instance:
    """A task instance, as far as a report needs one."""

    start_date = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    pushed: ClassVar[dict[str, Any]] = {}
    """What the last one has pushed."""

    def __init__(self) -> None:
        self.pushed.clear()

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value
