"""The facts about deployments, read from Airflow's database: by a fixed number of queries, however many they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from sqlalchemy.orm import Session

from gantry import overview, plan, status
from gantry.web.queries import asset_state_queries, deployment_queries, run_queries, serialized_definitions


@dataclasses.dataclass(frozen=True)
class DeploymentFacts:
    """What a list does not need of a deployment that is on another of its pages.

    Attributes:
        definition: the current one.
        definitions, instances: by run.
        kept: the state of its asset; None if it may not be read.
    """

    definition: overview.CompiledDefinition | None = None
    definitions: Mapping[overview.RunKey, overview.CompiledDefinition] = dataclasses.field(
        default_factory=dict
    )
    instances: Mapping[overview.RunKey, tuple[overview.TaskInstanceRow, ...]] = dataclasses.field(
        default_factory=dict
    )
    kept: Mapping[str, object] | None = None
    ends: Mapping[overview.RunKey, overview.RunEnd] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class SqlRunSource(overview.RunSource):
    """The facts about the runs of one deployment, as read."""

    recent: deployment_queries.Recent
    facts: DeploymentFacts = dataclasses.field(default_factory=DeploymentFacts)

    def past(self) -> tuple[overview.PastRun, ...]:
        """Return the runs that change the deployment, those that worked last first."""
        return self.recent.past

    def definition(self, run: overview.Run | None = None) -> overview.CompiledDefinition | None:
        """Return the definition that a run was compiled from; without a run, the current one."""
        return self.facts.definition if run is None else self.facts.definitions.get(run.key)

    def tasks(self, run: overview.Run) -> tuple[overview.TaskInstanceRow, ...]:
        """Return the task instances of a run; of one before the shown one, those that show its servers."""
        return self.facts.instances.get(run.key, ())

    def order(self, run: overview.Run) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's
        """Return nothing: no page shows the tasks of a run without its definition."""
        return ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class SqlSource(SqlRunSource, overview.Source):
    """The facts about one deployment, as read."""

    launch: overview.LaunchDag

    def dag(self) -> overview.LaunchDag:
        """Return the DAG that launches it."""
        return self.launch

    def is_settled(self) -> bool:
        """Return whether older runs cannot matter."""
        return self.recent.is_settled

    def last(self) -> overview.Run | None:
        """Return the run that was requested last."""
        return self.recent.last

    def kept(self) -> Mapping[str, object] | None:
        """Return the state of the deployment's asset."""
        return self.facts.kept

    def ends(self, runs: Collection[overview.RunKey]) -> Mapping[overview.RunKey, overview.RunEnd]:
        """Return the ends of these runs."""
        return {run: self.facts.ends[run] for run in runs if run in self.facts.ends}


def every(session: Session, only: Collection[str] | None = None) -> list[SqlSource]:
    """Return deployments, by name, with what their rows in a list need. `only` these; None for all."""
    recent = deployment_queries.recent(session, only)
    return [
        SqlSource(recent.get(dag.id, deployment_queries.NEVER), launch=dag)
        for dag in deployment_queries.dags(session, only)
    ]


def completed(
    sources: Collection[SqlSource],
    session: Session,
    known: serialized_definitions.Definitions,
    *,
    with_records: bool,
    with_versions: bool,
) -> list[SqlSource]:
    """Return these deployments with all facts.

    Args:
        sources: the deployments.
        session: the database session.
        known: the cache of definitions.
        with_records: whether the visitor may read the state of assets.
        with_versions: whether the versions that are installed on servers are wanted.
    """
    runs = {each.launch.id: list(overview.most_relevant(each.past())) for each in sources}
    newest = known.newest(list(runs), session)
    versions = {
        past.run.key: each.recent.versions.get(past.run.key)
        for each in sources
        for past in runs[each.launch.id]
    }
    definitions = known.of_versions(versions, session)
    shown, earlier = _plans(runs.values(), definitions)
    instances = run_queries.instances(session, shown, earlier)
    kept = asset_state_queries.kept(session, list(runs), with_versions=with_versions) if with_records else {}
    open_ = {run for name, each in kept.items() for run in overview.open_runs(name, each)}
    ends = run_queries.ends(session, open_) if open_ else {}
    return [
        dataclasses.replace(
            each,
            facts=DeploymentFacts(
                newest.get(each.launch.id),
                definitions,
                instances,
                kept.get(each.launch.id, {}) if with_records else None,
                ends,
            ),
        )
        for each in sources
    ]


def of_run(
    run: overview.Run,
    own: overview.CompiledDefinition,
    session: Session,
    known: serialized_definitions.Definitions,
) -> SqlRunSource:
    """Return the facts about one run, and about those before it as far as they matter.

    Args:
        run: the run.
        own: its definition.
        session: the database session.
        known: the cache of definitions.
    """
    recent = deployment_queries.NEVER
    if run.operation not in plan.KEEPS_STATE:
        recent = deployment_queries.recent(session, [run.deployment]).get(run.deployment, recent)
    earlier = [each.run.key for each in overview.worked_before(run, recent.past)]
    definitions = known.of_versions({each: recent.versions.get(each) for each in earlier}, session)
    instances = run_queries.instances(
        session, {run.key: own.plan}, {each: found.plan for each, found in definitions.items()}
    )
    return SqlRunSource(
        recent, DeploymentFacts(definitions={**definitions, run.key: own}, instances=instances)
    )


def visible(
    found: overview.DeploymentOverview, may_read: Callable[[str], bool]
) -> overview.DeploymentOverview:
    """Leave out the runs of DAGs that may not be read: these only contribute to the deployment's state."""
    row = found.row
    shown = dataclasses.replace(found, row=visible_row(row, may_read))
    if found.run is None or may_read(found.run.dag):
        return shown
    return dataclasses.replace(shown, run=None, has_begun=False, snapshot=None, progress=None)


def visible_row(row: overview.DeploymentRow, may_read: Callable[[str], bool]) -> overview.DeploymentRow:
    """Leave out the runs of DAGs that may not be read from a row."""

    def run(found: overview.Run | None) -> overview.Run | None:
        return found if found is not None and may_read(found.dag) else None

    return dataclasses.replace(row, last=run(row.last), worked=run(row.worked))


_Plans = dict[overview.RunKey, plan.Plan]


def _plans(
    deployments: Iterable[Sequence[overview.PastRun]],
    known: Mapping[overview.RunKey, overview.CompiledDefinition],
) -> tuple[_Plans, _Plans]:
    """Return the plans of the runs that the deployments are drawn from, and those of the launches before them."""
    plans: _Plans = {}
    before: _Plans = {}
    for past in deployments:
        drawn = overview.shown(past)
        if drawn is None:
            continue
        plans |= {key: known[key].plan for key in [drawn.run.key] if key in known}
        earlier = overview.worked_before(drawn.run, past)
        launches = (each.run.key for each in earlier if each.view.kind is status.RunKind.LAUNCH)
        before |= {key: known[key].plan for key in launches if key in known}
    return plans, before
