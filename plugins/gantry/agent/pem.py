"""PEM: private keys and certificates as they should be, from ones whose line breaks a form or JSON has eaten."""

from __future__ import annotations

import re

_KEY = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----(.*?)-----END \1-----", re.DOTALL)
_CERTIFICATE = re.compile(r"-----BEGIN (CERTIFICATE)-----(.*?)-----END \1-----", re.DOTALL)
_LINE = 64


def key(text: str) -> str:
    """The private keys in a text (one, where it is as it should be); empty if there is none."""
    return "".join(_mended(_KEY, text))


def certificates(text: str) -> tuple[str, ...]:
    """Every certificate in a text, each as PEM of its own."""
    return tuple(_mended(_CERTIFICATE, text))


def _mended(kind: re.Pattern[str], text: str) -> list[str]:
    blocks = []
    for found in kind.finditer(text.replace("\\n", "\n")):
        body = re.sub(r"\s+", "", found[2])
        lines = [
            f"-----BEGIN {found[1]}-----",
            *(body[start : start + _LINE] for start in range(0, len(body), _LINE)),
            f"-----END {found[1]}-----",
        ]
        blocks.append("".join(f"{line}\n" for line in lines))
    return blocks
