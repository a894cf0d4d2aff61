"""Who makes sense of the output of which scripts, by a name that can travel."""

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
    """The reader of that name; none for none."""
    return None if name is None else _READERS[name]


def report(name: Name | None, everything: Sequence[jobs.ServerProgress]) -> dict[str, Any]:
    """What the servers' runs did, for the step's result: `{"runs": {SERVER: {...}}}`, or nothing without a reader."""
    if name is None:
        return {}
    read = _READERS[name]
    summaries = {each.target.name: read.summary(each.kept) for each in everything}
    return {"runs": {server: found.as_json() for server, found in summaries.items() if found is not None}}
