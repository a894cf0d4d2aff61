"""Results of chef-client runs: a summary, or an error with its cause and advice."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from gantry.agent import errors
from gantry.configuration_management import chef_causes, chef_log

_MOST_RESOURCES = 200
"""Maximum number of updated resources in a result; the log has all of them."""
_MOST_LINES = 30
"""Maximum number of lines of an explanation in an error; the log has all of them."""
_LESS_OF_USE = ("System Info:", "Expanded Run List:", "Compiled Resource:")


@dataclasses.dataclass(frozen=True)
class ChefSummary:
    """The summary of a run. `seconds` is chef-client's own count; `resources` were updated."""

    updated: int
    total: int
    seconds: int | None
    resources: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Convert the summary to plain JSON."""
        return {**dataclasses.asdict(self), "resources": list(self.resources)}


class ChefRunFailedError(errors.ServerError):
    """chef-client failed. The first and the last line have the cause and advice; Chef's explanation is in between."""

    def __init__(self, failed: errors.ScriptFailedError, cause: chef_causes.Cause, said: str) -> None:
        self.cause = cause
        self.call, self.code = failed.call, failed.code
        self.transient = cause.transient
        advice = cause.advice
        super().__init__(
            failed.server,
            f"{'FATAL: ' if cause.is_chefs else ''}{cause.headline} — {advice}\n"
            f"{failed.call} failed with exit code {failed.code}. {said}\n"
            f"{advice[:1].upper()}{advice[1:]}",
        )


class ChefReader:
    """Reads the log of a chef-client. See `gantry.agent.jobs.Reader`."""

    def keeps(self, line: str, kept: Sequence[str]) -> bool:
        """Keep resources, explanations, and the lines about the end."""
        return chef_log.keeps(line, kept)

    def failure(self, error: errors.ScriptFailedError, kept: Sequence[str]) -> errors.ServerError:
        """Return an error with the cause and advice; the error itself if chef-client printed nothing useful."""
        told = chef_log.read(kept)
        cause = chef_causes.cause_of(told, _asked(error.call))
        if cause is None:
            return error
        said = (
            f"Chef explains:\n{_explanation(told.blocks[-1])}"
            if told.blocks
            else f"The end of its output:\n{error.tail}"
        )
        return ChefRunFailedError(error, cause, said)

    def summary(self, kept: Sequence[str]) -> ChefSummary | None:
        """Return the counts, and the updated resources; None if the run is incomplete."""
        told = chef_log.read(kept)
        if told.counts is None:
            return None
        counts = told.counts
        return ChefSummary(counts.updated, counts.total, counts.seconds, told.updated[:_MOST_RESOURCES])


def _asked(call: str) -> chef_causes.Asked:
    """Return the Chef server and environment that the script was called with: its sixth and seventh argument."""
    return chef_causes.Asked(*[*call.split()[6:8], "", "NULL"][:2])


def _explanation(block: chef_log.Block) -> str:
    """Return the text of a block, without the parts that are the same in every block."""
    lines = [block.title]
    for heading, text in block.sections:
        if heading not in _LESS_OF_USE:
            lines += [f"  {heading}", *(f"    {line}" for line in text.splitlines())]
    more = ["    …"] if len(lines) > _MOST_LINES else []
    return "\n".join([*lines[:_MOST_LINES], *more])
