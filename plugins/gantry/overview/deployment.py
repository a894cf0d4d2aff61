"""A deployment's overview, from the facts of a source and the cloud's answer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from gantry import inventory as inventories
from gantry import status
from gantry.overview import model, parts, records, runs
from gantry.overview.source import Source
from gantry.state import filled_slots


def row(source: Source) -> model.DeploymentRow:
    """Return a deployment's row in a list. Asks for no more runs than necessary."""
    past = iter(source.past())
    first = next(past, None)
    looked_at = () if first is None else itertools.chain([first], past)
    standing = status.standing(each.view for each in looked_at)
    worked = None if first is None else first.run
    return model.DeploymentRow(source.dag(), standing, source.last(), worked, source.is_settled())


def deployment(source: Source, inventory: inventories.Inventory | None) -> model.DeploymentOverview:
    """Return a deployment's current state, according to Airflow, and to the cloud if it was asked.

    An inventory of None is one that is not known.
    """
    kept = source.kept()
    past = tuple(runs.most_relevant(source.past()))
    standing = status.standing(each.view for each in past)
    line = model.DeploymentRow(
        source.dag(), standing, source.last(), past[0].run if past else None, source.is_settled()
    )
    history = None if kept is None else records.history(line.name, kept, source.ends)
    installed = records.installed(kept or {})
    slots = filled_slots.load((kept or {}).get(filled_slots.KEY))
    drawn = runs.shown(past)
    seen = None if drawn is None else _snapshot(source, drawn, inventory, slots)
    states = None if seen is None else seen.states
    known = source.definition()
    servers = (
        parts.recorded_servers(installed)
        if known is None
        else parts.servers(known, states, inventory, installed)
    )
    return model.DeploymentOverview(
        row=line,
        known=known,
        run=None if drawn is None else drawn[0].run,
        has_begun=drawn is not None and drawn[0].view.has_touched,
        snapshot=seen,
        states=states,
        tiers=() if known is None else parts.tiers(known, states, inventory, slots),
        services=()
        if known is None
        else parts.services(known, states, records.last_versions(history or ()), servers),
        servers=servers,
        inventory=inventory,
        history=history,
        progress=None if seen is None or seen.run.is_over else runs.progress(seen),
    )


def _snapshot(
    source: Source,
    drawn: tuple[model.PastRun, Sequence[model.PastRun]],
    inventory: inventories.Inventory | None,
    slots: filled_slots.Slots,
) -> model.RunSnapshot | None:
    run, earlier = drawn[0].run, drawn[1]
    known = source.definition(run)
    if known is None:
        return None
    before = runs.before(earlier, source.tasks)
    return runs.snapshot(run, known, source.tasks(run), inventory, before, slots)
