"""Operations on a server over one SSH connection: run a command, write files, follow a job."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from gantry.agent import command_channel, errors, login_shell, ssh

if TYPE_CHECKING:
    import asyncssh  # only for types: see `gantry.agent.ssh`

HOME = "/enstratus"
BIN = f"{HOME}/bin"
TEMPORARY = f"{HOME}/ws/tmp"
"""Folder, readable by root only, in which files with secrets wait for their script."""

LINK_ENDED = 28
"""The exit code of `downloadFile` and `uploadFile` if the link, or the session that signed it, has expired."""

_TRANSFERS = ("downloadFile: ", "uploadFile: ")


def is_link_ended(tail: str) -> bool:
    """Return whether a job's output ends like a transfer's: a service's own script may end with any exit code."""
    return tail.rpartition("\n")[2].startswith(_TRANSFERS)


def pairs(listing: str) -> Iterator[tuple[str, str]]:
    """Parse lines of a word and the rest, such as a digest and a path. Other lines are parts of unusual file names."""
    for line in listing.splitlines():
        word, space, rest = line.partition(" ")
        if word and space:
            yield word, rest.lstrip(" ")


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file to write on a server. `path` is absolute.

    Raises:
        ValueError: the path is not below `/enstratus`. In folders elsewhere (`/mnt/services/a####`) the service's user
            may create links to any place; root must not write through them.
    """

    path: str
    content: bytes = dataclasses.field(repr=False)
    mode: int = 0o600

    def __post_init__(self) -> None:
        if not self.path.startswith(f"{HOME}/") or ".." in self.path.split("/"):
            raise ValueError(
                f"{self.path}: files are only written below {HOME} only; scripts take them further"
            )


_PROBE_SECONDS = 30.0
"""Timeout for one command that does nothing. Forced commands of cloud images wait for ten seconds before they end."""

_NO_END = (
    f"a command that does nothing has not ended within {_PROBE_SECONDS:g} s: check the login's start-up files"
)
_HELD = b"a program that the login's start-up files leave running in the background holds the output of commands open"


@dataclasses.dataclass(frozen=True)
class JobEnd:
    """The end of a followed job: its exit code, or None if the server knows none; whether it was killed."""

    code: int | None
    killed: bool = False


class Session:
    """One SSH connection to one server, as root."""

    def __init__(
        self, connection: asyncssh.SSHClientConnection, target: ssh.Target, login: ssh.Login
    ) -> None:
        self._connection = connection
        self._target = target
        self._login = login
        self._dialog: command_channel.Dialog | None = None
        self._is_served = True

    @property
    def is_closed(self) -> bool:
        """Return whether the connection is known to be gone."""
        return self._connection.is_closed()

    async def probe(self) -> None:
        """Check that the login leads to a working shell, and that a command that has ended is released.

        Raises:
            LoginShellError: it does not.
            ConnectionLostError: the connection broke.
        """
        frame = self._frame(("true",))
        with ssh.lost_if_broken(self._target):
            process = await self._connection.create_process(frame.line, encoding=None)
            process.stdin.write_eof()
            try:
                async with asyncio.timeout(_PROBE_SECONDS):
                    completed = await process.wait()
            except TimeoutError:
                code = process.exit_status
                process.close()
                if code is None:
                    raise errors.ConnectionLostError(
                        self._target.name, self._target.address, _NO_END
                    ) from None
                raise self._no_shell(code, b"", _HELD) from None
        self._own(frame, completed)

    async def run(self, *command: str, stdin: bytes = b"") -> str:
        """Run a command and return its output.

        Raises:
            CommandError: it failed.
            LoginShellError: it was not run: the login does not lead to a working shell.
            ConnectionLostError: the connection broke; whether the command ran is unknown.
        """
        said = bytearray()
        ordered = await self._order(command, stdin, said.extend)
        if ordered is None:
            return await self._run(command, stdin)
        stderr, code = ordered
        if code != 0:
            raise errors.CommandError(self._target.name, command[0], code, stderr or _text(said))
        return _text(said)

    async def _run(self, command: Sequence[str], stdin: bytes) -> str:
        """As `run`, with a separate SSH command."""
        frame = self._frame(command)
        with ssh.lost_if_broken(self._target):
            process = await self._connection.create_process(frame.line, encoding=None)
            # Close the input even if it is empty: a start-up file may read it.
            if stdin:
                process.stdin.write(stdin)
            process.stdin.write_eof()
            completed = await process.wait()
        if completed.exit_status is None or completed.exit_signal is not None:
            raise errors.ConnectionLostError(
                self._target.name, self._target.address, f"{command[0]} was cut off"
            )
        stdout, stderr = self._own(frame, completed)
        if completed.exit_status != 0:
            raise errors.CommandError(self._target.name, command[0], completed.exit_status, stderr or stdout)
        return stdout

    async def stream(self, *command: str, on_output: Callable[[bytes], None]) -> None:
        """Run a command and stream its output, until it ends or this is cancelled.

        Raises:
            CommandError, ConnectionLostError, LoginShellError: as `run`.
        """
        said, code = await self._stream(command, on_output)
        if code != 0:
            raise errors.CommandError(self._target.name, command[0], code, said)

    async def put(self, files: Sequence[RemoteFile]) -> None:
        """Write any number of files to the server at once.

        Each is created afresh with its final mode, owned by root: an existing file or link is replaced, not written
        through.

        Raises:
            CommandError, ConnectionLostError, LoginShellError: as `run`.
        """
        if files:
            # --touch: they get the server's current time, by which the handshake finds files that were left behind.
            await self.run(
                "tar", "-xpf", "-", "-C", "/", "--no-same-owner", "--unlink-first", "--touch",
                stdin=_archive(files),
            )  # fmt: skip

    async def follow(self, job: str, offset: int, on_output: Callable[[bytes], None]) -> JobEnd:
        """Stream a job's log from a byte offset as it grows, until the job has ended.

        Raises:
            ConnectionLostError: the connection broke; continue after the bytes that were received.
            LoginShellError: as `run`.
        """
        command = (f"{BIN}/job", "follow", job, str(offset))
        ordered = await self._order((*command, "attended"), None, on_output)
        verdict, _ = ordered or await self._stream(command, on_output)
        return self._ended(job, verdict)

    async def _order(
        self, command: Sequence[str], stdin: bytes | None, on_output: Callable[[bytes], None]
    ) -> tuple[str, int] | None:
        """Run a command through the server's agent; return its standard error, and its exit code.

        Returns None without running anything if the agent is missing or too old: then a separate SSH command is
        needed.
        """
        # Orders are lines.
        if not self._is_served or any("\n" in word for word in command):
            return None
        with ssh.lost_if_broken(self._target):
            try:
                talk = await self._opened()
                if stdin is None and not talk.is_greeted:
                    # The command needs an open input, which it does not have if the dialog was slow to begin.
                    await talk.order(("true",), b"", lambda _: None)
                    if talk.broken:
                        self._is_served = False
                        return None
                said, code = await talk.order(command, stdin, on_output)
            except command_channel.NotServedError:
                self._is_served = False
                return None
            except command_channel.ChannelEndedError as ended:
                if ended.code is not None and not ended.begun:
                    raise self._no_shell(ended.code, ended.stdout, ended.stderr) from None
                raise errors.ConnectionLostError(
                    self._target.name, self._target.address, f"{command[0]} was cut off"
                ) from None
        return _text(said), code

    async def _opened(self) -> command_channel.Dialog:
        if self._dialog is None or self._dialog.broken:
            if self._dialog is not None:
                self._dialog.close()
            frame = command_channel.Dialog.frame(sudo=self._login.user != "root")
            process = await self._connection.create_process(frame.line, encoding=None)
            self._dialog = command_channel.Dialog(process, frame)
        return self._dialog

    async def _stream(
        self, command: Sequence[str], on_output: Callable[[bytes], None]
    ) -> tuple[str, int | None]:
        """Run a long-running command with output; return its standard error, and its exit code."""
        frame = self._frame(command)
        stream = frame.stream()
        with ssh.lost_if_broken(self._target):
            process = await self._connection.create_process(frame.line, encoding=None)
            process.stdin.write_eof()
            try:
                while chunk := await process.stdout.read(65536):
                    if own := stream.feed(chunk):
                        on_output(own)
                stderr = await process.stderr.read()
                ended = await process.wait()
            finally:
                # Not awaited: sshd confirms only when the follower ends, and it does not before its job.
                process.close()
        if ended.exit_status is None or ended.exit_signal is not None:
            # Its earlier output may still contain the verdict.
            return _text(frame.cut(stderr) or b""), None
        said = frame.cut(stderr)
        if not stream.begun or said is None:
            raise self._no_shell(ended.exit_status, stream.before if not stream.begun else b"", stderr)
        return _text(said), ended.exit_status

    def _ended(self, job: str, verdict: str) -> JobEnd:
        """Parse the verdict of `job follow`: the ssh exit status does not distinguish a lost job from an exit code."""
        match verdict.strip().rpartition("\n")[2].split():
            case ["job:", "exit" | "killed" as how, code]:
                return JobEnd(int(code), killed=how == "killed")
            # Unknown: it had been started, and its folder is gone.
            case ["job:", "lost" | "unknown"]:
                return JobEnd(None)
        # No verdict: the follower itself was cut off.
        raise errors.ConnectionLostError(
            self._target.name, self._target.address, f"following {job} was interrupted: {verdict.strip()}"
        )

    def _frame(self, command: Sequence[str]) -> login_shell.Frame:
        return login_shell.Frame(command, sudo=self._login.user != "root")

    def _own(self, frame: login_shell.Frame, ended: asyncssh.SSHCompletedProcess) -> tuple[str, str]:
        """Return a command's own output, on standard output and standard error."""
        stdout, stderr = _bytes(ended.stdout), _bytes(ended.stderr)
        own, said = frame.cut(stdout), frame.cut(stderr)
        if own is None or said is None:
            raise self._no_shell(ended.exit_status, stdout if own is None else b"", stderr)
        return _text(own), _text(said)

    def _no_shell(self, code: int | None, stdout: bytes, stderr: bytes) -> errors.LoginShellError:
        said = f"{_text(stdout)}\n{_text(stderr)}"
        return errors.LoginShellError(self._target.name, self._login.user, self._login.connection, code, said)


def _archive(files: Sequence[RemoteFile]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            member = tarfile.TarInfo(file.path.lstrip("/"))
            member.size = len(file.content)
            member.mode = file.mode
            archive.addfile(member, io.BytesIO(file.content))
    return buffer.getvalue()


def _bytes(output: object) -> bytes:
    return output if isinstance(output, bytes) else str(output or "").encode()


def _text(output: bytes | bytearray) -> str:
    return output.decode(errors="replace")
