"""The host keys that an SSH server offers, queried after a login broke off.

asyncssh does not say so when both sides know no kind of host key in common.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncssh

_MOST_KINDS = 4
"""Kinds of host keys that a server is asked for, for a person to read. OpenSSH makes three."""


@dataclasses.dataclass(frozen=True)
class Door:
    """Where to query a server, and the time limit of one query."""

    host: str
    port: int
    user: str
    tunnel: asyncssh.SSHClientConnection | None
    seconds: float


@dataclasses.dataclass(frozen=True)
class Offer:
    """What a server offers instead of what is pinned.

    Attributes:
        kinds: the kinds of host keys that it offers, if none of the pinned kinds is among them.
        is_another: whether it offers a pinned kind, and another key.
    """

    kinds: tuple[str, ...] = ()
    is_another: bool = False


async def ask(door: Door, pinned: Sequence[asyncssh.SSHKey]) -> Offer:
    """Find out whether an SSH server still offers a kind of host key that is pinned.

    Of what both sides know, that kind is taken which stands first on our side; so with the pinned ones in front, a key
    of another kind says for certain that they are not offered.
    """
    wanted = [each.decode() for key in pinned for each in key.sig_algorithms]
    others = [each for each in _algorithms() if each not in wanted]
    offered: list[str] = []
    while len(offered) < _MOST_KINDS:
        key = await _host_key(door, [*wanted, *others])
        if key is None:
            break
        if not offered and key.algorithm in {each.algorithm for each in pinned}:
            return Offer(is_another=key.public_data not in {each.public_data for each in pinned})
        offered.append(key.get_algorithm())
        found = {each.decode() for each in key.sig_algorithms}
        wanted, others = [], [each for each in others if each not in found]
    return Offer(tuple(offered))


def _algorithms() -> list[str]:
    """All algorithms of host keys that asyncssh knows."""
    from asyncssh import public_key  # noqa: PLC0415 - see `gantry.agent.ssh`

    return [each.decode() for each in public_key.get_public_key_algs()]


async def _host_key(door: Door, algorithms: Sequence[str]) -> asyncssh.SSHKey | None:
    """The host key that a server shows, of these algorithms, or None. Nothing is sent to it, and it is not trusted."""
    import asyncssh  # noqa: PLC0415 - see `gantry.agent.ssh`

    if not algorithms:
        return None
    options = asyncssh.SSHClientConnectionOptions(
        username=door.user, client_keys=None, agent_path=None, config=None, login_timeout=0
    )
    try:
        async with asyncio.timeout(door.seconds):
            return await asyncssh.get_server_host_key(
                door.host,
                port=door.port,
                server_host_key_algs=list(algorithms),
                tunnel=door.tunnel if door.tunnel is not None else (),
                config=None,
                options=options,
            )
    except (OSError, asyncssh.Error):
        return None
