"""`enstratus.cfg`: one key=value per line, in sections. The same facts give the same bytes.

Existing scripts read the file with `grep KEY | cut -d= -f2`, so nothing is wrapped, quoted or indented, and a value can
never begin a line of its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping

from gantry import errors

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]*")
_SECRET = re.compile(
    r"pass(word|wd|phrase)|secret|token|credential|(private|api|access)[_.\-]?key", re.IGNORECASE
)


class UnwritableFactError(errors.GantryError):
    """`enstratus.cfg` cannot contain this key or value. The value is not shown: it may be a password."""

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        super().__init__(f"enstratus.cfg cannot hold {key!r}: {reason}")


@dataclasses.dataclass(frozen=True)
class Section:
    """A named block of the file."""

    name: str
    values: Mapping[str, str] = dataclasses.field(repr=False)


def render(*sections: Section) -> bytes:
    """Return the file's bytes.

    Raises:
        UnwritableFactError: a key is not a plain word, or a value has a line break or another control character.
    """
    lines: list[str] = []
    for section in sections:
        lines.append(f"[{section.name}]")
        for key, value in section.values.items():
            if not _KEY.fullmatch(key):
                raise UnwritableFactError(
                    key, "a key is made of letters, digits, dots, dashes and underscores, a letter first"
                )
            if not value.isprintable():
                raise UnwritableFactError(
                    key, "its value (not shown) has a line break or another control character"
                )
            lines.append(f"{key}={value}")
        lines.append("")
    return "\n".join(lines).encode()


def digest(content: bytes) -> str:
    """Return a digest of the file's content. Comment lines do not count: they may contain a time."""
    facts = b"\n".join(line for line in content.splitlines() if not line.startswith(b"#"))
    return hashlib.sha256(facts).hexdigest()


def is_secret(key: str) -> bool:
    """Return whether a key's name indicates a secret value: a password, a token, a private key.

    Also applies to a definition's own keys (`[custom]`): it is better to hide one value too many.
    """
    return _SECRET.search(key) is not None
