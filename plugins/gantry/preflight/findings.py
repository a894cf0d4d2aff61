"""What comes of a look, and what a failed one means: a mistake that is certain, or something nobody could find out."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterable
from typing import Any

from gantry import errors
from gantry.cloud.errors import CloudError
from gantry.definition import source

Ask = Callable[[], str]
"""Says what is there. Raises GantryError."""

NO_RIGHT = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "403"})
"""What the cloud says to those who have no right to look, whatever is there."""


class CheckOutcome(enum.StrEnum):
    """What a look has come to."""

    WELL = "well"
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """It could not be found out from here. That refuses nothing."""


@dataclasses.dataclass(frozen=True)
class PreflightFinding:
    """What came of one look.

    Attributes:
        what: what was looked at.
        said: what is known of it now, or what is wrong and what to do.
        path: what in the definition names it.
        transient: whether what is wrong may pass by itself.
    """

    what: str
    said: str
    standing: CheckOutcome
    path: source.Path = ()
    transient: bool = False

    @property
    def is_wrong(self) -> bool:
        """Whether an operation that needs it is certain to fail."""
        return self.standing is CheckOutcome.WRONG

    def __str__(self) -> str:
        # An object's own error begins with its URL.
        return self.said if self.said.startswith(self.what) else f"{self.what}: {self.said}"

    def problem(self, read: source.DefinitionData | None) -> source.Problem | None:
        """The same with its place in the definition's files, where they are at hand."""
        return None if read is None else read.problem(self.path, str(self))

    def as_json(self, read: source.DefinitionData | None) -> dict[str, Any]:
        """For programs."""
        problem = self.problem(read)
        place = None
        if problem is not None:
            place = f"{problem.file}:{problem.place.line}:{problem.place.column}"
        return {"what": self.what, "said": self.said, "standing": self.standing.value, "place": place}


class NotReadyError(errors.GantryError):
    """What an operation needs is not there. Nothing has been begun: no server is started, no service touched.

    Attributes:
        findings: what is wrong, in the order of the looks.
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
            "Mend what is named and clear this task; `gantry doctor` looks at the same, and starts nothing."
        )
        super().__init__("\n".join(parts))


@dataclasses.dataclass(frozen=True)
class PreflightCheck:
    """A thing to look at.

    Attributes:
        what: for a person.
        path: what in the definition names it.
        is_certain: whether a refusal means that an operation fails as well. Where it is not, since an operation does
            not need that right, or goes another way, a refusal is something that could not be found out.
    """

    what: str
    path: source.Path
    is_certain: Callable[[errors.GantryError], bool] = lambda _: True

    def of(self, ask: Ask) -> PreflightFinding:
        """Look. Never raises GantryError: that is a finding."""
        try:
            return self.well(ask())
        except errors.GantryError as error:
            return self.failed(error)

    def well(self, said: str) -> PreflightFinding:
        """It is as it should be."""
        return PreflightFinding(self.what, said, CheckOutcome.WELL, self.path)

    def unknown(self, said: str) -> PreflightFinding:
        """It could not be found out."""
        return PreflightFinding(self.what, said, CheckOutcome.UNKNOWN, self.path)

    def failed(self, error: errors.GantryError) -> PreflightFinding:
        """What it means that this was raised."""
        # What may pass by itself need not be there any more when an operation comes to it, which tries several times.
        wrong = not error.transient and self.is_certain(error)
        return PreflightFinding(
            self.what, str(error), CheckOutcome.WRONG if wrong else CheckOutcome.UNKNOWN, self.path
        )


def may_look(error: errors.GantryError) -> bool:
    """Whether this says anything but that one must not look."""
    return not (isinstance(error, CloudError) and error.code in NO_RIGHT)
