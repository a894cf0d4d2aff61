"""Puts what `gantry demo` needs into a wheel, from the project's own folders (see gantry.local.resources)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES = (
    "docker/setup-machine.sh",
    "docker/server",
    "docker/compose.yaml",
    "docker/airflow/make-secrets.sh",
    "include/bookshop",
    "include/chef",
    "dags/bookshop.py",
)


class Files(BuildHookInterface[Any]):
    """Copies the files below `gantry/local/files`, laid out as they are in the project."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them to what is built. An editable install finds them in the checkout."""
        if version == "editable":
            return
        for file in FILES:
            build_data["force_include"][str(Path(self.root, file))] = f"gantry/local/files/{file}"
