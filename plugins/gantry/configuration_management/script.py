"""The user's own program as configuration management: no server, no registration, no cleanup."""

from __future__ import annotations

from gantry import inventory
from gantry.agent import downloads, session
from gantry.agent.fan_out import Applied, Work
from gantry.configuration_management import manager
from gantry.definition import models

CONFIG = f"{session.HOME}/ws/script/first-boot.json"


class ScriptManager:
    """A script for the servers of one tier. See `manager.Manager`."""

    files: tuple[str, ...] = (CONFIG,)

    def __init__(
        self, definition: models.Definition, settings: models.Script, program: downloads.Download
    ) -> None:
        self._definition = definition
        self._settings = settings
        self._program = program

    def prepare(self, server: inventory.Server, applied: Applied) -> Work:
        """Return the run list and the attributes as JSON, unless they are already there."""
        config = session.RemoteFile(CONFIG, manager.first_boot(self._definition, server))
        return Work((config,) if manager.differs(applied.digests, CONFIG, config.content) else ())

    def run(self, server: inventory.Server, applied: Applied, occasion: manager.Occasion) -> Work:
        """Return the download of the program and its call with the run list's items."""
        first_boot = manager.first_boot(self._definition, server)
        wanted = manager.digest(first_boot, self._program.version)
        if not occasion.wants(applied, wanted, self._settings.converge):
            return Work()
        target = f"{session.TEMPORARY}/script-program"
        call = (
            "runConfigurationManagement-SCRIPT",
            server.name,
            target,
            CONFIG,
            *self._definition.tiers[server.tier].run_list,
        )
        timeout = self._definition.timeouts.execute_configuration_management.total_seconds()
        job = downloads.fetched(
            f"script-{wanted[:12]}", self._program, target, call, timeout, occasion.mark(wanted)
        )
        return Work((), (job,))
