"""The root of every error that Gantry words for a person, and the same as data.

    GantryError                         raised where something is found to be wrong
      └─ .failure: Failure              headline, detail, advice, server, script, exit code
           ├─ jobs.ServerProgress       of one server, while the others go on
           ├─ TriggerEvent              from the triggerer to the worker that fails the task
           ├─ XCom `failures`           of the failed task instance: what pages, JSON and terminal show
           └─ the exception's text      in the task's log, for whoever reads that

Where a task failed without one (a bug, a killed process), pages and terminal read its log instead.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

XCOM = "failures"
"""The key of the XCom with a failed task's failures: a list of them as JSON. Airflow removes it at the next try."""


class GantryError(Exception):
    """Something a person can act on.

    Subclasses hold the facts as attributes and build one message that says what is wrong, where
    (`file:line:column`, or server and script), and what to do: if it has several lines, in the last one. The message
    never holds a secret.
    """

    transient: bool = False
    """Whether the cause may go away by itself (a throttled call, a lost connection), so a retry is worth it."""

    @property
    def failure(self) -> Failure:
        """The same as data."""
        return Failure.of(str(self), transient=self.transient)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Of an error that is about several things: each of them."""
        return (self.failure,)


@dataclasses.dataclass(frozen=True)
class Failure:
    """What is wrong.

    Attributes:
        headline: what and where, one line.
        detail: what was seen, such as the end of a script's output; any number of lines.
        advice: what to do; empty where the headline says that too.
        server: the name of the server that it is about; empty if it is about none.
        script: the agent's script that failed; empty if none did.
        code: its exit code, where there is one.
        transient: whether the cause may go away by itself.
    """

    headline: str
    detail: str = ""
    advice: str = ""
    server: str = ""
    script: str = ""
    code: int | None = None
    transient: bool = False

    @classmethod
    def of(cls, message: str, *, transient: bool = False) -> Failure:
        """From an error's message: its first line is the headline, and its last one, if it has several, the advice."""
        first, _, rest = message.strip().partition("\n")
        detail, _, last = rest.rpartition("\n")
        return cls(first, detail, last, transient=transient)

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> Failure:
        """From JSON. Fields that a later Gantry may have added are left out."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in stored.items() if key in known})

    @classmethod
    def load_all(cls, stored: object) -> tuple[Failure, ...]:
        """From such an XCom; none from what is no such thing."""
        if not isinstance(stored, list):
            return ()
        return tuple(cls.load(each) for each in stored if isinstance(each, Mapping) and "headline" in each)

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        return "\n".join(filter(None, (self.headline, self.detail, self.advice)))


def near(word: str, known: Iterable[str]) -> str | None:
    """The one of the known words that was probably meant."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return found[0] if found else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """How a message about an unknown word ends: `, did you mean 'web'?`, or `; there are app, web`."""
    words = list(known)
    meant = near(word, words)
    return f", did you mean {meant!r}?" if meant else f"; there are {', '.join(words) or 'none'}"
