"""What becomes of chef-client's output: the summary of a run, and an error with its cause and what to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from gantry.agent import errors
from gantry.configuration_management import chef_causes, chef_log

_MOST_RESOURCES = 200
"""Updated resources in a result at most; the log has them all."""
_MOST_LINES = 30
"""Lines of an explanation in an error at most; the log has them all."""
_LESS_OF_USE = ("System Info:", "Expanded Run List:", "Compiled Resource:")


@dataclasses.dataclass(frozen=True)
class ChefSummary:
    """How a run went. `seconds` is chef-client's own count; `resources` were updated."""

    updated: int
    total: int
    seconds: int | None
    resources: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The summary as plain JSON."""
        return {**dataclasses.asdict(self), "resources": list(self.resources)}


class ChefRunFailedError(errors.ServerError):
    """chef-client failed. The first line is the cause, and what to do; so is the last, behind Chef's explanation."""

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
        """Resources, explanations, and what tells of the end."""
        return chef_log.keeps(line, kept)

    def failure(self, error: errors.ScriptFailedError, kept: Sequence[str]) -> errors.ServerError:
        """The cause, with what to do; the error itself where Chef did not get to speak."""
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
        """The counts, and which resources were updated; None where the run did not get to its end."""
        told = chef_log.read(kept)
        if told.counts is None:
            return None
        counts = told.counts
        return ChefSummary(counts.updated, counts.total, counts.seconds, told.updated[:_MOST_RESOURCES])


def _asked(call: str) -> chef_causes.Asked:
    """Which Chef server and environment the script was called with: its sixth and seventh argument."""
    return chef_causes.Asked(*[*call.split()[6:8], "", "NULL"][:2])


def _explanation(block: chef_log.Block) -> str:
    """What a block says, without what is the same in each of them."""
    lines = [block.title]
    for heading, text in block.sections:
        if heading not in _LESS_OF_USE:
            lines += [f"  {heading}", *(f"    {line}" for line in text.splitlines())]
    more = ["    …"] if len(lines) > _MOST_LINES else []
    return "\n".join([*lines[:_MOST_LINES], *more])
