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
import weakref
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING

from gantry import errors as root
from gantry import names
from gantry.agent import errors, private_keys

if TYPE_CHECKING:
    import asyncssh

# asyncssh's messages about every channel would drown the scripts' output in the task's log.
logging.getLogger("asyncssh").setLevel(logging.WARNING)

CONNECT_TIMEOUT = 15.0
"""Seconds for one attempt, network and login together."""

_MOST_SIMULTANEOUS_JUMPS = 4
"""Maximum number of simultaneous logins to a jump host: sshd drops bursts of new connections (MaxStartups 10:30:100),
and a jump host would see them all. It notices a finished login a moment later than the client, so the limit is well
below ten."""

_jumps: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = weakref.WeakKeyDictionary()
"""A semaphore per event loop, to which it is bound: a task that is killed runs a second loop for that."""


_MOST_KINDS = 4
"""Number of kinds of host keys that a server is asked for, to show them to people. OpenSSH generates three."""

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


@dataclasses.dataclass
class LoginProgress:
    """The progress of an attempt to reach a server.

    Attributes:
        tried: whether the server itself was tried, and not only the hops before it.
        logged_in: whether the login was accepted.
    """

    tried: bool = False
    logged_in: bool = False


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
            hop = _hop_to(access.jump)
            try:
                async with _jumps.setdefault(
                    asyncio.get_running_loop(), asyncio.Semaphore(_MOST_SIMULTANEOUS_JUMPS)
                ):
                    tunnel = await _open(stack, target, hop, None)
            except errors.ServerError as error:
                error.on_the_way = True
                raise
        hop = _Hop(target.address, target.host_key, "the instance's tag gantry:host-key", access.login)
        progress.tried = True
        connection = await _open(stack, target, hop, tunnel)
        progress.logged_in = True
        yield connection


async def greet_jump_host(access: Access) -> None:
    """Log in to the jump host, if any, and out again. Raises as `connect`, with the name `JUMP_HOST`."""
    if access.jump is None:
        return
    target = Target(JUMP_HOST, "", access.jump.host, access.jump.host_key)
    async with contextlib.AsyncExitStack() as stack:
        await _open(stack, target, _hop_to(access.jump), None)


def _hop_to(jump: JumpHost) -> _Hop:
    kept_in = f"the extra field host_key of the Airflow connection {jump.login.connection!r}"
    return _Hop(jump.host, jump.host_key, kept_in, jump.login)


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
) -> asyncssh.SSHClientConnection:
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
        broken = error
    if opened and opened[0].get_extra_info("server_version"):
        # asyncssh does not report that no kind of host key is in common: the server hangs up first.
        await _ask_for_host_keys(target, hop, host_keys, tunnel)
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


async def _ask_for_host_keys(
    target: Target,
    hop: _Hop,
    pinned: Sequence[asyncssh.SSHKey],
    tunnel: asyncssh.SSHClientConnection | None,
) -> None:
    """Find out whether an SSH server still offers a pinned kind of host key.

    Of the kinds known to both sides, the first in our list is used; so with the pinned ones in front, a key of another
    kind proves that they are not offered.

    Raises:
        HostKeyKindError: it offers other kinds only.
        HostKeyMismatchError: it offers such a kind, and another key.
    """
    wanted = [each.decode() for key in pinned for each in key.sig_algorithms]
    others = [each for each in _algorithms() if each not in wanted]
    offered: list[str] = []
    while len(offered) < _MOST_KINDS:
        key = await _host_key(hop, [*wanted, *others], tunnel)
        if key is None:
            break
        if not offered and key.algorithm in {each.algorithm for each in pinned}:
            if key.public_data not in {each.public_data for each in pinned}:
                raise errors.HostKeyMismatchError(target.name, hop.host, hop.host_key, hop.host_key_kept_in)
            return
        offered.append(key.get_algorithm())
        found = {each.decode() for each in key.sig_algorithms}
        wanted, others = [], [each for each in others if each not in found]
    if offered:
        raise errors.HostKeyKindError(target.name, hop.host, hop.host_key, hop.host_key_kept_in, offered)


def _algorithms() -> list[str]:
    """Return all host key algorithms that asyncssh knows."""
    from asyncssh import public_key  # noqa: PLC0415 - see the head of this module

    return [each.decode() for each in public_key.get_public_key_algs()]


async def _host_key(
    hop: _Hop, algorithms: Sequence[str], tunnel: asyncssh.SSHClientConnection | None
) -> asyncssh.SSHKey | None:
    """Return the host key that a server presents for these algorithms, or None.

    It is neither trusted nor sent any data.
    """
    import asyncssh  # noqa: PLC0415 - see the head of this module

    if not algorithms:
        return None
    options = asyncssh.SSHClientConnectionOptions(
        username=hop.login.user, client_keys=None, agent_path=None, config=None, login_timeout=0
    )
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return await asyncssh.get_server_host_key(
                hop.host,
                port=hop.login.port,
                server_host_key_algs=list(algorithms),
                tunnel=tunnel if tunnel is not None else (),
                config=None,
                options=options,
            )
    except (OSError, asyncssh.Error):
        return None


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT:g} s"
    return str(error) or type(error).__name__
