"""State of a server as it reports it, and its predicted state after some work. Pure functions."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

from gantry import names
from gantry.agent import fan_out, jobs


@dataclasses.dataclass(frozen=True)
class ServerState:
    """The state of a server that decisions depend on.

    Attributes:
        marks: the marks that succeeded jobs have left there.
        checks: the output of services' checks, by id.
        digests: SHA-256 digests of existing, non-empty files, by path.
        configs: configuration files by path. They contain secrets.
        unreadable: existing configuration files that cannot be read, and why.
        stale: the agent's scripts that the handshake would send.
    """

    marks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    checks: Mapping[names.ServiceId, str] = dataclasses.field(default_factory=dict)
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict)
    configs: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    unreadable: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stale: tuple[str, ...] = ()

    def applied(self, questions: fan_out.Questions) -> fan_out.Applied:
        """Return the answers to a step's questions."""
        return fan_out.Applied(
            marks=self.marks,
            healthy=questions.checked is not None and self.checks.get(questions.checked) == fan_out.OK,
            digests={path: self.digests[path] for path in questions.files if path in self.digests},
        )

    def after(self, work: fan_out.Work) -> ServerState:
        """Return the server's state after successful work."""
        checks, digests = dict(self.checks), dict(self.digests)
        for file in work.files:
            digests.pop(file.path, None)
            if file.content:
                digests[file.path] = hashlib.sha256(file.content).hexdigest()
        for job in work.jobs:
            for path in job.remove:
                digests.pop(path, None)
            match job.script:
                case "awaitService":
                    checks[names.ServiceId(job.arguments[0])] = fan_out.OK
                case "stopService":
                    checks[names.ServiceId(job.arguments[0])] = "it is stopped"
        # The handshake comes before all work.
        marks = jobs.after(self.marks, work.jobs)
        return dataclasses.replace(self, marks=marks, checks=checks, digests=digests, stale=())
