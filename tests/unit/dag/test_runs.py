"""What a definition says about runs, in Airflow's words, is what the DAG has."""

from __future__ import annotations

import asyncio
import datetime
import json
import pathlib
import subprocess
import sys
import typing
from typing import Any

import pytest
from airflow.sdk import DAG, BaseNotifier, TriggerRule
from airflow.sdk.definitions.deadline import DeadlineAlert
from airflow.serialization.serialized_objects import DagSerialization

from gantry import definition, names, plan
from gantry.dag import compile as dag_compile
from gantry.dag import deployment_dags
from gantry.definition import models
from gantry.runtime import notifiers as notifying

from .definitions import HEAD, WEB, service

SHOP = (
    HEAD + WEB + f"services: {{db: {service(1, 'web', data='main')}, app: {service(2, 'web', 'db.main')}}}\n"
)
TWO_SIZES = (
    HEAD
    + WEB.replace("servers: 1", "servers: {min: 1, max: 3}")
    + f"services: {{app: {service(2, 'web')}}}\n"
)
ME = __name__


class Teller(BaseNotifier):
    """Somebody who is told."""

    template_fields = ("message",)

    def __init__(self, message: str, times: int = 1) -> None:
        super().__init__()
        if times < 1:
            raise ValueError("times is less than 1")
        self.message = message
        self.times = times

    def notify(self, context: Any) -> None:  # noqa: ARG002 - Airflow's signature
        TOLD.append(self.message)


TOLD: list[str] = []


def both(head: str) -> tuple[DAG, DAG]:
    known = definition.loads(head + SHOP)
    return dag_compile.operation_dag(known, names.Operation.LAUNCH), dag_compile.operation_dag(
        known, names.Operation.TERMINATE
    )


def test_without_a_word_everything_is_as_it_was() -> None:
    for dag in both(""):
        assert {(task.owner, task.retries, task.retry_delay, task.pool) for task in dag.tasks} == {
            ("gantry", 2, datetime.timedelta(seconds=5), "default_pool")
        }
        assert (dag.dagrun_timeout, dag.deadline, dag.on_failure_callback) == (None, None, None)


def test_owner_retries_and_pool_are_those_of_every_task() -> None:
    for dag in both("owner: team-blue\nretries: 4\nretry_delay: 1m\npool: launches\nmax_active_tasks: 3\n"):
        assert {(task.owner, task.retries, task.retry_delay, task.pool) for task in dag.tasks} == {
            ("team-blue", 4, datetime.timedelta(minutes=1), "launches")
        }
        assert dag.max_active_tasks == 3
        assert dag.owner == "team-blue"


def test_a_kind_of_step_has_settings_of_its_own() -> None:
    launch, _ = both(
        "pool: launches\nsteps:\n"
        "  configure: {retries: 7, retry_delay: 30s, retry_exponential_backoff: 2, priority_weight: 9}\n"
        "  install_datasources: {pool: dumps, pool_slots: 2}\n"
    )
    for name in ("service-db.configure", "service-app.configure"):
        task = launch.get_task(name)
        assert (task.retries, task.retry_delay, task.pool) == (7, datetime.timedelta(seconds=30), "launches")
        assert (task.retry_exponential_backoff, task.priority_weight) == (2, 9)
    load = launch.get_task("service-db.install_datasources")
    assert (load.pool, load.pool_slots, load.retries) == ("dumps", 2, 2)
    assert launch.get_task("tier-web.handshake").retries == 2


def test_every_kind_of_step_can_be_named_but_the_question_that_nobody_is_asked_twice() -> None:
    others = [kind for kind in plan.StepKind if kind is not plan.StepKind.APPROVE]
    settings = "".join(f"  {kind}: {{priority_weight: 9}}\n" for kind in others)
    known = definition.loads(f"{HEAD}steps:\n{settings}{SHOP.removeprefix(HEAD)}")
    assert all(known.step_settings(kind) is not None for kind in others)
    with pytest.raises(definition.DefinitionError, match="approve"):
        definition.loads(f"{HEAD}steps: {{approve: {{priority_weight: 9}}}}\n{SHOP.removeprefix(HEAD)}")


