"""People are asked and told, time limits hold, and what shall be tried again is: on a real Airflow."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator

import pytest

from gantry import definition, plan, status
from tests.airflow import mailbox
from tests.airflow.stage import Launch, Stage, archive, eventually, probe

pytestmark = pytest.mark.airflow

CONFIGURE = "service-probe.configure"
SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
MAIL = f"mail_{os.getpid()}"
"""The connection to the mail server of this process: other workers have one of their own."""
Name = Callable[[str], str]

LONG_START = """#!/bin/sh
number=0
while [ "$number" -lt 600 ] && [ ! -e /tmp/hurry ]; do
    number=$((number + 1))
    sleep 0.5
done
touch /tmp/probe-runs
"""
"""Five minutes, or as soon as /tmp/hurry is there."""

FAILS_ONCE = """#!/bin/sh
[ -e /tmp/failed-once ] && exec touch /tmp/probe-runs
touch /tmp/failed-once
echo "the first time never works"
exit 7
"""


@pytest.fixture(scope="module")
def mail(stage: Stage) -> Iterator[mailbox.Mailbox]:
    """A mail server that the connection leads to."""
    with mailbox.running() as box:
        stage.api.call(
            "POST",
            "/connections",
            json={
                "connection_id": MAIL,
                "conn_type": "smtp",
                "host": "127.0.0.1",
                "port": box.port,
                "extra": '{"disable_ssl": true, "disable_tls": true, "from_email": "gantry@example.com"}',
            },
        )
        yield box
        stage.api.call("DELETE", f"/connections/{MAIL}")


def notifier(to: str, subject: str) -> str:
    """A notifier that writes a mail, as it stands in a definition."""
    return (
        f"[{{notifier: {SMTP}, kwargs: {{smtp_conn_id: {MAIL}, to: {to}@example.com,"
        f' subject: "{subject}", html_content: gantry}}}}]'
    )


def define(stage: Stage, name: str, *keys: str, start: str | None = None, attend: str = "30s") -> str:
    """A probe with more keys; what its definition says."""
    scripts = None if start is None else {"enstratus-start": start}
    url = stage.upload(f"{name}.tar.gz", archive(scripts))
    text = probe(name, url, attend=attend, configure="300s") + "".join(f"{key}\n" for key in keys)
    stage.define(name, text)
    return text


def states(stage: Stage, launch: Launch, text: str, *, run_ended: bool) -> status.DeploymentStatus:
    """The deployment as its page shows it."""
    tasks = [
        status.TaskView(each.task_id, each.map_index, status.TaskState.of(each.state), moment(each.started))
        for each in stage.api.instances(launch.dag, launch.run)
    ]
    return status.deployment_status(
        plan.launch_plan(definition.loads(text)), tasks, None, run_ended=run_ended
    )


def moment(text: str | None) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(text) if text else None


def answer(stage: Stage, launch: Launch, option: str, note: str) -> None:
    """Answer the question before a launch, as a person does."""
    stage.api.call(
        "PATCH",
        f"/dags/{launch.dag}/dagRuns/{launch.run}/taskInstances/approve/-1/hitlDetails",
        json={"chosen_options": [option], "params_input": {"note": note}},
    )


# --- approval ------------------------------------------------------------------------------------------------


def test_nothing_is_started_before_a_person_agrees_and_then_everything_is(
    stage: Stage, scrapped: Name, mail: mailbox.Mailbox
) -> None:
    name = scrapped("approved")
    text = define(stage, name, f"approval: {{notifiers: {notifier('boss', 'launch {{ dag_run.dag_id }}?')}}}")
    launch = stage.launch(name, reason="the spring sale")
    stage.await_question(launch)
    found = stage.api.call("GET", f"/dags/{name}/dagRuns/{launch.run}/taskInstances/approve/-1/hitlDetails")
    assert found["subject"] == f"Launch the deployment {name}?"
    assert "| Servers of tier only | 1 |" in found["body"]
    assert "| Reason | the spring sale |" in found["body"]
    assert mail.of("boss@example.com") == [f"launch {name}?"]
    now = states(stage, launch, text, run_ended=False)
    assert (now.approval, now.state) == (status.ApprovalState.AWAITED, plan.DeploymentState.STOPPED)
    assert now.phase is plan.Phase.PRE_LAUNCH
    assert not list(stage.instances(name))

    answer(stage, launch, "Approve", "after the rehearsal")
    launch.succeeds()
    log = launch.task_log("approve")
    assert f"approved by {stage.airflow.user} at" in log
    assert "note: after the rehearsal" in log
    assert f"deployment {name} is RUNNING" in launch.task_log("finish_launch")
    now = states(stage, launch, text, run_ended=True)
    assert (now.approval, now.state) == (status.ApprovalState.GIVEN, plan.DeploymentState.RUNNING)


def test_after_a_refusal_nothing_was_started_and_nobody_hears_of_running(
    stage: Stage, scrapped: Name, mail: mailbox.Mailbox
) -> None:
    name = scrapped("refused")
    text = define(stage, name, "approval: {}", f"on_success_callback: {notifier('everybody', name)}")
    launch = stage.launch(name)
    stage.await_question(launch)
    answer(stage, launch, "Reject", "not on a Friday")
    assert launch.ends() == "success"
    log = launch.task_log("approve")
    assert f"rejected by {stage.airflow.user} at" in log
    assert "note: not on a Friday" in log
    others = {each.state for each in stage.api.instances(name, launch.run) if each.task_id != "approve"}
    assert others == {"skipped"}
    assert not list(stage.instances(name))
    now = states(stage, launch, text, run_ended=True)
    assert (now.approval, now.state) == (status.ApprovalState.REFUSED, plan.DeploymentState.STOPPED)
    assert now.failed is None
    assert name not in mail.of("everybody@example.com")
    assert stage.api.call("GET", "/assets/events", params={"source_dag_id": name})["total_entries"] == 0


def test_a_question_that_nobody_answers_in_time_fails_the_launch(stage: Stage, scrapped: Name) -> None:
    name = scrapped("unanswered")
    text = define(stage, name, "approval: {response_timeout: 3s}")
    launch = stage.launch(name)
    launch.fails_at("approve")
    assert launch.instance("approve").try_number == 1
    assert not list(stage.instances(name))
    now = states(stage, launch, text, run_ended=True)
    assert (now.approval, now.state, now.failed) == (
        None,
        plan.DeploymentState.STOPPED,
        plan.Phase.PRE_LAUNCH,
    )


# --- notifications -------------------------------------------------------------------------------------------


def test_somebody_is_told_of_running_and_somebody_of_failure(
    stage: Stage, scrapped: Name, mail: mailbox.Mailbox
) -> None:
    name = scrapped("told")
    text = define(
        stage,
        name,
        f"on_success_callback: {notifier('team', '{{ dag_run.dag_id }} is RUNNING: {{ params.reason }}')}",
        f"on_failure_callback: {notifier('oncall', '{{ dag.dag_id }} failed: {{ reason }}')}",
    )
    stage.launch(name, reason="a new year").succeeds()
    told = eventually(lambda: mail.of("team@example.com"), "the mail of success")
    assert told == [f"{name} is RUNNING: a new year"]
    assert mail.of("oncall@example.com") == []

    stage.redefine(name, text.replace(f"{name}.tar.gz", "nowhere.tar.gz"))
    stage.launch(name).fails_at("turn")
    told = eventually(lambda: mail.of("oncall@example.com"), "the mail of failure")
    assert told == [f"{name} failed: task_failure"]
    assert mail.of("team@example.com") == [f"{name} is RUNNING: a new year"]


# --- time limits ---------------------------------------------------------------------------------------------


def test_a_missed_deadline_is_told_and_the_launch_goes_on(
    stage: Stage, scrapped: Name, mail: mailbox.Mailbox
) -> None:
    name = scrapped("late")
    define(
        stage,
        name,
        f"deadline: {{interval: 5s, callback: {notifier('late', '{{ dag_run.dag_id }} {{ reason }}')}}}",
        start=LONG_START,
        attend="2s",
    )
    launch = stage.launch(name)
    told = eventually(lambda: mail.of("late@example.com"), "the mail of the deadline")
    # Airflow calls at least once: a triggerer that was starved calls again.
    assert set(told) == {f"{name} deadline"}
    assert stage.api.run_state(name, launch.run) == "running"
    launch.await_state(CONFIGURE, "deferred")
    stage.machine(name).sh("touch /tmp/hurry")
    launch.succeeds()
    versions = stage.api.call("GET", f"/dags/{name}/dagVersions")["total_entries"]
    assert versions == 1, "each parse made a new version of the DAG"


@pytest.mark.parametrize("attend", ["300s", "2s"], ids=["worker", "triggerer"])
def test_a_launch_that_takes_too_long_is_ended_with_its_scripts(
    stage: Stage, scrapped: Name, mail: mailbox.Mailbox, attend: str
) -> None:
    name = scrapped(f"endless-{attend[:-1]}")
    told = f"on_failure_callback: {notifier(name, '{{ reason }}')}"
    text = define(stage, name, told, start=LONG_START, attend=attend)
    launch = stage.launch(name)
    task = launch.await_state(CONFIGURE, "deferred" if attend == "2s" else "running")
    if attend == "2s":
        # Between the worker and the triggerer there is nobody whom Airflow would tell that the run has ended.
        place = f"/dags/{name}/dagRuns/{launch.run}/taskInstances/{CONFIGURE}/{task.map_index}"
        eventually(lambda: stage.api.call("GET", place)["triggerer_job"], "a triggerer to take it")
    machine = stage.machine(name)
    eventually(lambda: "enstratus-start" in machine.sh("ps -eo args") or None, "the script to run")
    # Said now, because nobody knows how long it takes to get here when other launches are under way.
    stage.redefine(name, f"{text}dagrun_timeout: 5s\n")
    stage.reparse(name, lambda: stage.details(name)["dag_run_timeout"], "a limit")
    assert launch.ends() == "failed"
    eventually(lambda: "enstratus-start" not in machine.sh("ps -eo args") or None, "the script to be ended")
    assert stage.reparse(name, lambda: mail.of(f"{name}@example.com"), "the mail of failure") == ["timed_out"]
    now = states(stage, launch, text, run_ended=True)
    assert (now.state, now.failed) == (plan.DeploymentState.LAUNCHING, plan.Phase.CONFIGURE_DEPENDENTS)
    machine.sh("touch /tmp/hurry")
    stage.redefine(name, text)
    stage.reparse(name, lambda: stage.details(name)["dag_run_timeout"] is None, "no limit")
    stage.launch(name).succeeds()


# --- retries -------------------------------------------------------------------------------------------------


def test_a_script_that_fails_is_run_again_where_retries_are_written_for_its_step(
    stage: Stage, scrapped: Name
) -> None:
    name = scrapped("tried-again")
    define(stage, name, "steps: {configure: {retries: 1, retry_delay: 1s}}", start=FAILS_ONCE)
    launch = stage.launch(name)
    launch.succeeds()
    assert launch.instance(CONFIGURE).try_number == 2
    machine = stage.machine(name)
    assert machine.calls("startService") == 2
    assert machine.calls("configureService") == 1


def test_a_script_that_fails_is_not_run_again_without_a_word(stage: Stage, scrapped: Name) -> None:
    name = scrapped("tried-once")
    define(stage, name, "retries: 5", start=FAILS_ONCE)
    launch = stage.launch(name)
    assert "the first time never works" in launch.fails_at(CONFIGURE)
    assert launch.instance(CONFIGURE).try_number == 1
    assert stage.machine(name).calls("startService") == 1
