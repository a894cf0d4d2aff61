"""Base class of all errors with messages for people, and the same errors as data.

    GantryError                         raised where something is wrong
      └─ .failure: Failure              headline, detail, advice, server, script, exit code
           ├─ jobs.ServerProgress       of one server, while the others continue
           ├─ TriggerEvent              from the triggerer to the worker that fails the task
           ├─ XCom `failures`           of the failed task instance, for pages, JSON and terminal
           ├─ state of the asset        beside the run's record, for the time when Airflow has forgotten the run
           └─ the exception's text      in the task's log, for people

Where a task failed without one (a bug, a killed process), pages and terminal show the end of its log instead.

Most errors derive from GantryError directly. These have subclasses of their own:

    gantry.agent.errors.ServerError         a server: its connection, its agent, a script on it
    gantry.rest.errors.RestError            Airflow's API, as the command line uses it
    gantry.archive.ArchiveError             an archive of a service or a dump
    gantry.local.errors.LocalCloudError     the embedded cloud and the demo
    gantry.agent.fan_out.StepFailedError    a step's servers, with the failures of all of them
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

XCOM = "failures"
"""The key of the XCom with a failed task's failures: a list of them as JSON. Airflow removes it at the next try."""


class GantryError(Exception):
    """An error that a person can act on.

    Subclasses hold the facts as attributes and build one message that says what is wrong, where (`file:line:column`,
    or server and script), and what to do: in its last line, if it has several. The message never contains a secret.
    """

    transient: bool = False
    """Whether the cause may pass by itself (a throttled call, a lost connection), so that a retry makes sense."""

    server: str = ""
    """The name of the server concerned; empty if it is about none, or several. In the failure, too."""

    @property
    def failure(self) -> Failure:
        """The error as data."""
        return Failure.of(str(self), server=self.server, transient=self.transient)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The error as data; several, where it combines several errors."""
        return (self.failure,)


@dataclasses.dataclass(frozen=True)
class Failure:
    """An error as data.

    Attributes:
        headline: what and where, one line.
        detail: what was seen, such as the end of a script's output; any number of lines.
        advice: what to do; empty where the headline says that too.
        server: the name of the server concerned, or empty.
        script: the agent's script that failed, or empty.
        code: the script's exit code, or None.
        transient: whether the cause may pass by itself.
    """

    headline: str
    detail: str = ""
    advice: str = ""
    server: str = ""
    script: str = ""
    code: int | None = None
    transient: bool = False

    @classmethod
    def of(cls, message: str, *, server: str = "", transient: bool = False) -> Failure:
        """Split an error's message: its first line is the headline, and the last of several lines is the advice."""
        first, _, rest = message.strip().partition("\n")
        detail, _, last = rest.rpartition("\n")
        return cls(first, detail, last, server, transient=transient)

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> Failure:
        """Read from JSON, ignoring fields that a newer Gantry may have added."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in stored.items() if key in known})

    @classmethod
    def load_all(cls, stored: object) -> tuple[Failure, ...]:
        """Read such an XCom; return nothing if the value is not one."""
        if not isinstance(stored, list):
            return ()
        return tuple(cls.load(each) for each in stored if isinstance(each, Mapping) and "headline" in each)

    def dump(self) -> dict[str, Any]:
        """Return the failure as JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        return "\n".join(filter(None, (self.headline, self.detail, self.advice)))


def near(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return found[0] if found else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: `, did you mean 'web'?`, or `; there are app, web`."""
    words = list(known)
    meant = near(word, words)
    if meant:
        return f", did you mean {meant!r}?"
    return f"; there is {words[0]}" if len(words) == 1 else f"; there are {', '.join(words) or 'none'}"
