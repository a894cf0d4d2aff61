"""Pool of SSH connections: a step queries a server, and works on it, over one connection."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Self

from gantry import names
from gantry.agent import session, ssh


class Lines:
    """At most one idle connection per server; all of them are closed at the end."""

    def __init__(self) -> None:
        self._free: dict[names.ServerName, tuple[session.Session, contextlib.AsyncExitStack]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in tuple(self._free):
            await self.close(name)

    @contextlib.asynccontextmanager
    async def to(
        self, target: ssh.Target, access: ssh.Access, way: ssh.LoginProgress | None = None
    ) -> AsyncIterator[session.Session]:
        """Yield a connection, which is kept for the next caller unless an error occurred. See `ssh.connect`."""
        free = self._free.pop(target.name, None)
        if free is not None and free[0].is_closed:
            await free[1].aclose()
            free = None
        async with contextlib.AsyncExitStack() as stack:
            if free is None:
                connection = await stack.enter_async_context(ssh.connect(target, access, way))
                server = session.Session(connection, target, access.login)
            else:
                server = free[0]
                stack.push_async_exit(free[1])
            yield server
            await self.close(target.name)
            self._free[target.name] = (server, stack.pop_all())

    async def close(self, name: names.ServerName) -> None:
        """Close the connection to a server that is no longer needed."""
        if free := self._free.pop(name, None):
            await free[1].aclose()
