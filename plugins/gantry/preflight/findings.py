"""Results of checks, and the meaning of a failed one: a definite error, or something that could not be determined."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterable
from typing import Any

from gantry import errors
from gantry.cloud.errors import CloudError
from gantry.definition import source

Ask = Callable[[], str]
"""Returns a description of the current state. Raises GantryError."""

NO_RIGHT = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "403"})
"""Error codes of the cloud for missing read permission, whether or not the object exists."""


class CheckOutcome(enum.StrEnum):
    """The result of a check."""

    WELL = "well"
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """It could not be determined from here. This does not block operations."""


@dataclasses.dataclass(frozen=True)
class PreflightFinding:
    """The finding of one check.

    Attributes:
        what: the checked object.
        said: its current state, or what is wrong and what to do.
        path: its place in the definition.
        transient: whether the problem may pass by itself.
    """

    what: str
    said: str
    standing: CheckOutcome
    path: source.Path = ()
    transient: bool = False

    @property
    def is_wrong(self) -> bool:
        """Return whether an operation that needs it would definitely fail."""
        return self.standing is CheckOutcome.WRONG

    def __str__(self) -> str:
        # An object's own error begins with its URL.
        return self.said if self.said.startswith(self.what) else f"{self.what}: {self.said}"

    def problem(self, read: source.DefinitionData | None) -> source.Problem | None:
        """Return the finding with its position in the definition's files, if they are available."""
        return None if read is None else read.problem(self.path, str(self))

    def as_json(self, read: source.DefinitionData | None) -> dict[str, Any]:
        """Convert for programs."""
        problem = self.problem(read)
        place = None
        if problem is not None:
            place = f"{problem.file}:{problem.place.line}:{problem.place.column}"
        return {"what": self.what, "said": self.said, "standing": self.standing.value, "place": place}


class NotReadyError(errors.GantryError):
    """A prerequisite of an operation is missing. Nothing was started: no server, no change of a service.

    Attributes:
        findings: what is wrong, in the order of the checks.
    """

    def __init__(
        self, findings: Iterable[PreflightFinding], read: source.DefinitionData | None = None
    ) -> None:
        self.findings = tuple(findings)
        self.transient = all(each.transient for each in self.findings)
        count = "one thing is" if len(self.findings) == 1 else f"{len(self.findings)} things are"
        parts = [f"nothing was begun: {count} not as the definition needs it"]
        for each in self.findings:
            problem = each.problem(read)
            if problem is None:
                parts.append(str(each))
            else:
                parts += [str(problem), *filter(None, (problem.excerpt,))]
        parts.append(
            "Fix what is named and clear this task; `gantry doctor` looks at the same, and starts nothing."
        )
        super().__init__("\n".join(parts))


@dataclasses.dataclass(frozen=True)
class PreflightCheck:
    """A check to make.

    Attributes:
        what: the checked object, for people.
        path: its place in the definition.
        is_certain: whether a refusal means that an operation fails as well. If not (the operation does not need that
            permission, or uses another way), a refusal counts as undetermined.
    """

    what: str
    path: source.Path
    is_certain: Callable[[errors.GantryError], bool] = lambda _: True

    def of(self, ask: Ask) -> PreflightFinding:
        """Make the check. Never raises GantryError: that becomes a finding."""
        try:
            return self.well(ask())
        except errors.GantryError as error:
            return self.failed(error)

    def well(self, said: str) -> PreflightFinding:
        """Return a finding that all is well."""
        return PreflightFinding(self.what, said, CheckOutcome.WELL, self.path)

    def unknown(self, said: str) -> PreflightFinding:
        """Return a finding that it could not be determined."""
        return PreflightFinding(self.what, said, CheckOutcome.UNKNOWN, self.path)

    def failed(self, error: errors.GantryError) -> PreflightFinding:
        """Return the finding for an exception."""
        # A transient error may be gone when an operation, which retries several times, gets there.
        wrong = not error.transient and self.is_certain(error)
        return PreflightFinding(
            self.what, str(error), CheckOutcome.WRONG if wrong else CheckOutcome.UNKNOWN, self.path
        )


def may_look(error: errors.GantryError) -> bool:
    """Return whether this error contains more than that reading is forbidden."""
    return not (isinstance(error, CloudError) and error.code in NO_RIGHT)
