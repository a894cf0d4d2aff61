"""What the control plane does on a server over one SSH connection: run a command, put files, follow a job."""

from __future__ import annotations

import dataclasses
import io
import shlex
import tarfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gantry.agent import errors, ssh

if TYPE_CHECKING:
    import asyncssh  # only for types: see `gantry.agent.ssh`

HOME = "/enstratus"
BIN = f"{HOME}/bin"
TEMPORARY = f"{HOME}/ws/tmp"
"""Only root may look in: where files with secrets wait for their script."""


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file to be put on a server. `path` is absolute.

    Raises:
        ValueError: the path is not below `/enstratus`. Folders elsewhere (`/mnt/services/a####`) belong to the
            customer's user, who could make one of them a link to anywhere; root must not write through it.
    """

    path: str
    content: bytes = dataclasses.field(repr=False)
    mode: int = 0o600

    def __post_init__(self) -> None:
        if not self.path.startswith(f"{HOME}/") or ".." in self.path.split("/"):
            raise ValueError(f"{self.path}: files are put below {HOME} only; scripts take them further")


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a followed job ended: its exit code, or None where the server knows none; whether it was killed."""

    code: int | None
    killed: bool = False


class Session:
    """One SSH connection to one server, as root."""

    def __init__(self, connection: asyncssh.SSHClientConnection, target: ssh.Target, user: str) -> None:
        self._connection = connection
        self._target = target
        self._prefix = () if user == "root" else ("sudo", "-n", "--")

    async def run(self, *command: str, stdin: bytes = b"") -> str:
        """Run a command and return what it printed.

        Raises:
            CommandError: it failed.
            ConnectionLostError: the connection broke; whether it ran is not known.
        """
        process = await self._process(command, stdin)
        if process.exit_status != 0:
            output = _text(process.stderr) or _text(process.stdout)
            raise errors.CommandError(self._target.name, command[0], process.exit_status, output)
        return _text(process.stdout)

    async def stream(self, *command: str, on_output: Callable[[bytes], None]) -> None:
        """Run a command and hand on what it prints as it comes, until it ends or this is cancelled.

        Raises:
            CommandError, ConnectionLostError: as `run`.
        """
        with ssh.lost_if_broken(self._target):
            process = await self._connection.create_process(
                shlex.join((*self._prefix, *command)), encoding=None
            )
            try:
                while chunk := await process.stdout.read(65536):
                    on_output(chunk)
                said = _text(await process.stderr.read())
                ended = await process.wait()
            finally:
                process.close()
        if ended.exit_status != 0:
            raise errors.CommandError(self._target.name, command[0], ended.exit_status, said)

    async def put(self, files: Sequence[RemoteFile]) -> None:
        """Put files on the server in one go, whatever their number.

        Each is created anew with its final mode, as root's: a file or link of the same name is replaced, not
        written through.

        Raises:
            CommandError, ConnectionLostError: as `run`.
        """
        if files:
            # --touch: their time is the server's now, by which the handshake finds what was forgotten here.
            await self.run(
                "tar", "-xpf", "-", "-C", "/", "--no-same-owner", "--unlink-first", "--touch",
                stdin=_archive(files),
            )  # fmt: skip

    async def follow(self, job: str, offset: int, on_output: Callable[[bytes], None]) -> Ended:
        """Read a job's log from a byte offset as it grows, until the job has ended.

        Raises:
            ConnectionLostError: the connection broke; go on from the bytes that came.
        """
        command = shlex.join((*self._prefix, f"{BIN}/job", "follow", job, str(offset)))
        with ssh.lost_if_broken(self._target):
            process = await self._connection.create_process(command, encoding=None)
            try:
                while chunk := await process.stdout.read(65536):
                    on_output(chunk)
                verdict = (await process.stderr.read()).decode(errors="replace")
                await process.wait()
            finally:
                # Not awaited: sshd confirms only when the follower ends, and it does not before its job.
                process.close()
        return self._ended(job, verdict)

    def _ended(self, job: str, verdict: str) -> Ended:
        """Read the last word of `job follow`: the ssh exit status alone cannot tell a lost job from a code."""
        match verdict.strip().rpartition("\n")[2].split():
            case ["job:", "exit" | "killed" as how, code]:
                return Ended(int(code), killed=how == "killed")
            # Unknown: it had been started, and its folder is gone.
            case ["job:", "lost" | "unknown"]:
                return Ended(None)
        # No verdict: the follower itself was cut off.
        raise errors.ConnectionLostError(
            self._target.name, self._target.address, f"following {job} broke off: {verdict.strip()}"
        )

    async def _process(self, command: Sequence[str], stdin: bytes) -> asyncssh.SSHCompletedProcess:
        with ssh.lost_if_broken(self._target):
            completed = await self._connection.run(
                shlex.join((*self._prefix, *command)), input=stdin, encoding=None
            )
        if completed.exit_status is None or completed.exit_signal is not None:
            raise errors.ConnectionLostError(
                self._target.name, self._target.address, f"{command[0]} was cut off"
            )
        return completed


def _archive(files: Sequence[RemoteFile]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            member = tarfile.TarInfo(file.path.lstrip("/"))
            member.size = len(file.content)
            member.mode = file.mode
            archive.addfile(member, io.BytesIO(file.content))
    return buffer.getvalue()


def _text(output: object) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else str(output or "")
