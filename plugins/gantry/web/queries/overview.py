"""List of deployments: a summary of all of them, and details of those on the current page."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Callable, Collection, Mapping, Sequence

from sqlalchemy.orm import Session

from gantry import names, status
from gantry.plan import DeploymentState
from gantry.state import filled_slots, run_records
from gantry.web.http import access
from gantry.web.queries import (
    asset_state_queries,
    deployment_queries,
    model,
    run_queries,
    run_states,
    serialized_definitions,
)

PAGE = 50
"""Number of deployments on a page."""

_NEVER = datetime.datetime.min.replace(tzinfo=datetime.UTC)
_SOME_DAY = datetime.datetime.max.replace(tzinfo=datetime.UTC)


class Sort(enum.StrEnum):
    """The sort keys of the list."""

    NAME = "name"
    STATE = "state"
    LAST = "last"
    NEXT = "next"


class Mood(enum.StrEnum):
    """Filters of the list besides a deployment's state."""

    FAILED = "failed"
    """Its last run did not succeed."""

    BUSY = "busy"
    """One of its runs is going on."""


@dataclasses.dataclass(frozen=True)
class ListQuery:
    """A query of the list.

    Attributes:
        text: searched in the name, the description and the tags.
        state: a deployment's state, or a mood; empty for all.
        page: from 1.
    """

    text: str = ""
    state: str = ""
    tag: str = ""
    sort: Sort = Sort.NAME
    backwards: bool = False
    page: int = 1

    def takes(self, line: model.DeploymentRow) -> bool:
        """Return whether a deployment matches."""
        text = self.text.strip().casefold()
        words = (line.name, line.description, *line.tags)
        return (
            (not text or any(text in each.casefold() for each in words))
            and (not self.tag or self.tag in line.tags)
            and (not self.state or self.state in _moods(line))
        )


@dataclasses.dataclass(frozen=True)
class Listing:
    """A page of the list.

    Attributes:
        found: the number of matches, of `total` that the visitor may see.
        states: the number in each state and mood, of all that the visitor may see.
        tags: all existing tags.
    """

    wanted: ListQuery
    summaries: tuple[model.DeploymentExcerpt, ...]
    found: int
    total: int
    pages: int
    states: Mapping[str, int]
    tags: tuple[str, ...]


