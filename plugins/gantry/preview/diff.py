"""Diffs of configuration files as `gantry plan` shows them: what is known only after the launch is called so."""

from __future__ import annotations

from collections.abc import Collection

from gantry.agent import config_diff
from gantry.preview import placeholders


def unified(path: str, before: str | None, after: str, secrets: Collection[str] = ()) -> tuple[str, ...]:
    """As `config_diff.unified`, without stand-ins."""
    return tuple(placeholders.shown(line) for line in config_diff.unified(path, before, after, secrets))