def test_the_time_limits_are_those_of_a_launch_and_not_of_a_termination() -> None:
    launch, terminate = both(
        "dagrun_timeout: 2h\n"
        f"deadline: {{interval: 30m, callback: [{{notifier: {ME}.Teller, kwargs: {{message: late}}}}]}}\n"
    )
    assert launch.dagrun_timeout == datetime.timedelta(hours=2)
    (alert,) = typing.cast("list[DeadlineAlert]", launch.deadline)
    assert alert.interval == datetime.timedelta(minutes=30)
    assert alert.reference.serialize_reference() == {"reference_type": "DagRunQueuedAtDeadline"}
    assert (terminate.dagrun_timeout, terminate.deadline) == (None, None)


def test_success_is_told_where_the_deployment_is_running_and_failure_where_a_run_failed() -> None:
    teller = f"[{{notifier: {ME}.Teller, kwargs: {{message: x}}}}]"
    launch, terminate = both(f"on_success_callback: {teller}\non_failure_callback: {teller}\n")
    assert [task.task_id for task in launch.tasks if task.has_on_success_callback] == ["finish_launch"]
    assert launch.on_success_callback is None
    for dag in (launch, terminate):
        (found,) = typing.cast("list[Teller]", dag.on_failure_callback)
        assert found.message == "x"
    assert not [task for task in terminate.tasks if task.has_on_success_callback]


def test_a_person_is_asked_before_anything_is_started() -> None:
    launch, terminate = both(
        "approval:\n  subject: Now?\n  assigned_users: [{id: '7', name: ada}]\n  response_timeout: 8h\n"
        f"  notifiers: [{{notifier: {ME}.Teller, kwargs: {{message: please}}}}]\n"
    )
    first = [task.task_id for task in launch.tasks if not task.upstream_task_ids]
    assert first == ["approve"]
    # Nobody is kept waiting while a person thinks.
    assert launch.get_task("turn").upstream_task_ids == {"approve"}
    assert launch.get_task("find_lost").upstream_task_ids == {"turn"}
    approve: Any = launch.get_task("approve")
    assert (approve.subject, approve.retries) == ("Now?", 0)
    assert approve.assigned_users == [{"id": "7", "name": "ada"}]
    assert approve.response_timeout == datetime.timedelta(hours=8)
    assert [each.message for each in approve.notifiers] == ["please"]
    assert "approve" not in terminate.task_ids


def test_the_question_says_what_would_be_launched() -> None:
    launch, _ = both("approval: {}\n")
    approve: Any = launch.get_task("approve")
    assert approve.subject == "Launch the deployment shop?"
    shown = said(launch, reason="a | sale\nand more")
    assert "| Servers of tier web | 1 |" in shown
    assert "| Reason | a / sale and more |" in shown


@pytest.mark.parametrize(
    ("operation", "question", "row"),
    [
        (
            "scale",
            "Scale the deployment shop?",
            "| Servers of tier web | as the schedule says, or as it is |",
        ),
        ("recover", "Replace lost servers of the deployment shop?", "| Servers to replace | web-1, web-2 |"),
    ],
)
def test_the_question_is_asked_of_every_operation_that_starts_servers(
    operation: str, question: str, row: str
) -> None:
    known = definition.loads("approval: {}\n" + TWO_SIZES)
    dag = dag_compile.operation_dag(known, names.Operation(operation))
    approve: Any = dag.get_task("approve")
    assert approve.subject == question
    assert row in said(dag, **({"servers": ["web-1", "web-2"]} if operation == "recover" else {}))


def said(dag: DAG, **given: Any) -> str:
    """What is asked for, as Airflow makes it from a run's params."""
    approve: Any = dag.get_task("approve")
    return str(approve.render_template(approve.body, {"params": {**dag.params.dump(), **given}}))


def test_two_builds_with_everything_are_the_same() -> None:
    teller = f"[{{notifier: {ME}.Teller, kwargs: {{message: x}}}}]"
    head = (
        f"approval: {{}}\non_success_callback: {teller}\non_failure_callback: {teller}\n"
        f"deadline: {{interval: 1h, callback: {teller}}}\nsteps: {{configure: {{retries: 1}}}}\n"
    )
    first, second = (json.dumps(DagSerialization.to_dict(both(head)[0])) for _ in range(2))
    assert first == second


# --- notifiers that cannot be used ---------------------------------------------------------------------------

SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"


