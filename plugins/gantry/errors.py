"""The root of every error that Gantry words for a person."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GantryError(Exception):
    """Something a person can act on.

    Subclasses hold the facts as attributes and build one message that says what is wrong, where
    (`file:line:column`, or server and script), and what to do: if it has several lines, in the last one. The message
    never holds a secret.
    """

    transient: bool = False
    """Whether the cause may go away by itself (a throttled call, a lost connection), so a retry is worth it."""


def near(word: str, known: Iterable[str]) -> str | None:
    """The one of the known words that was probably meant."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return found[0] if found else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """How a message about an unknown word ends: `, did you mean 'web'?`, or `; there are app, web`."""
    words = list(known)
    meant = near(word, words)
    return f", did you mean {meant!r}?" if meant else f"; there are {', '.join(words) or 'none'}"


def advice(message: str) -> str:
    """What to do, of an error's message; empty where its one line says that too."""
    first, _, last = message.strip().rpartition("\n")
    return last if first else ""
