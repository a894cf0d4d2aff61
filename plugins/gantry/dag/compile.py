"""Compiles plans to Airflow DAGs. The only place where DAGs are created.

Nothing here reads a connection, a variable, the cloud or the network, and the same definition always gives the same
DAG; otherwise each parse would create a new DAG version.
"""

from __future__ import annotations

import datetime
import functools
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import (
    DAG,
    Asset,
    AssetAlias,
    BaseOperator,
    TaskGroup,
    TriggerRule,
    get_parsing_context,
    task_group,
)

import gantry.definition
from gantry import names
from gantry.dag import forms, loaders, notifications
from gantry.dag.operations import RECIPES
from gantry.definition import models, source, stored
from gantry.operators import registry
from gantry.plan import OPERATIONS, Effect, Group, GroupKind, Plan, Step, StepKind, group_id, plan_of
from gantry.plan.steps import step_id
from gantry.reconcile import step_run
from gantry.runtime import task_run

_NO_DATE = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
"""Every DAG's start date. Constant, because a moving one would create a new DAG version at each parse."""

Approve = Callable[..., BaseOperator]
"""Creates the task that asks a person for approval of this DAG's run. Takes the approval and a task's keywords."""


def deployment_dags(
    path: str | pathlib.Path,
    environment: str | None = None,
    variables: Mapping[str, gantry.definition.Scalar] | None = None,
) -> tuple[DAG, ...]:
    """Return the DAGs of the definition in a file, one per operation: its launch, its termination, and so on.

    A loader in the DAGs folder is two lines::

        from gantry.dag import deployment_dags  # airflow dag

        dags = deployment_dags("/path/to/bookshop.yaml")

    Args:
        path: the path of the definition.
        environment: for example `staging`: the overlay `bookshop.staging.yaml` is applied.
        variables: values for the definition's variables. They take precedence over the overlay's.

    Returns:
        The DAGs, in the order of `names.Operation`. If a task is about to run, only its DAG.

    Raises:
        DefinitionError: the definition is invalid, or another loader creates the same deployment. Airflow shows the
            message, which begins `file:line:column`.
    """
    loaded = gantry.definition.read(pathlib.Path(path), environment=environment, variables=variables)
    definition = loaded.definition
    # A task's process reads its DAG file again, and needs one DAG of it.
    wanted = get_parsing_context().dag_id
    found = [*notifications.findings(definition)]
    if wanted is None:
        # A run continues with the definition that it began with, even if another file appears beside it.
        found += loaders.findings(definition.deployment)
    if found:
        raise loaded.refusal(found)
    return tuple(
        operation_dag(definition, operation, loaded.source)
        for operation, recipe in RECIPES.items()
        if wanted in (None, names.dag_id(definition.deployment, operation)) and recipe.needed(definition)
    )


def operation_dag(
    definition: models.Definition, operation: names.Operation, read: source.DefinitionData | None = None
) -> DAG:
    """Return the DAG of one operation of the deployment. The launch's id is the deployment's name.

    Args:
        definition: the deployment's definition.
        operation: the operation.
        read: the files that the definition was read from, for positions in the tasks' errors.
    """
    recipe = RECIPES[operation]
    dag_id = names.dag_id(definition.deployment, operation)
    plan = plan_of(definition, operation)
    facts = OPERATIONS[operation]
    purpose = facts.describe(definition.deployment)
    subject = recipe.subject(definition)
    form = forms.trigger_form(operation, definition)
    launches = operation is names.Operation.LAUNCH
    dag = _dag(
        step_run.DagPayload(subject, plan, operation, read),
        dag_id=dag_id,
        description=(launches and definition.description) or purpose,
        schedule=recipe.schedule(definition),
        doc_md=recipe.page(definition, plan),
        params=form,
        tags=["gantry", operation.value, *definition.tags],
        **(notifications.time_limits(definition) if launches else {}),
        **({} if facts.read_only else notifications.on_failure(definition)),
    )
    with dag:
        # The pages read the deployment's own definition, also for a drill: plans are made from that.
        carried = stored.dump(definition)
        approve = functools.partial(
            notifications.approve,
            f"{purpose}?",
            form,
            # Steps of a launch run also where all before them are skipped.
            ignore_downstream_trigger_rules=launches,
        )
        _fill(plan, subject, carried, approve)
    return dag


