"""Runs commands through an account's login shell, which may print output and may be any shell.

sshd passes a command to the login shell, and most shells read a start-up file first, whose output precedes the
command's. So each command first prints a random word on standard output and on standard error; everything before it is
discarded. The login shell itself only does `exec /bin/sh`, written in characters that mean the same to sh, bash, ksh,
zsh, csh, tcsh and fish.
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Sequence

_PLAIN = re.compile(rb"[A-Za-z0-9 _./=:,+@%-]")
"""Characters that are literal between single quotes in every shell. csh interprets `!` as history and ends a line at a
line break even there, fish gives the backslash before a quote a meaning."""

_UNPACK = (
    "PATH=${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH; "
    'eval "exec $(printf %b "$1")"'
)
"""Unpacks and runs the command. A start-up file may have removed sudo's folder from PATH; everything else stays."""

_BEGIN = (
    # Through these variables, bash reads a start-up file in the middle of a script.
    "unset BASH_ENV ENV SSH_CLIENT SSH2_CLIENT; "
    # In two halves, so that an echo of the command does not contain the word.
    'printf %s%s "$1" "$2"; printf %s%s "$1" "$2" >&2; '
    'shift 2; exec "$@"'
)


class Frame:
    """Wraps one command for the login shell.

    Args:
        command: the program and its arguments.
        sudo: whether sudo is needed to become root.
    """

    def __init__(self, command: Sequence[str], *, sudo: bool) -> None:
        halves = secrets.token_hex(8), secrets.token_hex(8)
        prefix = ("sudo", "-n", "--") if sudo else ()
        # After sudo, whose modules may print too.
        self._command = (*prefix, "/bin/sh", "-c", _BEGIN, "gantry", *halves, *command)
        self._word = "".join(halves).encode()

    @property
    def line(self) -> str:
        """Return the command line for the login shell."""
        return f"exec /bin/sh -c '{_UNPACK}' gantry '{_packed(shlex.join(self._command))}'"

    def cut(self, output: bytes) -> bytes | None:
        """Return the command's own output; None if the command has not begun."""
        _, begun, own = output.partition(self._word)
        return own if begun else None

    def stream(self) -> Stream:
        """Return a filter for output that arrives in pieces."""
        return Stream(self._word)


class Stream:
    """Removes the output before the command's own.

    Attributes:
        before: the removed output.
        begun: whether the command has begun.
    """

    def __init__(self, word: bytes) -> None:
        self._word = word
        self.before = b""
        self.begun = False

    def feed(self, chunk: bytes) -> bytes:
        """Return the part of a chunk that is the command's own."""
        if self.begun:
            return chunk
        self.before, begun, own = (self.before + chunk).partition(self._word)
        self.begun = bool(begun)
        return own


def _packed(text: str) -> str:
    """Encode a text in plain characters; `printf %b` decodes it."""
    return "".join(chr(byte) if _PLAIN.match(bytes((byte,))) else f"\\0{byte:03o}" for byte in text.encode())
