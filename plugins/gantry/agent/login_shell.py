"""Commands past an account's login shell, which may print, and may be any shell.

sshd hands a command to the login shell, and most shells read a start-up file first: what that prints comes before the
command's own output. So each command is told to begin with a word that nobody can guess, on standard output and on
standard error; what came before it is thrown away. The login shell itself does no more than `exec /bin/sh`, written
in characters that mean the same to sh, bash, ksh, zsh, csh, tcsh and fish.
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Sequence

_PLAIN = re.compile(rb"[A-Za-z0-9 _./=:,+@%-]")
"""What stands for itself between single quotes in every shell. csh takes `!` for its history and ends a line at a line
break even there, fish gives the backslash before a quote a meaning."""

_UNPACK = (
    "PATH=${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH; "
    'eval "exec $(printf %b "$1")"'
)
"""Says the command as it was meant. A start-up file may have lost the folder of sudo; all else stays."""

_BEGIN = (
    # By these, bash reads a start-up file in the middle of a script.
    "unset BASH_ENV ENV SSH_CLIENT SSH2_CLIENT; "
    # In two halves: who only repeats the command does not say the word.
    'printf %s%s "$1" "$2"; printf %s%s "$1" "$2" >&2; '
    'shift 2; exec "$@"'
)


class Frame:
    """One command's way past the login shell.

    Args:
        command: the program and its arguments.
        sudo: whether it takes sudo to be root.
    """

    def __init__(self, command: Sequence[str], *, sudo: bool) -> None:
        halves = secrets.token_hex(8), secrets.token_hex(8)
        prefix = ("sudo", "-n", "--") if sudo else ()
        # Behind sudo, whose modules may print too.
        self._command = (*prefix, "/bin/sh", "-c", _BEGIN, "gantry", *halves, *command)
        self._word = "".join(halves).encode()

    @property
    def line(self) -> str:
        """What the login shell is given."""
        return f"exec /bin/sh -c '{_UNPACK}' gantry '{_packed(shlex.join(self._command))}'"

    def cut(self, output: bytes) -> bytes | None:
        """What a command has printed itself; None if it has not begun."""
        _, begun, own = output.partition(self._word)
        return own if begun else None

    def stream(self) -> Stream:
        """For output that comes in pieces."""
        return Stream(self._word)


class Stream:
    """Leaves away what comes before the command's own output.

    Attributes:
        before: what was left away.
        begun: whether the command has begun.
    """

    def __init__(self, word: bytes) -> None:
        self._word = word
        self.before = b""
        self.begun = False

    def feed(self, chunk: bytes) -> bytes:
        """What of it is the command's."""
        if self.begun:
            return chunk
        self.before, begun, own = (self.before + chunk).partition(self._word)
        self.begun = bool(begun)
        return own


def _packed(text: str) -> str:
    """A text in plain characters; `printf %b` unpacks it."""
    return "".join(chr(byte) if _PLAIN.match(bytes((byte,))) else f"\\0{byte:03o}" for byte in text.encode())
