"""Many commands over one: the agent's `serve` on a server carries out one order after another (see its head).

What a command prints is followed by a word that nobody can guess, and its exit code. So each order has a result of its
own, as an SSH command of its own would have, and takes neither a login shell nor sudo.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gantry.agent import login_shell

if TYPE_CHECKING:
    import asyncssh  # only for types: see `gantry.agent.ssh`

SERVE = "/enstratus/bin/serve"

_BEGIN_SECONDS = 20.0
"""After which the dialog's input is ended: a start-up file that reads it in our place would wait for ever. Where it was
only slow, it carries out what it was asked for, and is over then. Less than a server has to answer (`contact`)."""

_CHUNK = 65536
_MARK = b"\x1e"
"""Begins the word. In a log it is rare, so that hardly anything is held back which may be the beginning of one."""

_GREETING = b"serve\n"
"""What `serve` says before it takes orders."""


class NotServedError(Exception):
    """No `serve` runs on the server: it has no agent, a damaged one, or one of an earlier Gantry."""


class ChannelEndedError(Exception):
    """The dialog has ended before the command.

    Attributes:
        code: its exit code, or None.
        begun: whether it has come past the login shell.
        stdout, stderr: what was said last.
    """

    def __init__(self, code: int | None, stdout: bytes, stderr: bytes, *, begun: bool) -> None:
        self.code = code
        self.begun = begun
        self.stdout = stdout
        self.stderr = stderr
        super().__init__(f"the dialog ended with {code}")


class Dialog:
    """A running `serve`, for one order at a time.

    Attributes:
        is_greeted: whether it has been heard of.
        broken: whether it is unusable, after an order that was broken off.
    """

    def __init__(self, process: asyncssh.SSHClientProcess[bytes], frame: login_shell.Frame) -> None:
        self._process = process
        self._streams = (_Side(process.stdout, frame), _Side(process.stderr, frame))
        self.is_greeted = False
        self._is_over = False
        self.broken = False

    @staticmethod
    def frame(*, sudo: bool) -> login_shell.Frame:
        """The way to it past the login shell."""
        return login_shell.Frame((SERVE,), sudo=sudo)

    async def order(
        self, command: Sequence[str], stdin: bytes | None, on_output: Callable[[bytes], None]
    ) -> tuple[bytes, int]:
        """Have a command run and hand on what it prints; what it said on standard error, and its exit code.

        Without `stdin` it has the dialog's input itself, by whose end it sees that nobody follows it any more.

        Raises:
            NotServedError: nobody takes orders. Nothing was run.
            EndedError: whoever took it is gone; whether it was run is not known.
        """
        word = _MARK.decode() + secrets.token_hex(12)
        size = "-" if stdin is None else str(len(stdin))
        said = bytearray()
        out, err = self._streams
        # Until it has its answer: who is cancelled leaves half of one behind.
        self.broken = True
        # Where it has ended by now, its streams and its exit code tell of it.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{shlex.join((word, size, *command))}\n".encode() + (stdin or b""))
        hurry = None
        if not self.is_greeted:
            hurry = asyncio.get_running_loop().call_later(_BEGIN_SECONDS, self._end_input)
        try:
            if not self.is_greeted:
                self.is_greeted = await out.begins(_GREETING)
            code, same = await asyncio.gather(
                out.until(word.encode(), on_output), err.until(word.encode(), said.extend)
            )
        finally:
            if hurry is not None:
                hurry.cancel()
        if code is None or same is None:
            raise await self._ended(bytes(said))
        self.broken = self._is_over
        return bytes(said), code

    def close(self) -> None:
        """End it, once its last command has ended. That is not waited for."""
        self._process.close()

    def _end_input(self) -> None:
        if not self.is_greeted or not self._streams[1].begun:
            self._is_over = True
            self._process.stdin.write_eof()

    async def _ended(self, said: bytes) -> Exception:
        ended = await self._process.wait()
        begun = all(each.begun for each in self._streams)
        if begun and not self.is_greeted and ended.exit_status is not None:
            return NotServedError()
        code = ended.exit_status if ended.exit_signal is None else None
        out, err = self._streams
        return ChannelEndedError(code, out.before, err.before or said, begun=begun)


class _Side:
    """Standard output or standard error of the dialog."""

    def __init__(self, reader: asyncssh.SSHReader[bytes], frame: login_shell.Frame) -> None:
        self._reader = reader
        self._stream = frame.stream()
        self._rest = b""

    @property
    def begun(self) -> bool:
        return self._stream.begun

    @property
    def before(self) -> bytes:
        """What came before the dialog, where it has not begun."""
        return b"" if self.begun else self._stream.before

    async def begins(self, greeting: bytes) -> bool:
        """Take the greeting off; whether it came, and not the stream's end or anything else."""
        while len(self._rest) < len(greeting):
            chunk = await self._reader.read(_CHUNK)
            if not chunk:
                break
            self._rest += self._stream.feed(chunk)
        if not self._rest.startswith(greeting):
            return False
        self._rest = self._rest.removeprefix(greeting)
        return True

    async def until(self, word: bytes, on_output: Callable[[bytes], None]) -> int | None:
        """Hand on what comes before the word, and tell the exit code after it; None where the stream ends before it."""
        end = re.compile(re.escape(word) + rb" ([0-9]+)\n")
        held = self._rest
        while True:
            if found := end.search(held):
                self._rest = held[found.end() :]
                if found.start():
                    on_output(held[: found.start()])
                return int(found[1])
            own = len(held) - _may_begin(held, word)
            if own:
                on_output(held[:own])
                held = held[own:]
            chunk = await self._reader.read(_CHUNK)
            if not chunk:
                if held:
                    on_output(held)
                return None
            held += self._stream.feed(chunk)


def _may_begin(held: bytes, word: bytes) -> int:
    """Of how many bytes at the end it is not known yet whether they are the end of a command."""
    begun = held.rfind(_MARK)
    if begun < 0:
        return 0
    tail = held[begun:]
    return len(tail) if word.startswith(tail) or tail.startswith(word) else 0
