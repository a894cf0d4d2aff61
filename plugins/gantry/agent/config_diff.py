"""Configuration files as people may see them: unified diffs whose secrets are hidden."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Iterator

from gantry.agent import config_file

HIDDEN = "(secret)"
CHANGED = "(secret, changed)"
_SHORTEST = 4
"""Letters from which on a secret is looked for within longer values: shorter ones stand in any text by chance."""


def unified(path: str, before: str | None, after: str, secrets: Collection[str] = ()) -> tuple[str, ...]:
    """What changes in a file, or nothing if only comments do.

    Args:
        path: where it is on the server.
        before: what it holds, or None if it is not there.
        after: what it would hold.
        secrets: values that must not be shown, whatever they are called.
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


def digest(content: str, secrets: Collection[str] = ()) -> str:
    """What tells one content from another, as far as people may see it: SHA-256 (hexadecimal) of the redacted text.

    Of the text itself it would let anybody try short passwords until the sum fits.
    """
    shown = "\n".join(_shown(section, key, line, {}, secrets) for section, key, line in _facts(content))
    return hashlib.sha256(shown.encode()).hexdigest()


def _facts(content: str) -> Iterator[tuple[str, str, str]]:
    """The lines that count: their section, their key (empty for those that are no fact), and themselves."""
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
        # Otherwise a new password would be no change at all.
        former = before.get((section, key))
        value = HIDDEN if former in (None, line) else CHANGED
        return f"{key}={value}"
    # What stands on a server may be anything, also what a terminal would obey.
    return "".join(letter if letter.isprintable() else "�" for letter in line)


def _holds(value: str, secrets: Collection[str]) -> bool:
    return any(value == each or (len(each) >= _SHORTEST and each in value) for each in secrets)
