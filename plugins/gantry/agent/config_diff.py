"""Configuration files for people: unified diffs with hidden secrets."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Iterator

from gantry.agent import config_file

HIDDEN = "(secret)"
CHANGED = "(secret, changed)"
_SHORTEST = 4
"""Minimum length of secrets that are also hidden within longer values: shorter ones occur in any text by chance."""


def unified(path: str, before: str | None, after: str, secrets: Collection[str] = ()) -> tuple[str, ...]:
    """Return the changes of a file; empty if only comments change.

    Args:
        path: the file's path on the server.
        before: its current content, or None if it does not exist.
        after: its new content.
        secrets: values that must not be shown, whatever their keys.
    """
    old = list(_facts(before or ""))
    new = list(_facts(after))
    if [line for _, _, line in old] == [line for _, _, line in new]:
        return ()
    known = {(section, key): line for section, key, line in old if key}
    return tuple(
        line.rstrip("\n")
        for line in difflib.unified_diff(
            [_shown(section, key, line, {}, secrets) for section, key, line in old],
            [_shown(section, key, line, known, secrets) for section, key, line in new],
            path if before is not None else "/dev/null",
            path,
            lineterm="",
        )
    )


def without_secrets(text: str, secrets: Collection[str]) -> str:
    """Return any text from a server as people may see it. Very short secrets stay, see `_SHORTEST`."""
    for each in sorted(secrets, key=len, reverse=True):
        if len(each) >= _SHORTEST:
            text = text.replace(each, HIDDEN)
    return _printable(text)


def digest(content: str, secrets: Collection[str] = ()) -> str:
    """Return the SHA-256 (hexadecimal) of the redacted text, which distinguishes contents as far as they may be shown.

    The digest of the text itself would allow guessing short passwords.
    """
    shown = "\n".join(_shown(section, key, line, {}, secrets) for section, key, line in _facts(content))
    return hashlib.sha256(shown.encode()).hexdigest()


def _facts(content: str) -> Iterator[tuple[str, str, str]]:
    """Yield the relevant lines: section, key (empty if the line is not a fact), and the line itself."""
    section = ""
    for line in content.splitlines():
        if line.startswith("#"):
            continue
        if line.startswith("["):
            section = line
        key, sign, _ = line.partition("=")
        yield section, key if sign else "", line


def _shown(
    section: str, key: str, line: str, before: dict[tuple[str, str], str], secrets: Collection[str]
) -> str:
    value = line.partition("=")[2]
    if key and value and (config_file.is_secret(key) or _holds(value, secrets)):
        # Otherwise a new password would not count as a change.
        former = before.get((section, key))
        value = HIDDEN if former in (None, line) else CHANGED
        return f"{key}={value}"
    return _printable(line)


def _printable(text: str) -> str:
    # A file on a server may contain anything, including terminal control sequences.
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _holds(value: str, secrets: Collection[str]) -> bool:
    return any(value == each or (len(each) >= _SHORTEST and each in value) for each in secrets)
