"""Readers of the scripts' output, by a serializable name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from gantry.agent import jobs
from gantry.configuration_management import chef_output
from gantry.reconcile import backup_work

Name = Literal["chef", "backup", "check"]
_READERS: dict[Name, chef_output.ChefReader | backup_work.BackupReader | backup_work.CheckReader] = {
    "chef": chef_output.ChefReader(),
    "backup": backup_work.BackupReader(),
    "check": backup_work.CheckReader(),
}


def named(name: Name | None) -> jobs.Reader | None:
    """Return the reader of that name; None for None."""
    return None if name is None else _READERS[name]


def report(name: Name | None, everything: Sequence[jobs.ServerProgress]) -> dict[str, Any]:
    """Return the servers' results for the step: `{"runs": {SERVER: {...}}}`, or an empty dict without a reader."""
    if name is None:
        return {}
    read = _READERS[name]
    summaries = {each.target.name: read.summary(each.kept) for each in everything}
    return {"runs": {server: found.as_json() for server, found in summaries.items() if found is not None}}
