"""Configuration changes on a server: a service's new `enstratus.cfg`, and the one that it replaces."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from gantry import names
from gantry.agent import errors, fan_out, layout, session

UNREADABLE = "is a link"
"""Why an existing file is not read."""

_SCRIPT = "putConfig"


@dataclasses.dataclass(frozen=True)
class ConfigChange:
    """One service's file, before and after. Both contain secrets.

    Attributes:
        before: None if there was none.
        readable: whether the existing file could be read.
    """

    service: names.ServiceId
    before: str | None = dataclasses.field(repr=False)
    after: str = dataclasses.field(repr=False)
    readable: bool = True


async def handed(server: session.Session, wanted: fan_out.Work) -> list[ConfigChange]:
    """Return the files that some work is about to replace. Does not contact the server if it replaces none.

    Raises:
        ConnectionLostError: the connection broke.
    """
    return [await _replaced(server, service, after) for service, after in _sent(wanted)]


async def content(server: session.Session, path: str) -> str | None:
    """Return the content of an existing configuration file; None if it is a link.

    The service's user may still own its folder; root must not reveal the target of that user's links.

    Raises:
        CommandError, ConnectionLostError: as `Session.run`.
    """
    if (await server.run("readlink", "-f", path)).strip() != path:
        return None
    return await server.run("dd", f"if={path}", "iflag=nofollow", "bs=64k", "count=16", "status=none")


def _sent(wanted: fan_out.Work) -> Iterator[tuple[names.ServiceId, str]]:
    files = {file.path: file.content.decode() for file in wanted.files if file.path.endswith(".cfg")}
    for job in wanted.jobs:
        if job.script == _SCRIPT:
            service, path = job.arguments
            yield names.ServiceId(service), files[path]


async def _replaced(server: session.Session, service: names.ServiceId, after: str) -> ConfigChange:
    path = layout.service_config(service)
    try:
        if path not in await fan_out.digests(server, (path,)):
            return ConfigChange(service, None, after)
        before = await content(server, path)
    except errors.CommandError:
        # Reading for display only must not block the work.
        before = None
    return ConfigChange(service, before, after, readable=before is not None)