@pytest.mark.parametrize(
    ("written", "at", "told"),
    [
        ("{notifier: nowhere.to.Befound}", "nowhere",
         "nowhere.to.Befound cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("{notifier: json.Loud}", "json",
         "json.Loud cannot be imported: AttributeError: module 'json' has no attribute 'Loud'"),
        ("{notifier: json.loads}", "json",
         "json.loads is not a notifier: not a subclass of airflow.sdk.BaseNotifier"),
        ("{notifier: airflow.sdk.BaseNotifier}", "airflow",
         "airflow.sdk.BaseNotifier is not a notifier: not a subclass of airflow.sdk.BaseNotifier"),
        (f"{{notifier: {ME}.Teller}}", "{notifier", "Teller needs message as well"),
        (f"{{notifier: {ME}.Teller, kwargs: {{message: x, tims: 2}}}}", "2}",
         "unknown key 'tims', did you mean 'times'?"),
        (f"{{notifier: {ME}.Teller, kwargs: {{message: x, times: 0}}}}", "{message",
         "Teller refuses this: ValueError: times is less than 1"),
        (f"{{notifier: {SMTP}, kwargs: {{to: x, subjct: y}}}}", "y}",
         "unknown key 'subjct', did you mean 'subject'?"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["on_failure_callback", "on_success_callback"])
def test_a_notifier_that_cannot_be_used_is_an_error_with_its_place(
    tmp_path: pathlib.Path, key: str, written: str, at: str, told: str
) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(f"{key}: [{written}]\n{SHOP}")
    with pytest.raises(definition.DefinitionError) as raised:
        deployment_dags(path)
    (problem,) = raised.value.problems
    assert problem.message == told
    assert problem.place.line == 1
    assert path.read_text()[problem.place.column - 1 :].startswith(at)


def test_all_places_for_notifiers_are_looked_at(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(
        "on_success_callback:\n  - notifier: no.One\n"
        "on_failure_callback:\n  - notifier: no.Two\n"
        "approval: {notifiers: [{notifier: no.Three}]}\n"
        "deadline: {interval: 1h, callback: [{notifier: no.Four}]}\n" + SHOP
    )
    with pytest.raises(definition.DefinitionError) as raised:
        deployment_dags(path)
    assert [each.place.line for each in raised.value.problems] == [2, 4, 5, 6]
    assert str(raised.value).startswith(f"{path}:2:15: no.One cannot be imported")


def test_who_tells_nobody_anything_loads_nothing_for_it(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(f"retries: 3\nsteps: {{configure: {{retries: 1}}}}\ndagrun_timeout: 1h\n{SHOP}")
    script = (
        "import sys; from gantry.dag import deployment_dags; deployment_dags(sys.argv[1]);"
        "print([name for name in sys.modules if name in"
        " ('gantry.runtime.notifiers', 'gantry.operators.approval',"
        " 'airflow.providers.standard.operators.hitl')])"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout.splitlines()[-1:]) == (0, ["[]"]), run.stderr


# --- a deadline ----------------------------------------------------------------------------------------------


async def call(*notifiers: models.Notifier) -> None:
    context = {"dag_run": {"dag_run_id": "manual__1", "dag_id": "shop"}, "deadline": {"id": "1"}}
    await notifying.deadline_passed([each.model_dump(mode="json") for each in notifiers], context=context)


def teller(message: str) -> models.Notifier:
    return models.Notifier(notifier=f"{ME}.Teller", kwargs={"message": message})


def test_everybody_is_told_that_a_deadline_has_passed_in_the_words_that_templates_have_everywhere() -> None:
    TOLD.clear()
    asyncio.run(
        call(teller("{{ dag_run.dag_id }} {{ dag_run.run_id }} {{ run_id }} {{ reason }}"), teller("2"))
    )
    assert sorted(TOLD) == ["2", "shop manual__1 manual__1 deadline"]


def test_somebody_who_cannot_be_told_keeps_nobody_else_from_it() -> None:
    TOLD.clear()
    with pytest.raises(ExceptionGroup, match="not all notifications"):
        asyncio.run(call(models.Notifier(notifier="no.One"), teller("told")))
    assert TOLD == ["told"]


def test_what_removes_new_servers_waits_for_all_and_cannot_turn_a_failed_run_into_a_success() -> None:
    assert "remove_new_servers" not in both("")[0].task_ids
    launch, terminate = both("on_failure: remove_new\n")
    last = launch.get_task("remove_new_servers")
    assert last.trigger_rule == TriggerRule.ALL_DONE
    assert last.upstream_task_ids == set(launch.task_ids) - {"remove_new_servers", "finish_launch"}
    # A run ends as its last tasks do: the end of the launch has to stay one of them.
    assert {task.task_id for task in launch.leaves} == {"remove_new_servers", "finish_launch"}
    assert "remove_new_servers" not in terminate.task_ids
