"""List of deployments: a summary of all of them, and details of those on the current page."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Mapping

from sqlalchemy.orm import Session

from gantry import overview
from gantry.plan import DeploymentState
from gantry.web.http import access
from gantry.web.queries import serialized_definitions, sql_source

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

    def takes(self, row: overview.DeploymentRow) -> bool:
        """Return whether a deployment matches."""
        text = self.text.strip().casefold()
        words = (row.name, row.dag.description, *row.dag.tags)
        return (
            (not text or any(text in each.casefold() for each in words))
            and (not self.tag or self.tag in row.dag.tags)
            and (not self.state or self.state in _moods(row))
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
    summaries: tuple[overview.DeploymentOverview, ...]
    found: int
    total: int
    pages: int
    states: Mapping[str, int]
    tags: tuple[str, ...]


def listing(
    visitor: access.Visitor, wanted: ListQuery, session: Session, known: serialized_definitions.Definitions
) -> Listing:
    """Return the requested page. The number of queries does not depend on the number of deployments."""
    sources = sql_source.every(session)
    dags = {run.dag for each in sources for run in (each.last(), *(past.run for past in each.past())) if run}
    allowed = visitor.readable({*dags, *(each.launch.id for each in sources)}, session)
    by_name = {each.launch.id: each for each in sources if each.launch.id in allowed}
    rows = [sql_source.visible_row(overview.row(each), allowed.__contains__) for each in by_name.values()]
    chosen = _sorted([row for row in rows if wanted.takes(row)], wanted)
    pages = max(1, -(-len(chosen) // PAGE))
    wanted = dataclasses.replace(wanted, page=min(max(wanted.page, 1), pages))
    in_sight = chosen[(wanted.page - 1) * PAGE : wanted.page * PAGE]
    counts: dict[str, int] = {}
    for row in rows:
        for mood in _moods(row):
            counts[mood] = counts.get(mood, 0) + 1
    completed = sql_source.completed(
        [by_name[row.name] for row in in_sight],
        session,
        known,
        with_records=visitor.may_read_records(),
        with_versions=False,
    )
    return Listing(
        wanted,
        # The cloud is not asked: there may be many.
        tuple(
            sql_source.visible(overview.deployment(each, None), allowed.__contains__) for each in completed
        ),
        len(chosen),
        len(rows),
        pages,
        counts,
        tuple(sorted({tag for row in rows for tag in row.dag.tags})),
    )


def _moods(row: overview.DeploymentRow) -> set[str]:
    found: set[str] = {row.standing.state.value}
    if row.standing.failed:
        found.add(Mood.FAILED.value)
    if row.last is not None and not row.last.is_over:
        found.add(Mood.BUSY.value)
    return found


_ORDER = {state: place for place, state in enumerate(DeploymentState)}


def _sorted(rows: list[overview.DeploymentRow], wanted: ListQuery) -> list[overview.DeploymentRow]:
    by_name = sorted(rows, key=lambda each: each.name, reverse=wanted.backwards)
    if wanted.sort is Sort.STATE:
        # Failures first: users mostly look for these.
        return sorted(
            by_name,
            key=lambda each: (not each.standing.failed, _ORDER[each.standing.state]),
            reverse=wanted.backwards,
        )
    if wanted.sort is Sort.LAST:
        return sorted(
            by_name, key=lambda each: each.last.asked if each.last else _NEVER, reverse=not wanted.backwards
        )
    if wanted.sort is Sort.NEXT:
        return sorted(by_name, key=lambda each: each.dag.due or _SOME_DAY, reverse=wanted.backwards)
    return by_name
