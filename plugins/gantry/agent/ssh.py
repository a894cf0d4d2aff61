"""SSH connections to servers: one key in, one pinned host key out, nothing taken from the machine's files.

Importing asyncssh takes half a second, and every task start parses its DAG file, which imports this module by way
of the operators. So asyncssh is imported inside the functions: no DAG file ever opens a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from gantry import errors as root
from gantry import names
from gantry.agent import errors

if TYPE_CHECKING:
    import asyncssh

# What asyncssh says of every channel would drown the scripts' output in the task's log.
logging.getLogger("asyncssh").setLevel(logging.WARNING)

CONNECT_TIMEOUT = 15.0
"""Seconds for one attempt, network and login together."""

_MOST_SIMULTANEOUS_JUMPS = 4
"""sshd drops bursts of new connections (MaxStartups 10:30:100); a jump host would see them all. It notices a
finished login a moment later than the one who logs in, hence not nearly ten."""

_jumps: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = weakref.WeakKeyDictionary()
"""One for each event loop, to which a semaphore is bound: a task that is killed runs a second loop for that."""


class UnusableKeyError(root.GantryError):
    """A private key that cannot be used."""

    def __init__(self, connection: str, reason: str) -> None:
        self.connection = connection
        self.reason = reason
        super().__init__(f"Airflow connection {connection!r}: the private key is unusable: {reason}")


@dataclasses.dataclass(frozen=True)
class Login:
    """Who logs in, and with which key."""

    user: str
    private_key: str = dataclasses.field(repr=False)
    passphrase: str | None = dataclasses.field(repr=False, default=None)
    port: int = 22
    connection: str = ""
    """The Airflow connection that all this comes from, for error messages."""

    def key(self) -> asyncssh.SSHKey:
        """The private key.

        Raises:
            UnusableKeyError: it is no private key, or the passphrase is wrong or missing.
        """
        import asyncssh  # noqa: PLC0415 - see the head of this module

        try:
            return _imported(self.private_key, self.passphrase)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            raise UnusableKeyError(self.connection, str(error)) from error

    def authorized_key(self) -> str:
        """The public half, as a line of `authorized_keys`. Raises UnusableKeyError."""
        return self.key().export_public_key().decode().strip()


@functools.lru_cache(maxsize=8)
def _imported(private_key: str, passphrase: str | None) -> asyncssh.SSHKey:
    """Unlocking a key takes a second on purpose; a step logs in with the same one on all its servers."""
    import asyncssh  # noqa: PLC0415 - see the head of this module

    return asyncssh.import_private_key(private_key, passphrase)


@dataclasses.dataclass(frozen=True)
class JumpHost:
    """A host in front of the servers. Its host key is known beforehand too."""

    host: str
    host_key: str
    login: Login


@dataclasses.dataclass(frozen=True)
class Access:
    """How servers are reached: the login on them, and the host to go through, if any.

    Attributes:
        patience: seconds that a server may stay unreachable in the middle of a step before the step gives up.
    """

    login: Login
    jump: JumpHost | None = None
    patience: float = 120.0


@dataclasses.dataclass(frozen=True)
class Target:
    """One server as SSH sees it. Holds no secret, so it may travel to the triggerer."""

    name: names.ServerName
    instance_id: str
    address: str
    host_key: str


@dataclasses.dataclass(frozen=True)
class _Hop:
    """One connection to be opened: the server's own, or the one to the jump host."""

    host: str
    host_key: str
    host_key_kept_in: str
    login: Login


@contextlib.asynccontextmanager
async def connect(target: Target, access: Access) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection to a server, closed at the end.

    Raises:
        HostKeyMismatchError: another host key than the pinned one.
        AccessRefusedError: the login is refused.
        UnusableHostKeyError, UnusableKeyError: a key is no key.
        ConnectionLostError: it cannot be reached.
    """
    async with contextlib.AsyncExitStack() as stack:
        tunnel = None
        if access.jump is not None:
            jump = access.jump
            kept_in = f"the extra field host_key of the Airflow connection {jump.login.connection!r}"
            hop = _Hop(jump.host, jump.host_key, kept_in, jump.login)
            async with _jumps.setdefault(
                asyncio.get_running_loop(), asyncio.Semaphore(_MOST_SIMULTANEOUS_JUMPS)
            ):
                tunnel = await _open(stack, target, hop, None)
        hop = _Hop(target.address, target.host_key, "the instance's tag gantry:host-key", access.login)
        yield await _open(stack, target, hop, tunnel)


@contextlib.contextmanager
def lost_if_broken(target: Target) -> Iterator[None]:
    """Turn what asyncssh raises when a connection breaks into ConnectionLostError."""
    import asyncssh  # noqa: PLC0415 - see the head of this module

    try:
        yield
    except (OSError, asyncssh.Error) as error:
        raise errors.ConnectionLostError(target.name, target.address, _reason(error)) from error


async def _open(
    stack: contextlib.AsyncExitStack,
    target: Target,
    hop: _Hop,
    tunnel: asyncssh.SSHClientConnection | None,
) -> asyncssh.SSHClientConnection:
    import asyncssh  # noqa: PLC0415 - see the head of this module

    try:
        host_key = asyncssh.import_public_key(hop.host_key)
    except asyncssh.KeyImportError as error:
        raise errors.UnusableHostKeyError(
            target.name, hop.host, hop.host_key, hop.host_key_kept_in
        ) from error
    try:
        return await stack.enter_async_context(
            asyncssh.connect(
                hop.host,
                port=hop.login.port,
                username=hop.login.user,
                client_keys=[hop.login.key()],
                known_hosts=([host_key], [], []),
                preferred_auth="publickey",
                # Whoever runs the worker has an agent and a configuration of their own; neither is asked.
                agent_path=None,
                config=None,
                tunnel=tunnel if tunnel is not None else (),
                connect_timeout=CONNECT_TIMEOUT,
                login_timeout=CONNECT_TIMEOUT,
                keepalive_interval=10,
                keepalive_count_max=3,
            )
        )
    except asyncssh.HostKeyNotVerifiable as error:
        raise errors.HostKeyMismatchError(
            target.name, hop.host, hop.host_key, hop.host_key_kept_in
        ) from error
    except asyncssh.PermissionDenied as error:
        raise errors.AccessRefusedError(
            target.name, hop.host, hop.login.user, hop.login.connection
        ) from error
    except (OSError, asyncssh.Error) as error:
        raise errors.ConnectionLostError(target.name, hop.host, _reason(error)) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT:g} s"
    return str(error) or type(error).__name__