def backup_asset(deployment: names.DeploymentName, backup: names.BackupName) -> Asset:
    """Return the asset that each complete backup updates."""
    return Asset(
        name=f"backup://{deployment}/{backup}", uri=f"backup://{deployment}/{backup}", group="gantry"
    )


def deployment_asset(deployment: names.DeploymentName) -> Asset:
    """Return the asset that a successful launch updates; for a drill's name, a successful drill."""
    return Asset(name=names.asset(deployment), uri=names.asset(deployment), group="gantry")


def _keeping(deployment: names.DeploymentName) -> dict[str, Any]:
    """Return the assets that hold the deployment's state: created at the first parsing, and protected by an alias.

    As an inlet, an asset exists without any event. See `gantry.runtime.asset_state`.
    """
    states = tuple(dict.fromkeys(map(names.state, (names.deployment_of(deployment), deployment))))
    return {
        "inlets": [Asset(name=each, uri=each, group="gantry") for each in states],
        "outlets": [AssetAlias(name=each, group="gantry") for each in states],
    }


def _dag(compiled: step_run.DagPayload, **settings: Any) -> DAG:  # noqa: ANN401 - Airflow's keywords
    definition = compiled.definition
    tasks: dict[str, Any] = {
        "retries": definition.retries,
        "retry_delay": definition.retry_delay,
        "owner": definition.owner,
    }
    if definition.pool is not None:
        tasks["pool"] = definition.pool
    if definition.max_active_tasks is not None:
        settings["max_active_tasks"] = definition.max_active_tasks
    return DAG(
        start_date=_NO_DATE,
        catchup=False,
        max_active_runs=1,
        user_defined_macros={task_run.MACRO: compiled},
        default_args=tasks,
        **settings,
    )


def _fill(plan: Plan, definition: models.Definition, carried: str, approve: Approve) -> None:
    """Create the tasks, group by group, and then the edges."""
    tasks: dict[str, BaseOperator] = {}
    # Tiers first: mapped tasks depend on the task that distributes the servers.
    groups = sorted(
        dict.fromkeys(step.group for step in plan), key=lambda each: each.kind is not GroupKind.TIER
    )
    for group in groups:
        steps = [step for step in plan if step.group == group]
        if group.kind is GroupKind.DEPLOYMENT:
            tasks.update({step.id: _single(step, definition, carried, approve) for step in steps})
            continue
        with TaskGroup(
            group_id=group_id(group),
            group_display_name=f"{group.kind.value.replace('_', ' ')} {group.name}",
            tooltip=_tooltip(group, definition),
            prefix_group_id=False,
        ):
            tasks.update(
                {
                    step.id: _single(step, definition, carried, approve)
                    for step in steps
                    if not step.per_server
                }
            )
            _dealt(group, [step for step in steps if step.per_server], tasks, definition)
    for before, after in plan.edges:
        tasks[before] >> tasks[after]
    if plan.cleanup is not None:
        # Downstream tasks fail at once after a failure, while others are still working: this one waits for all of
        # them.
        last = registry.OPERATORS[plan.cleanup.kind](
            **_common(plan.cleanup, definition), trigger_rule=TriggerRule.ALL_DONE
        )
        [tasks[before] for before in plan.cleanup.upstream] >> last


