"""What of a deployment can be backed up, and what cannot. Unknown names: see `references`."""

from __future__ import annotations

from collections.abc import Iterator

from gantry.definition import models, references, source


def findings(definition: models.Definition) -> Iterator[references.Finding]:
    """Everything that is wrong with the backups."""
    if definition.backups is None:
        return
    first: dict[str, str] = {}
    for name, part in definition.backups.of.items():
        path: source.Path = ("backups", "of", name)
        service = definition.services.get(part.service)
        if part.datasource is None and service is not None and service.datasources:
            # The files of a database that runs are no backup of it.
            rather = ", ".join(f"{part.service}.{each}" for each in service.datasources)
            yield path, f"service {part.service!r} has datasources: it is they that are backed up ({rather})"
        other = first.setdefault(str(part), name)
        if other != name:
            yield path, f"{part} is backed up already ({other!r})"
