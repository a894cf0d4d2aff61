"""A deployment's overview, from the facts of a source and the cloud's answer."""

from __future__ import annotations

import dataclasses
import itertools

from gantry import inventory as inventories
from gantry import plan, status
from gantry.overview import bundles, model, parts, records, runs
from gantry.overview import snapshot as snapshots
from gantry.overview.source import Source
from gantry.state import filled_slots, run_records


@dataclasses.dataclass(frozen=True)
class DeploymentOverview:
    """A deployment and its parts at one point in time.

    Attributes:
        known: the current definition; None if it is not at hand: then only servers with recorded versions are known.
        run: its current run, or the one that determines its state; None before the first one.
        has_begun: whether that run has begun to change anything.
        snapshot: that run in detail; None if its definition is not at hand.
        states: the states derived from that run; None without a snapshot.
        inventory: the cloud's answer, or None.
        history: records of its runs, newest first; None if they may not be read.
        progress: the progress of a run that goes on.
        left_bundle: the DAG bundle of the last operation, if the definition is in another one by now; else empty.
    """

    row: model.DeploymentRow
    known: model.CompiledDefinition | None
    run: model.Run | None = None
    has_begun: bool = False
    snapshot: snapshots.RunSnapshot | None = None
    states: status.DeploymentStatus | None = None
    tiers: tuple[model.TierView, ...] = ()
    services: tuple[model.ServiceView, ...] = ()
    servers: tuple[model.ServerView, ...] = ()
    inventory: inventories.Inventory | None = None
    history: tuple[run_records.Record, ...] | None = ()
    progress: snapshots.RunProgress | None = None
    left_bundle: str = ""

    @property
    def awaits_answer(self) -> bool:
        """Return whether its run waits for a person's answer."""
        return self.snapshot is not None and any(each.awaits_answer for each in self.snapshot.instances)

    @property
    def state(self) -> plan.DeploymentState:
        """Return the deployment's state."""
        return self.row.standing.state if self.states is None else self.states.state

    @property
    def failed(self) -> bool:
        """Return whether a run failed at this state."""
        return self.row.standing.failed if self.states is None else self.states.failed is not None

    @property
    def failed_at(self) -> plan.Phase | None:
        """Return the phase that the run failed at."""
        return None if self.states is None else self.states.failed

    @property
    def phase(self) -> plan.Phase | None:
        """Return the current phase."""
        return None if self.states is None else self.states.phase


def row(source: Source) -> model.DeploymentRow:
    """Return a deployment's row in a list. Asks for no more runs than necessary."""
    past = iter(source.past())
    first = next(past, None)
    looked_at = () if first is None else itertools.chain([first], past)
    standing = status.standing(each.view for each in looked_at)
    worked = None if first is None else first.run
    return model.DeploymentRow(source.dag(), standing, source.last(), worked, source.is_settled())


def deployment(source: Source, inventory: inventories.Inventory | None) -> DeploymentOverview:
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
    seen = None
    if drawn is not None and source.definition(drawn.run) is not None:
        seen = runs.run_snapshot(source, drawn.run, inventory, slots)
    states = None if seen is None else seen.states
    known = source.definition()
    servers = (
        parts.recorded_servers(installed)
        if known is None
        else parts.servers(known, states, inventory, installed)
    )
    return DeploymentOverview(
        row=line,
        known=known,
        run=None if drawn is None else drawn.run,
        has_begun=drawn is not None and drawn.view.has_touched,
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
        left_bundle=bundles.left(kept, line.dag.bundle),
    )
