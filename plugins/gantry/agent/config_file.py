"""`enstratus.cfg`: one key=value a line, in sections. The same facts give the same bytes.

Existing scripts read the file with `grep KEY | cut -d= -f2`, so nothing is wrapped, quoted or indented, and a
value can never begin a line of its own.
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
    """A key or value that `enstratus.cfg` cannot hold. The value is not shown: it may be a password."""

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        super().__init__(f"enstratus.cfg cannot hold {key!r}: {reason}")


@dataclasses.dataclass(frozen=True)
class Section:
    """A named block of the file."""

    name: str
    values: Mapping[str, str] = dataclasses.field(repr=False)


def render(*sections: Section) -> bytes:
    """The file's bytes.

    Raises:
        UnwritableFactError: a key is no plain word, or a value has a line break or another control character.
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
    """What tells one content of the file from another. Comment lines do not count: they may hold a time."""
    facts = b"\n".join(line for line in content.splitlines() if not line.startswith(b"#"))
    return hashlib.sha256(facts).hexdigest()


def is_secret(key: str) -> bool:
    """Whether a key's name says that its value is nobody's business: passwords, tokens, private keys.

    Also for a definition's own keys (`[custom]`): rather one value too many is hidden where the file is shown.
    """
    return _SECRET.search(key) is not None
