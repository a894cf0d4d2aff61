"""Under which key something about a service on a server is kept in the state of the deployment's asset."""

from __future__ import annotations

import dataclasses

from gantry import names


@dataclasses.dataclass(frozen=True)
class Places:
    """The keys of one kind of notes. `prefix` is what all of them begin with."""

    prefix: str

    def key(self, service: names.ServiceName, server: names.ServerName) -> str:
        """The key of a service on a server."""
        return f"{self.prefix}{service}@{server}"

    def parts(self, key: str) -> tuple[str, str] | None:
        """The service and the server of a key, or None if it is one of another kind."""
        if not key.startswith(self.prefix):
            return None
        service, _, server = key.removeprefix(self.prefix).partition("@")
        return service, server
