"""What keeps a deployment's state: values of JSON under keys."""

from __future__ import annotations

from typing import Any, Protocol


class Store(Protocol):
    """Store of a deployment's state. Each call may block for a request to Airflow."""

    def get(self, key: str) -> Any:  # noqa: ANN401 - JSON
        """Return the value stored under a key, or None."""

    def set(self, key: str, value: Any) -> None:  # noqa: ANN401 - JSON
        """Store a value."""

    def delete(self, key: str) -> None:
        """Delete a value."""
