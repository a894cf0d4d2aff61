"""Checks of what can be backed up, and what cannot. Unknown names: see `references`."""

from __future__ import annotations

from collections.abc import Iterator

from gantry import names
from gantry.definition import drills, models, references, server_checks, source


def findings(definition: models.Definition) -> Iterator[references.Finding]:
    """Yield everything that is wrong with the backups."""
    if definition.backups is None:
        return
    first: dict[str, str] = {}
    for name, part in definition.backups.of.items():
        path: source.Path = ("backups", "of", name)
        service = definition.services.get(part.service)
        if part.datasource is None and service is not None and service.datasources:
            # The files of a running database do not make a consistent backup.
            rather = ", ".join(f"{part.service}.{each}" for each in service.datasources)
            yield path, f"service {part.service!r} has datasources: back those up instead ({rather})"
        other = first.setdefault(str(part), name)
        if other != name:
            yield path, f"{part} is backed up already ({other!r})"
    if definition.backups.drill is not None:
        yield from _drill(definition, definition.backups, definition.backups.drill)


def _drill(
    definition: models.Definition, backups: models.Backups, drill: models.Drill
) -> Iterator[references.Finding]:
    """Yield what a drill cannot restore or check."""
    here: source.Path = ("backups", "drill")
    for index, name in enumerate(drill.of):
        if name not in backups.of:
            yield (*here, "of", index), references.unknown("backup", name, backups.of)
    for name in drill.check:
        if name not in backups.of:
            yield (*here, "check", name), references.unknown("backup", name, backups.of)
        elif drill.of and name not in drill.of:
            yield (*here, "check", name), f"the drill does not cover backup {name!r}, so nothing is checked"
    wanted = (backups.of[name].service for name in drill.of or backups.of if name in backups.of)
    needed = drills.needed(definition, wanted)
    for tier in dict.fromkeys(definition.services[name].tier for name in sorted(needed)):
        called = f"{names.of_drill(definition.deployment)}-{tier}-1"
        if len(called) > server_checks.LONGEST_HOST_NAME:
            yield (
                here,
                f"the throw-away server of tier {tier!r} would be called {called}, which is longer than "
                f"{server_checks.LONGEST_HOST_NAME} characters",
            )
