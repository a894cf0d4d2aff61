"""A DAG written out as a person would write it: one flat piece of Python, all of it literals and Airflow's own classes.

It is written from a DAG that Gantry has built, so it has the same tasks, groups, edges and form, whatever the plan is
today.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from airflow.sdk import DAG, Asset, AssetAlias, BaseOperator, Param, TaskGroup, TriggerRule, task_group
from airflow.sdk.definitions.taskgroup import MappedTaskGroup

_OF_THE_DAG = {"dag", "task_group", "params"}
"""What Airflow itself hands to a task that is made within a DAG."""

_PLAIN = (str, int, float, bool, type(None), datetime.timedelta)
_NAMES = {
    "DAG": DAG,
    "Asset": Asset,
    "AssetAlias": AssetAlias,
    "Param": Param,
    "TaskGroup": TaskGroup,
    "TriggerRule": TriggerRule,
    "datetime": datetime,
    "task_group": task_group,
}


def written(dag: DAG) -> Callable[[], DAG]:
    """A function that makes the same DAG, compiled from its text."""
    # Airflow adds some of the edges by itself: those are not written.
    by_itself = set(_edges(made(dag, ())()))
    return made(dag, [edge for edge in _edges(dag) if edge not in by_itself])


def text(dag: DAG, edges: Sequence[tuple[str, str]]) -> str:
    """The DAG as Python, in a function `by_hand`."""
    lines = [
        "def by_hand():",
        "    tasks = {}",
        f"    with DAG({_literal(dag.dag_id)}, {_keywords(_settings(dag))}) as dag:",
        *_group(dag.task_group, dag.default_args, "        "),
        *(f"        tasks[{before!r}] >> tasks[{after!r}]" for before, after in edges),
        "    return dag",
    ]
    return "\n".join(lines) + "\n"


def made(dag: DAG, edges: Sequence[tuple[str, str]]) -> Callable[[], DAG]:
    """A function that makes the DAG with these edges and those that Airflow adds."""
    known: dict[str, Any] = {**_NAMES, **{type(task).__name__: type(task) for task in dag.tasks}}
    exec(compile(text(dag, edges), "by_hand", "exec"), known)
    by_hand: Callable[[], DAG] = known["by_hand"]
    return by_hand


def _edges(dag: DAG) -> list[tuple[str, str]]:
    return [(task.task_id, after) for task in dag.tasks for after in sorted(task.downstream_task_ids)]


def _settings(dag: DAG) -> dict[str, Any]:
    return {
        "description": dag.description,
        "start_date": dag.start_date,
        "schedule": dag.schedule,
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "doc_md": dag.doc_md,
        "params": {name: dag.params.get_param(name) for name in dag.params},
        "tags": sorted(dag.tags),
        "default_args": dag.default_args,
    }


def _group(group: TaskGroup, defaults: Mapping[str, Any], indent: str) -> Iterator[str]:
    for child in group.children.values():
        if isinstance(child, MappedTaskGroup):
            yield from _mapped(child, defaults, indent)
        elif isinstance(child, TaskGroup):
            yield f"{indent}with TaskGroup({_keywords(_titles(child))}):"
            yield from _group(child, defaults, f"{indent}    ")
        elif isinstance(child, BaseOperator):
            yield f"{indent}tasks[{child.task_id!r}] = {_call(child, defaults)}"


def _mapped(group: MappedTaskGroup, defaults: Mapping[str, Any], indent: str) -> Iterator[str]:
    (dealing,) = {each.node_id for each in group.iter_mapped_dependencies()}
    yield f"{indent}@task_group({_keywords(_titles(group))})"
    yield f"{indent}def on_servers(servers):"
    yield from _group(group, defaults, f"{indent}    ")
    yield f"{indent}on_servers.expand(servers=tasks[{dealing!r}].output)"


def _titles(group: TaskGroup) -> dict[str, Any]:
    return {
        "group_id": group.group_id,
        "group_display_name": group.group_display_name,
        "tooltip": group.tooltip,
        "prefix_group_id": False,
    }


def _call(task: BaseOperator, defaults: Mapping[str, Any]) -> str:
    # Airflow keeps what a task was made with, to make copies of it.
    given: dict[str, Any] = vars(task)["_BaseOperator__init_kwargs"]
    own = {
        name: value
        for name, value in given.items()
        if name not in _OF_THE_DAG and (name not in defaults or defaults[name] != value)
    }
    servers = ", servers=servers" if own.pop("servers", None) is not None else ""
    return f"{type(task).__name__}({_keywords(own)}{servers})"


def _keywords(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={_literal(value)}" for name, value in values.items())


def _literal(value: object) -> str:  # noqa: PLR0911 - one line for each kind of value
    match value:
        case enum.Enum():
            return f"{type(value).__name__}.{value.name}"
        case datetime.datetime():
            return f"datetime.datetime.fromisoformat({value.isoformat()!r})"
        case Param():
            schema = {"description": value.description, **value.schema}
            return f"Param({_literal(value.value)}, {_keywords(schema)})"
        case Asset():
            return f"Asset(name={value.name!r}, uri={value.uri!r}, group={value.group!r})"
        case AssetAlias():
            return f"AssetAlias(name={value.name!r}, group={value.group!r})"
        case dict():
            return f"{{{', '.join(f'{key!r}: {_literal(each)}' for key, each in value.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(_literal, value))}]"
        case _ if isinstance(value, _PLAIN):
            return repr(value)
    raise TypeError(f"{value!r}: nothing here says how a person writes a {type(value).__name__}")
