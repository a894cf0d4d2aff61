"""Diffs of configuration files for `gantry plan`: values that are known only after the launch are named as such."""

from __future__ import annotations

from collections.abc import Collection

from gantry.agent import config_diff
from gantry.preview import placeholders


def unified(path: str, before: str | None, after: str, secrets: Collection[str] = ()) -> tuple[str, ...]:
    """As `config_diff.unified`, with readable placeholders."""
    return tuple(placeholders.shown(line) for line in config_diff.unified(path, before, after, secrets))
