"""What can go wrong between the control plane and a server."""

from __future__ import annotations

from gantry import errors, names


class ServerError(errors.GantryError):
    """Something about one server. The message begins with the server's name."""

    def __init__(self, server: names.ServerName, message: str) -> None:
        self.server = server
        super().__init__(f"{server}: {message}")


class HostKeyMismatchError(ServerError):
    """The server (or the jump host on the way) showed another host key than the pinned one.

    Attributes:
        kept_in: where the pinned key is kept, for a person.
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
        super().__init__(
            server,
            f"the host key at {address} is not the one pinned in {kept_in} ({pinned})\n"
            f"Somebody may be in between, or the key was replaced. Nothing was sent. If the new key is right, "
            f"put it there; otherwise terminate the instance.",
        )


class UnusableHostKeyError(ServerError):
    """What is pinned as a host key is none."""

    def __init__(self, server: names.ServerName, address: str, pinned: str, kept_in: str) -> None:
        self.address = address
        self.pinned = pinned
        self.kept_in = kept_in
        super().__init__(
            server,
            f"{pinned!r} in {kept_in} is no public host key of {address} (such as ssh-ed25519 AAAA…); mend it",
        )


class AccessRefusedError(ServerError):
    """The server does not let the SSH user in."""

    def __init__(self, server: names.ServerName, address: str, user: str, connection: str) -> None:
        self.address = address
        self.user = user
        super().__init__(
            server,
            f"{address} refuses the user {user!r} with the key of the Airflow connection {connection!r}\n"
            f"Check that the connection's private key belongs to the key that the server was started with.",
        )


class ConnectionLostError(ServerError):
    """The server cannot be reached, or stopped answering."""

    passing = True

    def __init__(self, server: names.ServerName, address: str, reason: str) -> None:
        self.address = address
        self.reason = reason
        super().__init__(server, f"no SSH connection to {address}: {reason}")


class CommandError(ServerError):
    """A command of the control plane itself (not a script of a service) failed on the server."""

    def __init__(self, server: names.ServerName, command: str, code: int | None, output: str) -> None:
        self.command = command
        self.code = code
        self.output = output
        super().__init__(
            server,
            f"{command} ended with exit code {code}\n{output.strip() or '(it said nothing)'}\n"
            f"Look at the server's disk and at the rights of its folder /enstratus, then clear this task.",
        )


class ScriptFailedError(ServerError):
    """An agent script, or the service script that it called, failed.

    Attributes:
        code: the exit code, or None where the process vanished without one.
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
            f"Mend the cause and clear this task: what had succeeded is not run again.",
        )


class ScriptTimeoutError(ServerError):
    """A script took longer than its step allows; its process group was ended."""

    def __init__(self, server: names.ServerName, call: str, seconds: float, tail: str) -> None:
        self.call = call
        self.seconds = seconds
        self.tail = tail
        super().__init__(
            server,
            f"{call} did not end within {seconds:g} s; it and its children were killed. "
            f"The end of its output:\n{tail or '(it said nothing)'}\n"
            f"Raise the step's timeout in the definition, or mend the script, and clear this task.",
        )
