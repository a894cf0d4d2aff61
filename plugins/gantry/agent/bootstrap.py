"""Last part of the handshake: install and verify the agent's scripts, and wait until the server has booted."""

from __future__ import annotations

from gantry import errors, names
from gantry.agent import agent_bundle, session

_FOLDERS = (
    ("0755", "/enstratus/bin", "/enstratus/lib", "/enstratus/custom/bin", "/enstratus/ws/log"),
    ("0755", "/mnt/services"),
    ("0700", session.TEMPORARY, "/enstratus/ws/jobs", "/enstratus/ws/state"),
)
_RUN_FROM = (f"{session.HOME}/bin", "/mnt/services")
"""Folders of programs that are executed directly."""

_PRUNE_DAYS = "14"
_FORGOTTEN_MINUTES = "1440"


class AgentDamagedError(errors.GantryError):
    """The scripts on the server still differ after they were sent."""

    def __init__(self, server: names.ServerName, paths: tuple[str, ...]) -> None:
        self.server = server
        self.paths = paths
        super().__init__(
            f"{server}: the agent's scripts differ from those that were sent: {', '.join(paths)}\n"
            f"Something on the server changes them, or its disk is full. Look there, then clear this task."
        )


class NoExecError(errors.GantryError):
    """The agent's or the services' programs are on a file system mounted with `noexec`."""

    def __init__(self, server: names.ServerName, folder: str, mounted: str) -> None:
        self.server = server
        self.folder = folder
        self.mounted = mounted
        super().__init__(
            f"{server}: nothing in {folder} can be run: the file system at {mounted} is mounted with noexec\n"
            f"Change the image or its user_data: mount {mounted} with exec, or {folder} on another file system. "
            f"Nothing was sent."
        )


async def install_agent(server: session.Session, name: names.ServerName) -> tuple[str, ...]:
    """Check that commands run; compare the agent's scripts by hash, mode and owner; send those that differ.

    Returns the paths that were sent.

    Raises:
        NoExecError: programs cannot be executed in their folders.
        AgentDamagedError: the scripts differ even after they were sent.
        LoginShellError: commands do not run.
        CommandError, ConnectionLostError: the connection or a command failed.
    """
    await server.probe()
    mounts = await server.run("cat", "/proc/self/mounts")
    for folder in _RUN_FROM:
        mounted, options = mount_of(folder, mounts)
        if "noexec" in options:
            raise NoExecError(name, folder, mounted)
    for mode, *folders in _FOLDERS:
        await server.run("install", "-d", "-o", "root", "-g", "root", "-m", mode, *folders)
    shipped = agent_bundle.bundle()
    stale = await stale_scripts(server, shipped)
    if stale:
        # Sourced files come first: another run may start a script in between.
        ordered = sorted(stale, key=lambda file: not file.path.startswith("lib/"))
        await server.put(
            [session.RemoteFile(f"/enstratus/{file.path}", file.content, file.mode) for file in ordered]
        )
        damaged = await stale_scripts(server, shipped)
        if damaged:
            raise AgentDamagedError(name, tuple(file.path for file in damaged))
    # Secrets in transit that a dead worker left behind; those of running jobs are younger.
    await server.run(
        "find", session.TEMPORARY, "-mindepth", "1", "-mmin", f"+{_FORGOTTEN_MINUTES}",
        "(", "!", "-type", "d", "-o", "-empty", ")", "-delete",
    )  # fmt: skip
    await server.run(f"{session.BIN}/job", "prune", _PRUNE_DAYS)
    return tuple(file.path for file in stale)


async def still_boots(server: session.Session) -> str:
    """Return what a server's boot is still doing, for people; empty if it is done. Requires the agent.

    Raises:
        CommandError, ConnectionLostError: the connection or a command failed.
    """
    return (await server.run(f"{session.BIN}/bootState")).strip()


async def stale_scripts(
    server: session.Session, shipped: agent_bundle.ScriptBundle
) -> tuple[agent_bundle.ScriptFile, ...]:
    """Return the shipped scripts that are missing or different on the server. Changes nothing.

    Raises:
        CommandError, ConnectionLostError: the agent's folders are missing, or the connection failed.
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


def mount_of(folder: str, mounts: str) -> tuple[str, tuple[str, ...]]:
    """Return the mount point and mount options of the file system that a folder is on, or would be created on.

    `mounts` is the content of `/proc/self/mounts`; of several mounts at one place, the last one counts. See proc(5).
    """
    found: tuple[str, tuple[str, ...]] = ("/", ())
    for line in mounts.splitlines():
        _, place, _, options, *_ = (*line.split(" "), "", "", "", "")
        place = place.encode().decode("unicode_escape", errors="replace")
        if f"{folder}/".startswith(f"{place.rstrip('/')}/") and len(place) >= len(found[0]):
            found = (place, tuple(options.split(",")))
    return found


def _by_path(listing: str) -> dict[str, str]:
    """Parse lines of a fact and a path into a mapping of paths to facts."""
    return {path: fact for fact, path in session.pairs(listing)}
