"""SSH connections to servers: one key in, one pinned host key out, nothing taken from the machine's files.

Importing asyncssh takes half a second, and every task start parses its DAG file, which imports this module through the
operators. So asyncssh is imported inside the functions: no DAG file ever opens a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import functools
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from gantry import errors as root
from gantry import names
from gantry.agent import errors, offered_keys, private_keys, shared_resources, turns

if TYPE_CHECKING:
    import asyncssh

# asyncssh's messages about every channel would drown the scripts' output in the task's log.
logging.getLogger("asyncssh").setLevel(logging.WARNING)

CONNECT_TIMEOUT = 15.0
"""Seconds for one attempt, network and login together."""

_KEEPALIVE = 10.0
"""Seconds of silence after which a server is asked whether it is there."""

_KEEPALIVE_OF_JUMP_HOST = 3.0
"""The same for a jump host. With `_KEEPALIVES`, a dead connection to it is detected after 12 s: before an attempt
through it times out, which would look like a silent server."""

_KEEPALIVES = 3
"""Such questions in a row without an answer, after which a connection is dead."""

_MOST_BEHIND_JUMP_HOST = 500
"""Servers behind one connection to a jump host. `MaxSessions` does not limit them: forwarded connections are no
sessions. But each is an open file of one process there, which has 1,024 at most where nothing else is set, and what
sshd says when it has no more is the same as when a server does not answer."""

_HERE = frozenset(
    {
        errno.ENETUNREACH,
        errno.EADDRNOTAVAIL,
        errno.EACCES,
        errno.EPERM,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
    }
)
"""Errors of this machine, whose packets did not reach the network. `EHOSTUNREACH` is not one of them: it is what a
machine beside the server reports when the server is off."""


class UnusableKeyError(root.GantryError):
    """A private key that cannot be used.

    Attributes:
        connection: the Airflow connection that it comes from.
        field: the connection's extra field, if known.
        reason: why. Contains nothing of the key.
    """

    def __init__(self, connection: str, reason: str, field: str = "") -> None:
        self.connection = connection
        self.field = field
        self.reason = reason
        where = f" in the extra field {field}" if field else ""
        super().__init__(f"Airflow connection {connection!r}: the private key{where} is unusable: {reason}")


@dataclasses.dataclass(frozen=True)
class Login:
    """An SSH user with its key."""

    user: str
    private_key: str = dataclasses.field(repr=False)
    passphrase: str | None = dataclasses.field(repr=False, default=None)
    port: int = 22
    connection: str = ""
    """The Airflow connection that all this comes from, for error messages."""

    key_field: str = ""
    """The connection's extra field that the key comes from."""

    def key(self) -> asyncssh.SSHKey:
        """Return the private key.

        Raises:
            UnusableKeyError: it is not a private key, or the passphrase is wrong or missing.
        """
        try:
            return _imported(self.private_key, self.passphrase)
        except private_keys.PrivateKeyFormatError as error:
            raise UnusableKeyError(self.connection, error.reason, self.key_field) from None

    def authorized_key(self) -> str:
        """Return the public half, as a line of `authorized_keys`. Raises UnusableKeyError."""
        return self.key().export_public_key().decode().strip()


@functools.lru_cache(maxsize=8)
def _imported(private_key: str, passphrase: str | None) -> asyncssh.SSHKey:
    """Import a key. Decryption takes a second by design; a step logs in with the same key on all its servers."""
    return private_keys.loaded(private_key, passphrase)


JUMP_HOST = names.ServerName("jump host")
"""Its name in messages when it is contacted for its own sake."""


@dataclasses.dataclass(frozen=True)
class JumpHost:
    """A host in front of the servers. Its host keys (one per line) are known beforehand too."""

    host: str
    host_key: str
    login: Login


@dataclasses.dataclass(frozen=True)
class Access:
    """How servers are reached: their login, and the jump host, if any.

    Attributes:
        patience: seconds that a server may be unreachable in the middle of a step before the step gives up.
    """

    login: Login
    jump: JumpHost | None = None
    patience: float = 120.0


@dataclasses.dataclass(frozen=True)
class Target:
    """The SSH address of one server. Contains no secret, so it may be passed to the triggerer."""

    name: names.ServerName
    instance_id: str
    address: str
    host_key: str


@dataclasses.dataclass(frozen=True)
class _Hop:
    """One connection to open: the server's own, or the one to the jump host."""

    host: str
    host_key: str
    host_key_kept_in: str
    login: Login
    keepalive: float = _KEEPALIVE


@dataclasses.dataclass
class LoginProgress:
    """The progress of an attempt to reach a server.

    Attributes:
        limit: the caller's own time limit. It is stopped while this login waits for others in this process.
        tried: whether the server itself was tried, and not only the hops before it.
        logged_in: whether the login was accepted.
        waited: seconds for which this login has waited for others.
    """

    limit: asyncio.Timeout | None = None
    tried: bool = False
    logged_in: bool = False
    waited: float = 0.0


