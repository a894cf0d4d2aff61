"""PEM parser: restores private keys and certificates whose line breaks were lost in a form or in JSON."""

from __future__ import annotations

import re

_KEY = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----(.*?)-----END \1-----", re.DOTALL)
_CERTIFICATE = re.compile(r"-----BEGIN (CERTIFICATE)-----(.*?)-----END \1-----", re.DOTALL)
_HEADERS = re.compile(
    r"\s*(Proc-Type:)\s*(4,ENCRYPTED)\s*(DEK-Info:)\s*(AES-\d+-CBC,[0-9A-Fa-f]{32}|DES-(?:EDE3-)?CBC,[0-9A-Fa-f]{16})"
)
"""Header of OpenSSL's older format for encrypted keys."""

_BREAK = re.compile(r"\\+[rnt]")
"""White space as escaped by JSON, YAML or a shell, possibly several times."""

_LINE = 64


def key(text: str) -> str:
    """Return the private keys in a text (normally one); empty if there is none."""
    return "".join(_mended(_KEY, text))


def certificates(text: str) -> tuple[str, ...]:
    """Return every certificate in a text, each as separate PEM."""
    return tuple(_mended(_CERTIFICATE, text))


def _mended(kind: re.Pattern[str], text: str) -> list[str]:
    blocks = []
    for found in kind.finditer(_BREAK.sub("\n", text)):
        headers = _HEADERS.match(found[2])
        body = re.sub(r"\s+", "", found[2][headers.end() if headers else 0 :])
        lines = [
            f"-----BEGIN {found[1]}-----",
            *((f"{headers[1]} {headers[2]}", f"{headers[3]} {headers[4]}", "") if headers else ()),
            *(body[start : start + _LINE] for start in range(0, len(body), _LINE)),
            f"-----END {found[1]}-----",
        ]
        blocks.append("".join(f"{line}\n" for line in lines))
    return blocks
