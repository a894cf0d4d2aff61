"""Base class of all errors with messages for people."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GantryError(Exception):
    """An error that a person can act on.

    Subclasses hold the facts as attributes and build one message that says what is wrong, where (`file:line:column`,
    or server and script), and what to do: in its last line, if it has several. The message never contains a secret.
    """

    transient: bool = False
    """Whether the cause may pass by itself (a throttled call, a lost connection), so that a retry makes sense."""


def near(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return found[0] if found else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: `, did you mean 'web'?`, or `; there are app, web`."""
    words = list(known)
    meant = near(word, words)
    return f", did you mean {meant!r}?" if meant else f"; there are {', '.join(words) or 'none'}"


def advice(message: str) -> str:
    """Return what to do, from an error's message; empty if its only line says that too."""
    first, _, last = message.strip().rpartition("\n")
    return last if first else ""
