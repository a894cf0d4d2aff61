"""Checks of references: names that must exist in the same definition, looked up in the data as written.

They use the data, not the models, so that an unknown name is reported together with all other problems.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from gantry.definition import source

Finding = tuple[source.Path, str]
"""The path into the data, and the problem."""


class _Reference(NamedTuple):
    """A key that refers to an entry of another section."""

    section: str
    key: str
    target: str
    kind: str


_REFERENCES = (
    _Reference("tiers", "launch_configuration", "launch_configurations", "launch configuration"),
    _Reference("services", "tier", "tiers", "tier"),
    _Reference("load_balancers", "tier", "tiers", "tier"),
    _Reference("load_balancers", "service", "services", "service"),
)


def findings(data: source.Data, *, guarded: bool = False) -> Iterator[Finding]:
    """Yield every reference to an unknown name. Invalid names are left to the models.

    Args:
        data: the whole definition.
        guarded: other problems exist: do not report references into missing sections.
    """
    for section, key, target, kind in _REFERENCES:
        known = _names(data, target)
        if known is None and guarded:
            continue
        for name, entry in _entries(data, section):
            found = entry.get(key)
            if isinstance(found, str) and found.strip() not in (known or ()):
                yield (section, name, key), unknown(kind, found, known or ())
    yield from _scaling(data, guarded=guarded)
    services = dict(_entries(data, "services"))
    for name, entry in services.items():
        needed = entry.get("depends_on")
        for index, each in enumerate(needed if isinstance(needed, list) else ()):
            message = _dependency(each, services, guarded=guarded) if isinstance(each, str) else None
            if message is not None:
                yield ("services", name, "depends_on", index), message
    yield from _rules(data, services)
    for path, written in _backups(data):
        message = _dependency(written, services, guarded=guarded)
        if message is not None:
            yield path, message


def _rules(data: source.Data, services: Iterable[str]) -> Iterator[Finding]:
    """Yield the services that scaling rules of tiers refer to."""
    for tier, entry in _entries(data, "tiers"):
        rule = entry.get("rule")
        check = rule.get("check") if isinstance(rule, dict) else None
        if isinstance(check, str) and check.strip() not in services:
            yield ("tiers", tier, "rule", "check"), unknown("service", check, services)


def _backups(data: source.Data) -> Iterator[tuple[source.Path, str]]:
    """Yield what is backed up: path, and value."""
    section = data.get("backups") if isinstance(data, dict) else None
    parts = section.get("of") if isinstance(section, dict) else None
    for name, written in parts.items() if isinstance(parts, dict) else ():
        if isinstance(written, str):
            yield ("backups", "of", name), written


def _scaling(data: source.Data, *, guarded: bool) -> Iterator[Finding]:
    """Yield the tiers in scaling schedules."""
    known = _names(data, "tiers")
    written = data.get("scaling") if isinstance(data, dict) else None
    if known is None and guarded:
        return
    for index, entry in enumerate(written if isinstance(written, list) else ()):
        found = entry.get("servers") if isinstance(entry, dict) else None
        for tier in found if isinstance(found, dict) else ():
            if tier.strip() not in (known or ()):
                yield ("scaling", index, "servers", tier), unknown("tier", tier, known or ())


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return a message that a name is unknown, with the nearest known one."""
    return f"unknown {kind} {source.shown(name)}{source.or_rather(name, known)}"


def _dependency(
    written: str, services: Mapping[str, Mapping[str, source.Data]], *, guarded: bool
) -> str | None:
    service, dot, datasource = written.strip().partition(".")
    if service not in services:
        return unknown("service", service, services)
    known = _names(services[service], "datasources")
    if not dot or datasource in (known or ()) or (known is None and guarded):
        return None
    rather = source.or_rather(datasource, known or ())
    return f"service {service!r} has no datasource {source.shown(datasource)}{rather}"


def _names(data: source.Data | Mapping[str, source.Data], section: str) -> tuple[str, ...] | None:
    """Return the names in a section, or None if it is missing or not a mapping."""
    found = data.get(section) if isinstance(data, Mapping) else None
    return tuple(each.strip() for each in found) if isinstance(found, dict) else None


def _entries(data: source.Data, section: str) -> Iterator[tuple[str, Mapping[str, source.Data]]]:
    """Yield the entries of a section; those that are not mappings are replaced by empty ones."""
    found = data.get(section) if isinstance(data, dict) else None
    for name, entry in found.items() if isinstance(found, dict) else ():
        yield name, entry if isinstance(entry, dict) else {}
