"""Errors between the control plane and a server."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Self

from gantry import errors, names


class ServerError(errors.GantryError):
    """An error about one server. The message begins with the server's name.

    Attributes:
        on_the_way: whether the cause lies between this machine and the server (a jump host, a name that does not
            resolve, this machine's own network). Then the error says nothing about the server.
    """

    on_the_way: bool = False
    call: str = ""
    """The script that it is about, with its arguments; empty if it is about none."""

    code: int | None = None
    """Its exit code, where there is one."""

    def __init__(self, server: names.ServerName, message: str) -> None:
        self.server: names.ServerName = server
        super().__init__(f"{server}: {message}")

    @property
    def failure(self) -> errors.Failure:
        """The error as data."""
        script = self.call.partition(" ")[0]
        return dataclasses.replace(super().failure, script=script, code=self.code)

    def about(self, server: names.ServerName) -> Self:
        """Return the same error about another server: an error of a jump host concerns all servers behind it."""
        # Each subclass is made from facts of its own, so it is copied rather than made again.
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__, server=server)
        other.args = (f"{server}: {str(self).removeprefix(f'{self.server}: ')}",)
        return other


class HostKeyMismatchError(ServerError):
    """The server (or the jump host) presented another host key than the pinned one.

    Attributes:
        kept_in: where the pinned key is stored, for people.
    """

    def __init__(
        self,
        server: names.ServerName,
        address: str,
        pinned: str,
        kept_in: str = "the instance's tag gantry:host-key",
    ) -> None:
        self.address = address
        self.pinned = pinned
        self.kept_in = kept_in
        super().__init__(server, self._told())

    def _told(self) -> str:
        return (
            f"the host key at {self.address} is not the one pinned in {self.kept_in} ({self.pinned})\n"
            f"The connection may be intercepted, or the key was replaced. Nothing was sent. If the new key is right, "
            f"put it there; otherwise terminate the instance."
        )


class HostKeyKindError(HostKeyMismatchError):
    """The server offers host keys, but none of the pinned kind.

    Attributes:
        offered: the kinds that it offers, such as `ssh-rsa`.
    """

    def __init__(
        self, server: names.ServerName, address: str, pinned: str, kept_in: str, offered: Sequence[str]
    ) -> None:
        self.offered = tuple(offered)
        super().__init__(server, address, pinned, kept_in)

    def _told(self) -> str:
        kind = " and ".join(line.split(maxsplit=1)[0] for line in self.pinned.splitlines())
        return (
            f"the SSH server at {self.address} offers host keys of the kind {' and '.join(self.offered)}, and "
            f"{self.kept_in} trusts {kind}\n"
            f"Its settings may have been hardened (HostKey and HostKeyAlgorithms in sshd_config, FIPS), or it is "
            f"another server. Nothing was sent. Have it offer {kind} again; or, once you have checked one of its keys "
            f"on the server itself, put that key there."
        )


class UnusableHostKeyError(ServerError):
    """The pinned host key is not a valid host key."""

    # The server was not contacted, so it is not the cause.
    on_the_way = True

    def __init__(self, server: names.ServerName, address: str, pinned: str, kept_in: str) -> None:
        self.address = address
        self.pinned = pinned
        self.kept_in = kept_in
        super().__init__(
            server,
            f"{pinned!r} in {kept_in} is not a public host key of {address} (such as ssh-ed25519 AAAA…); correct it",
        )


class AccessRefusedError(ServerError):
    """The server refuses the SSH user's login."""

    def __init__(self, server: names.ServerName, address: str, user: str, connection: str) -> None:
        self.address = address
        self.user = user
        super().__init__(
            server,
            f"{address} refuses the user {user!r} with the key of the Airflow connection {connection!r}\n"
            f"Check that the connection's private key belongs to the key that the server was started with.",
        )


class ConnectionLostError(ServerError):
    """The server cannot be reached, or stopped responding."""

    transient = True

    def __init__(self, server: names.ServerName, address: str, reason: str) -> None:
        self.address = address
        self.reason = reason
        super().__init__(server, f"no SSH connection to {address}: {reason}")


class ServerBusyError(ConnectionLostError):
    """The server accepts a connection and closes it before the login.

    An SSH server does this when it has too many connections (`MaxStartups`), shuts down, has just started, or is
    configured to reject this address. It is there, so this is no sign of a loss.
    """

    def __init__(self, server: names.ServerName, address: str, reason: str) -> None:
        super().__init__(
            server,
            address,
            f"its SSH server accepts the connection and closes it before the login ({reason})",
        )


class CommandError(ServerError):
    """A command of the control plane itself (not a service's script) failed on the server."""

    def __init__(self, server: names.ServerName, command: str, code: int | None, output: str) -> None:
        self.command = command
        self.code = code
        self.output = output
        super().__init__(
            server,
            f"{command} ended with exit code {code}\n{output.strip() or '(it said nothing)'}\n"
            f"Look at the server's disk and at the rights of its folder /enstratus, then clear this task.",
        )


class LoginShellError(ServerError):
    """The login works, but does not lead to a shell that runs commands.

    The cause is a forced command, a restricted shell or none at all, a start-up file that starts something else, or
    sudo that is not allowed.

    Attributes:
        user, connection: the account, and the Airflow connection that names it.
        code: the exit code of what ran instead.
        output: its output.
    """

    def __init__(
        self, server: names.ServerName, user: str, connection: str, code: int | None, output: str
    ) -> None:
        self.user = user
        self.connection = connection
        self.code = code
        self.output = output
        lines = [line.rstrip() for line in output.splitlines() if line.strip()]
        said = lines[-1] if lines else "it said nothing"
        before = "".join(f"{line}\n" for line in lines[-_MOST_LINES:-1])
        root = "" if user == "root" else " and sudo without a password"
        super().__init__(
            server,
            f"the SSH user {user!r} does not get a shell that runs commands (exit code {code}): {said}\n{before}"
            f"It needs a login shell that runs `exec /bin/sh`{root}. What prevents it: a forced command (ForceCommand "
            f"in sshd_config, command= in authorized_keys), a shell such as nologin or rbash, a start-up file that "
            f"starts another program or leads output elsewhere, sudo that asks for a password. Change the account in "
            f"the image, or name another one in the Airflow connection {connection!r}.",
        )


_MOST_LINES = 10
"""The output of an account that does not run commands is short; its greeting may not be."""


class ScriptFailedError(ServerError):
    """An agent script, or the service script that it called, failed.

    Attributes:
        code: the exit code, or None if the process vanished without one.
        killed: whether it was killed on request.
        tail: the last lines of its output.
    """

    def __init__(
        self, server: names.ServerName, call: str, code: int | None, tail: str, *, killed: bool = False
    ) -> None:
        self.call = call
        self.code = code
        self.killed = killed
        self.tail = tail
        if killed:
            ended = f"was killed on request and ended with exit code {code}"
        elif code is None:
            ended = "failed with no exit code: the server was restarted, or it vanished"
        else:
            ended = f"failed with exit code {code}"
        super().__init__(
            server,
            f"{call} {ended}. The end of its output:\n{tail or '(it said nothing)'}\n"
            f"Fix the cause and clear this task: what had succeeded is not run again.",
        )


class NoLinkError(ServerError):
    """A link for a download or upload could not be created."""

    def __init__(self, server: names.ServerName, cause: errors.GantryError) -> None:
        self.cause = cause
        self.transient = cause.transient
        super().__init__(server, str(cause))


class LinkEndedError(ServerError):
    """The store rejected a link as expired, and also the one after it."""

    transient = True

    def __init__(self, server: names.ServerName, url: str, whose: str, tail: str) -> None:
        self.url = url
        super().__init__(
            server,
            f"the link to {url} had ended before the server used it, and so had another one that was made for it\n"
            f"{tail}\n"
            f"They were signed with {whose}. Replace or prolong these (a session token that is written into a "
            f"connection does not renew itself), check the server's clock, and clear this task.",
        )


class RunOverError(ServerError):
    """The run's time is up: a script was killed, or not started, because of that."""

    def __init__(self, server: names.ServerName, call: str, tail: str | None = None) -> None:
        self.call = call
        self.tail = tail
        does = "was not begun" if tail is None else "and its children were killed"
        said = "" if tail is None else f" The end of its output:\n{tail or '(it said nothing)'}"
        super().__init__(
            server,
            f"{call} {does}: the run's dagrun_timeout has passed.{said}\n"
            f"Raise dagrun_timeout in the definition, or see what took so long, and launch again.",
        )


class ScriptTimeoutError(ServerError):
    """A script took longer than its step allows; its process group was killed."""

    def __init__(self, server: names.ServerName, call: str, seconds: float, tail: str) -> None:
        self.call = call
        self.seconds = seconds
        self.tail = tail
        super().__init__(
            server,
            f"{call} did not end within {seconds:g} s; it and its children were killed. "
            f"The end of its output:\n{tail or '(it said nothing)'}\n"
            f"Raise the step's timeout in the definition, or fix the script, and clear this task.",
        )
