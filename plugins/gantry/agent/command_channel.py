"""Several commands over one SSH command: the agent's `serve` on a server executes orders one after another.

For the protocol, see the head of `serve`. The output of each command is followed by a random word and its exit code.
So each order has a result of its own, like a separate SSH command, but needs neither a login shell nor sudo.
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
"""Seconds after which the dialog's input is closed: a start-up file that reads the input instead would wait forever.
If it was only slow, the order is still executed, and then the dialog ends. Less than the time that a server has to
answer (`contact`)."""

_CHUNK = 65536
_MARK = b"\x1e"
"""First byte of the random word. It is rare in logs, so output is hardly ever held back as a possible beginning of the
word."""

_GREETING = b"serve\n"
"""What `serve` prints before it takes orders."""


class NotServedError(Exception):
    """`serve` does not run on the server: its agent is missing, damaged, or of an older Gantry."""


class ChannelEndedError(Exception):
    """The dialog ended before the command did.

    Attributes:
        code: the dialog's exit code, or None.
        begun: whether it got past the login shell.
        stdout, stderr: its last output.
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
        is_greeted: whether its greeting has been received.
        broken: whether it is unusable, after an order that was interrupted.
    """

    def __init__(self, process: asyncssh.SSHClientProcess[bytes], frame: login_shell.Frame) -> None:
        self._process = process
        self._streams = (_Side(process.stdout, frame), _Side(process.stderr, frame))
        self.is_greeted = False
        self._is_over = False
        self.broken = False

    @staticmethod
    def frame(*, sudo: bool) -> login_shell.Frame:
        """Return the frame that gets it past the login shell."""
        return login_shell.Frame((SERVE,), sudo=sudo)

    async def order(
        self, command: Sequence[str], stdin: bytes | None, on_output: Callable[[bytes], None]
    ) -> tuple[bytes, int]:
        """Execute a command, streaming its standard output; return its standard error and its exit code.

        Without `stdin` it reads the dialog's input itself, whose end shows that its caller is gone.

        Raises:
            NotServedError: orders are not accepted. Nothing was run.
            ChannelEndedError: the dialog ended; whether the command was run is unknown.
        """
        word = _MARK.decode() + secrets.token_hex(12)
        size = "-" if stdin is None else str(len(stdin))
        said = bytearray()
        out, err = self._streams
        # Until the answer is complete: a cancelled call leaves half of it in the stream.
        self.broken = True
        # If it has ended by now, its streams and its exit code show that.
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
        """Close it once its last command has ended, without waiting for that."""
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
        """Return the output before the dialog, if the dialog has not begun."""
        return b"" if self.begun else self._stream.before

    async def begins(self, greeting: bytes) -> bool:
        """Remove the greeting; return whether it came, rather than the stream's end or anything else."""
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
        """Stream the output before the word; return the exit code after it, or None if the stream ends first."""
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
    """Return the number of trailing bytes that may be the beginning of the end of a command."""
    begun = held.rfind(_MARK)
    if begun < 0:
        return 0
    tail = held[begun:]
    return len(tail) if word.startswith(tail) or tail.startswith(word) else 0