def listing(
    visitor: access.Visitor, wanted: ListQuery, session: Session, known: serialized_definitions.Definitions
) -> Listing:
    """Return the requested page. The number of queries does not depend on the number of deployments."""
    lines, recent, allowed = _lines(visitor, session)
    chosen = _sorted([line for line in lines if wanted.takes(line)], wanted)
    pages = max(1, -(-len(chosen) // PAGE))
    wanted = dataclasses.replace(wanted, page=min(max(wanted.page, 1), pages))
    in_sight = chosen[(wanted.page - 1) * PAGE : wanted.page * PAGE]
    counts: dict[str, int] = {}
    for line in lines:
        for mood in _moods(line):
            counts[mood] = counts.get(mood, 0) + 1
    return Listing(
        wanted,
        tuple(_summaries(in_sight, _Sight(recent, allowed, visitor.may_read_records()), session, known)),
        len(chosen),
        len(lines),
        pages,
        counts,
        tuple(sorted({tag for line in lines for tag in line.tags})),
    )


def line(
    dag: deployment_queries.LaunchDag, recent: deployment_queries.Recent, may_read: Callable[[str], bool]
) -> model.DeploymentRow:
    """Return a deployment's row, without the runs of DAGs that may not be read: these only contribute to its state."""
    worked = recent.past[0].run if recent.past else None
    return model.DeploymentRow(
        name=dag.id,
        description=dag.description,
        tags=dag.tags,
        standing=status.standing(each.view for each in recent.past),
        run=recent.last if recent.last is not None and may_read(recent.last.dag) else None,
        due=dag.due,
        is_paused=dag.is_paused,
        is_broken=dag.is_broken,
        worked=worked if worked is not None and may_read(worked.dag) else None,
        is_settled=recent.is_settled,
    )


def shown_run(
    past: Sequence[deployment_queries.RunWithTasks],
) -> tuple[deployment_queries.RunWithTasks, list[deployment_queries.RunWithTasks]] | None:
    """Return the run that a deployment is drawn from, and the runs before it.

    This is the current run; else the one that determines the state.
    """
    for place, each in enumerate(past):
        if not each.run.is_over or each.view.has_touched:
            return each, list(past[place + 1 :])
    return None


Runs = Mapping[str, deployment_queries.Recent]
"""The newest runs, by deployment."""


@dataclasses.dataclass(frozen=True)
class _Sight:
    """What may be shown of the deployments on the current page.

    Attributes:
        allowed: the DAGs that the visitor may read.
        with_records: whether they may read the state of assets.
    """

    recent: Runs
    allowed: Collection[str]
    with_records: bool


@dataclasses.dataclass(frozen=True)
class _Kept:
    """The asset state of the deployments on the current page, by deployment."""

    history: Mapping[str, tuple[run_records.Record, ...]] = dataclasses.field(default_factory=dict)
    slots: Mapping[str, filled_slots.Slots] = dataclasses.field(default_factory=dict)


def _lines(
    visitor: access.Visitor, session: Session
) -> tuple[list[model.DeploymentRow], Runs, Collection[str]]:
    every = deployment_queries.dags(session)
    recent = deployment_queries.recent(session)
    dags = {dag.id for dag in every}
    for each in recent.values():
        dags |= {run.dag for run in (each.last, *(past.run for past in each.past)) if run is not None}
    allowed = visitor.readable(dags, session)
    lines = [
        line(dag, recent.get(dag.id, deployment_queries.NEVER), allowed.__contains__)
        for dag in every
        if dag.id in allowed
    ]
    return lines, recent, allowed


def _moods(line: model.DeploymentRow) -> set[str]:
    found: set[str] = {line.standing.state.value}
    if line.standing.failed:
        found.add(Mood.FAILED.value)
    if line.run is not None and not line.run.is_over:
        found.add(Mood.BUSY.value)
    return found


_ORDER = {state: place for place, state in enumerate(DeploymentState)}


def _sorted(lines: list[model.DeploymentRow], wanted: ListQuery) -> list[model.DeploymentRow]:
    by_name = sorted(lines, key=lambda each: each.name, reverse=wanted.backwards)
    if wanted.sort is Sort.STATE:
        # Failures first: users mostly look for these.
        return sorted(
            by_name,
            key=lambda each: (not each.standing.failed, _ORDER[each.standing.state]),
            reverse=wanted.backwards,
        )
    if wanted.sort is Sort.LAST:
        return sorted(
            by_name, key=lambda each: each.run.asked if each.run else _NEVER, reverse=not wanted.backwards
        )
    if wanted.sort is Sort.NEXT:
        return sorted(by_name, key=lambda each: each.due or _SOME_DAY, reverse=wanted.backwards)
    return by_name


def _summaries(
    lines: Collection[model.DeploymentRow],
    sight: _Sight,
    session: Session,
    definitions_: serialized_definitions.Definitions,
) -> list[model.DeploymentExcerpt]:
    names_ = [each.name for each in lines]
    shown = {
        name: found
        for name in names_
        if (found := shown_run(sight.recent.get(name, deployment_queries.NEVER).past)) is not None
    }
    known = definitions_.newest({*names_, *(each.run.dag for each, _ in shown.values())}, session)
    plans = {
        (each.run.dag, each.run.id): known[each.run.dag].plan
        for each, _ in shown.values()
        if each.run.dag in known
    }
    instances = run_queries.instances(session, plans)
    kept_ = _Kept()
    if sight.with_records:
        kept_ = _Kept(run_queries.history(session, names_), asset_state_queries.slots(session, names_))
    return [_summary(each, shown.get(each.name), known, instances, kept_, sight.allowed) for each in lines]


def _summary(
    line: model.DeploymentRow,
    shown: tuple[deployment_queries.RunWithTasks, list[deployment_queries.RunWithTasks]] | None,
    known: Mapping[str, model.Known],
    instances: Mapping[run_queries.Key, tuple[model.TaskInstanceRow, ...]],
    kept_: _Kept,
    allowed: Collection[str],
) -> model.DeploymentExcerpt:
    own = known.get(names.dag_id(line.name, names.Operation.LAUNCH))
    if own is None:
        return model.DeploymentExcerpt(line)
    versions = run_queries.versions(kept_.history.get(line.name, ()))
    scene = None
    if shown is not None and shown[0].run.dag in known:
        past, earlier = shown
        key = (past.run.dag, past.run.id)
        scene = run_states.scene(
            past.run,
            known[past.run.dag],
            instances.get(key, ()),
            None,
            kept_.slots.get(line.name, {}),
            before=status.standing(each.view for each in earlier).state,
        )
    seen = None if scene is None else scene.states
    if scene is not None and scene.run.dag not in allowed:
        scene = None
    return model.DeploymentExcerpt(
        line,
        run_states.tiers(own, seen),
        run_states.services(own, seen, versions),
        run_states.progress(scene) if scene is not None and not scene.run.is_over else None,
        scene is not None and any(each.awaits_answer for each in scene.instances),
    )