def _single(step: Step, definition: models.Definition, carried: str, approve: Approve) -> BaseOperator:
    common = _common(step, definition)
    if step.kind is StepKind.APPROVE and definition.approval is not None:
        return approve(definition.approval, **common)
    if step.facts.carries_definition:
        # Every operation has one such task, and Airflow stores its fields for each version of the DAG.
        common |= {"doc_json": carried}
    if step.facts.keeps_state:
        common |= _keeping(definition.deployment)
    if step.kind is StepKind.FINISH_LAUNCH:
        common |= {
            "outlets": [deployment_asset(definition.deployment)],
            **notifications.on_success(definition),
            # A launch skips steps that have nothing to do, possibly all between `find_lost` and this one. Where
            # `find_lost` itself is skipped, after a refused approval for example, none succeeds, and this is skipped
            # too.
            "trigger_rule": TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
        }
    if step.kind is StepKind.KEEP_BACKUP and step.backup is not None:
        common |= {"outlets": [backup_asset(definition.deployment, step.backup)]}
    if step.kind is StepKind.FINISH_DRILL:
        # A separate asset: a successful drill is not a successful launch.
        common |= {"outlets": [deployment_asset(definition.deployment)]}
    if step.always:
        common |= {"trigger_rule": TriggerRule.ALL_DONE}
    return registry.OPERATORS[step.kind](**common)


def _dealt(
    group: Group, steps: Sequence[Step], tasks: dict[str, BaseOperator], definition: models.Definition
) -> None:
    """Create the mapped steps: consecutive steps of one tier form one mapped task group.

    In such a group each task instance proceeds at its own pace; a slow server delays only its dependents. Steps that
    wait for all servers, or that all others wait for, form groups of their own: between two groups all instances are
    synchronized.
    """
    rows: dict[tuple[names.TierName | None, str], list[Step]] = {}
    for step in steps:
        rows.setdefault((step.tier, step.facts.row), []).append(step)
    for (tier, called), row in rows.items():
        scale_up = tasks[step_id(Group(GroupKind.TIER, str(tier)), StepKind.SCALE_UP)]

        def on_servers(servers: Any, row: Iterable[Step] = tuple(row)) -> None:  # noqa: ANN401 - a stand-in
            for step in row:
                tasks[step.id] = _on_servers(step, servers, definition)

        what = f"{called} " if called else ""
        task_group(
            group_id=f"{group_id(group)}-{what.replace(' ', '-')}on-{tier}",
            # Short: Airflow shows it beside the number of tasks.
            group_display_name=f"{what}on {tier}",
            prefix_group_id=False,
        )(on_servers).expand(servers=scale_up.output)


def _on_servers(step: Step, servers: Any, definition: models.Definition) -> BaseOperator:  # noqa: ANN401 - Airflow's stand-in for a list
    if step.skipped is not None:
        return EmptyOperator(**_common(step, definition), doc_md=f"Nothing to do: {step.skipped}.")
    return registry.OPERATORS[step.kind](
        **_common(step, definition), servers=servers, map_index_template="{{ task.servers_label }}"
    )


def _common(step: Step, definition: models.Definition) -> dict[str, Any]:
    called = step.facts.title or step.id.rpartition(".")[2].replace("_", " ")
    common: dict[str, Any] = {"task_id": step.id, "task_display_name": called}
    if step.after_left_out:
        common["trigger_rule"] = TriggerRule.NONE_FAILED
    settings = definition.step_settings(step.kind)
    if step.facts.effect is Effect.LOOKS:
        # The next check comes anyway.
        common["retries"] = 0
    if settings is not None:
        # The keys of the language are Airflow's own words.
        common |= {key: value for key, value in settings if value is not None}
    return common


def _tooltip(group: Group, definition: models.Definition) -> str:
    if group.kind is GroupKind.SERVICE:
        service = definition.services[names.ServiceName(group.name)]
        return f"Service {group.name} ({service.id}) on tier {service.tier}"
    if group.kind is GroupKind.TIER:
        count = definition.tiers[names.TierName(group.name)].servers
        return f"Tier {group.name}, {count.min} to {count.max} servers"
    if group.kind is GroupKind.BACKUP and definition.backups is not None:
        return f"Backup of {definition.backups.of[names.BackupName(group.name)]}"
    balancer = definition.load_balancers[names.BalancerName(group.name)]
    return f"{balancer.name}:{balancer.port} in front of service {balancer.service}"
