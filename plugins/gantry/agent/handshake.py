"""The handshake's last part: put the agent's scripts in place, and see that they are the right ones."""

from __future__ import annotations

from gantry import errors, names
from gantry.agent import bundle, session

_FOLDERS = (
    ("0755", "/enstratus/bin", "/enstratus/lib", "/enstratus/custom/bin", "/enstratus/ws/log"),
    ("0755", "/mnt/services"),
    ("0700", session.TEMPORARY, "/enstratus/ws/jobs", "/enstratus/ws/state"),
)
_PRUNE_DAYS = "14"
_FORGOTTEN_MINUTES = "1440"


class AgentDamagedError(errors.GantryError):
    """The scripts on the server are not what was sent."""

    def __init__(self, server: names.ServerName, paths: tuple[str, ...]) -> None:
        self.server = server
        self.paths = paths
        super().__init__(
            f"{server}: the agent's scripts are not what was sent: {', '.join(paths)}\n"
            f"Something on the server changes them, or its disk is full. Look there, then clear this task."
        )


async def install_agent(server: session.Session, name: names.ServerName) -> tuple[str, ...]:
    """Compare the agent's scripts by hash, mode and owner, and send those that differ; tell which were sent.

    Raises:
        AgentDamagedError: they differ even then.
        CommandError, ConnectionLostError: the server could not be worked with.
    """
    for mode, *folders in _FOLDERS:
        await server.run("install", "-d", "-o", "root", "-g", "root", "-m", mode, *folders)
    shipped = bundle.bundle()
    stale = await stale_scripts(server, shipped)
    if stale:
        await server.put(
            [session.RemoteFile(f"/enstratus/{file.path}", file.content, file.mode) for file in stale]
        )
        damaged = await stale_scripts(server, shipped)
        if damaged:
            raise AgentDamagedError(name, tuple(file.path for file in damaged))
    # Secrets in transit that a dead worker left behind; whatever is running now is younger.
    await server.run(
        "find", session.TEMPORARY, "-mindepth", "1", "-mmin", f"+{_FORGOTTEN_MINUTES}",
        "(", "!", "-type", "d", "-o", "-empty", ")", "-delete",
    )  # fmt: skip
    await server.run(f"{session.BIN}/job", "prune", _PRUNE_DAYS)
    return tuple(file.path for file in stale)


async def stale_scripts(
    server: session.Session, shipped: bundle.ScriptBundle
) -> tuple[bundle.ScriptFile, ...]:
    """Those of the shipped scripts that the server does not have as they should be. Changes nothing.

    Raises:
        CommandError, ConnectionLostError: the server has no agent's folders, or could not be worked with.
    """
    where = ("find", f"{session.HOME}/bin", f"{session.HOME}/lib", "-type", "f")
    digests = _by_path(await server.run(*where, "-exec", "sha256sum", "{}", "+"))
    modes = _by_path(await server.run(*where, "-printf", "%m:%U:%G %p\\n"))
    return tuple(
        file
        for file in shipped.files
        for path in (f"{session.HOME}/{file.path}",)
        if (digests.get(path), modes.get(path)) != (file.sha256, f"{file.mode:o}:0:0")
    )


def _by_path(listing: str) -> dict[str, str]:
    """Lines of a fact and a path, as a mapping of paths to facts."""
    return {path: fact for fact, path in (line.split(maxsplit=1) for line in listing.splitlines())}