@contextlib.asynccontextmanager
async def connect(
    target: Target, access: Access, progress: LoginProgress | None = None
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Open a connection to a server, closed at the end.

    Args:
        target: the server.
        access: the login for it.
        progress: updated on the way, for callers that give up in between.

    Raises:
        HostKeyMismatchError: another host key than the pinned one, or none of its kind (HostKeyKindError).
        AccessRefusedError: the login is refused.
        UnusableHostKeyError, UnusableKeyError: a key is not valid.
        ConnectionLostError: it cannot be reached; or it is busy (ServerBusyError).
    """
    progress = progress or LoginProgress()
    async with contextlib.AsyncExitStack() as stack:
        tunnel = None
        if access.jump is not None:
            tunnel = await stack.enter_async_context(_through(access.jump, target))
        hop = _Hop(target.address, target.host_key, "the instance's tag gantry:host-key", access.login)
        begun = time.monotonic()
        async with turns.turn(progress.limit) as turn:
            progress.waited, progress.tried = time.monotonic() - begun, True
            connection = await _open(stack, target, hop, tunnel, turn.answered)
        progress.logged_in = True
        yield connection


@contextlib.asynccontextmanager
async def _through(jump: JumpHost, target: Target) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """The one connection to a jump host that all of this process use who go through it at the same time."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            tunnel = await stack.enter_async_context(_jump_hosts.use(jump))
        except errors.ServerError as error:
            own = error.about(target.name)
            own.on_the_way = True
            raise own from error
        yield tunnel


async def _log_in(jump: JumpHost, stack: contextlib.AsyncExitStack) -> asyncssh.SSHClientConnection:
    target = Target(JUMP_HOST, "", jump.host, jump.host_key)
    return await _open(stack, target, _hop_to(jump), None)


_jump_hosts: shared_resources.Shared[JumpHost, asyncssh.SSHClientConnection] = shared_resources.Shared(
    _log_in, lambda tunnel: not tunnel.is_closed(), _MOST_BEHIND_JUMP_HOST
)


async def greet_jump_host(access: Access) -> None:
    """Log in to the jump host, if any, and out again. Raises as `connect`, with the name `JUMP_HOST`."""
    if access.jump is None:
        return
    async with contextlib.AsyncExitStack() as stack:
        await _log_in(access.jump, stack)


def _hop_to(jump: JumpHost) -> _Hop:
    kept_in = f"the extra field host_key of the Airflow connection {jump.login.connection!r}"
    return _Hop(jump.host, jump.host_key, kept_in, jump.login, _KEEPALIVE_OF_JUMP_HOST)


@contextlib.contextmanager
def lost_if_broken(target: Target) -> Iterator[None]:
    """Convert asyncssh's exceptions for broken connections to ConnectionLostError."""
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
    on_answer: Callable[[], None] = lambda: None,
) -> asyncssh.SSHClientConnection:
    """Log in, and have it closed at the end. `on_answer` is called when something has taken the connection."""
    import asyncssh  # noqa: PLC0415 - see the head of this module

    try:
        host_keys = [asyncssh.import_public_key(line) for line in hop.host_key.splitlines()]
    except asyncssh.KeyImportError as error:
        raise errors.UnusableHostKeyError(
            target.name, hop.host, hop.host_key, hop.host_key_kept_in
        ) from error
    opened: list[asyncssh.SSHClientConnection] = []

    class Client(asyncssh.SSHClient):
        """Tracks a connection while it is being opened: its progress decides what a failure means."""

        def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
            opened.append(conn)
            on_answer()

    try:
        return await stack.enter_async_context(
            asyncssh.connect(
                hop.host,
                port=hop.login.port,
                username=hop.login.user,
                client_keys=[hop.login.key()],
                known_hosts=(host_keys, [], []),
                preferred_auth="publickey",
                client_factory=Client,
                # The user running the worker has an SSH agent and configuration of their own; neither is used.
                agent_path=None,
                config=None,
                tunnel=tunnel if tunnel is not None else (),
                # It covers the login too. A separate limit for the login would end as a lost connection, which looks
                # like one that the server has closed.
                connect_timeout=CONNECT_TIMEOUT,
                login_timeout=0,
                keepalive_interval=hop.keepalive,
                keepalive_count_max=_KEEPALIVES,
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
        broken = error
    if opened and opened[0].get_extra_info("server_version"):
        # asyncssh does not report that no kind of host key is in common: the server hangs up first.
        await _compare_host_keys(target, hop, host_keys, tunnel)
    # A broken tunnel is marked as closed one iteration of the event loop after its channels fail.
    await asyncio.sleep(0)
    raise _broken(target, hop, broken, tunnel, accepted=bool(opened)) from broken


def _broken(
    target: Target,
    hop: _Hop,
    error: OSError | asyncssh.Error,
    tunnel: asyncssh.SSHClientConnection | None,
    *,
    accepted: bool,
) -> errors.ConnectionLostError:
    """Return the error for a connection that broke before the login."""
    import asyncssh  # noqa: PLC0415 - see the head of this module

    reason = _reason(error)
    on_the_way = (
        isinstance(error, socket.gaierror)
        or (isinstance(error, OSError) and error.errno in _HERE)
        or (tunnel is not None and tunnel.is_closed())
        # The jump host reports whether it has tried.
        or (isinstance(error, asyncssh.ChannelOpenError) and error.code != asyncssh.OPEN_CONNECT_FAILED)
    )
    if accepted and not on_the_way and not isinstance(error, TimeoutError):
        return errors.ServerBusyError(target.name, hop.host, reason)
    found = errors.ConnectionLostError(target.name, hop.host, reason)
    found.on_the_way = on_the_way
    return found


async def _compare_host_keys(
    target: Target,
    hop: _Hop,
    pinned: Sequence[asyncssh.SSHKey],
    tunnel: asyncssh.SSHClientConnection | None,
) -> None:
    """Raise HostKeyKindError or HostKeyMismatchError if an SSH server does not offer what is pinned."""
    door = offered_keys.Door(hop.host, hop.login.port, hop.login.user, tunnel, CONNECT_TIMEOUT)
    offer = await offered_keys.ask(door, pinned)
    if offer.is_another:
        raise errors.HostKeyMismatchError(target.name, hop.host, hop.host_key, hop.host_key_kept_in)
    if offer.kinds:
        raise errors.HostKeyKindError(target.name, hop.host, hop.host_key, hop.host_key_kept_in, offer.kinds)


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT:g} s"
    return str(error) or type(error).__name__
