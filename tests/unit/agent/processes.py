"""Processes of this machine that look like those behind an SSH connection."""

from __future__ import annotations

import asyncio
import dataclasses


@dataclasses.dataclass(frozen=True)
class Completed:
    """How a process has ended, as asyncssh tells it."""

    exit_status: int | None
    exit_signal: None = None
    stdout: bytes = b""
    stderr: bytes = b""


class Process:
    """A process of this machine that looks like one behind an SSH connection.

    Attributes:
        sent: what was written to it.
        most: bytes that a read gives at most.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._stdin = process.stdin
        self.stdin = self
        self.stdout, self.stderr = Reader(process.stdout, self), Reader(process.stderr, self)
        self.sent: list[bytes] = []
        self.most = 65536

    def write(self, content: bytes) -> None:
        # As asyncssh has it where the other side has closed the channel; ending it once more is nothing to it.
        if self._process.returncode is not None:
            raise BrokenPipeError("Channel not open for sending")
        self.sent.append(content)
        self._stdin.write(content)

    def write_eof(self) -> None:
        self._stdin.write_eof()

    async def ended(self) -> None:
        """Return when it has ended; what it has said is still to be read."""
        await self._process.wait()

    async def wait(self) -> Completed:
        """What it has left to say, and its exit code."""
        out, err = await self._process.communicate()
        code = self._process.returncode
        # Whatever has been killed has none, nor has what went with its connection.
        return Completed(None if code is None or code < 0 else code, None, out, err)

    def close(self) -> None:
        self._stdin.close()


class Reader:
    """One of its streams."""

    def __init__(self, reader: asyncio.StreamReader, process: Process) -> None:
        self._reader = reader
        self._process = process

    async def read(self, most: int = -1) -> bytes:
        return await self._reader.read(min(most, self._process.most))
