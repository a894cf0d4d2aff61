"""What steps work with, as far as their tests need it."""

from __future__ import annotations

from typing import Any


class Store(dict[str, Any]):
    """The state of a deployment's asset."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)
