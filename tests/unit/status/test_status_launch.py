"""The states of the launch page's table, seen in the tasks of a run."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from typing import Protocol

import pytest

from gantry import definition, inventory, names, plan, status
from gantry.plan import AgentState, DeploymentState, Phase, ServiceState
from gantry.plan.phases import FACTS
from gantry.status import Progress, TaskState, TaskView


class Moment(Protocol):
    """What the fixtures hand out; see conftest."""

    at: datetime.datetime
    tasks: tuple[TaskView, ...]
    inventory: inventory.Inventory
    run_ended: bool


Failing = Callable[[str], tuple[TaskView, ...]]

APP, DB = names.ServiceName("app"), names.ServiceName("db")

# As the launch page has it: phase, deployment, agents, services (app / db).
TABLE = """
    0 pre-launch                        STOPPED    -        -
    1 scale up                          LAUNCHING  STARTING PAUSED / PAUSED
    2 prepare configuration management  LAUNCHING  RUNNING  PAUSED / PAUSED
    3 execute configuration management  LAUNCHING  RUNNING  PAUSED / PAUSED
    4 service download and install      LAUNCHING  RUNNING  PAUSED / STARTING
    5 configure dependencies            LAUNCHING  RUNNING  PAUSED / STARTING
    6 configure dependent services      LAUNCHING  RUNNING  STARTING / RUNNING
    7 start proxy                       LAUNCHING  RUNNING  RUNNING / RUNNING
    - after the proxy step              RUNNING    RUNNING  RUNNING / RUNNING
"""


def row(found: status.DeploymentStatus) -> str:
    """One moment, in the words of the table."""
    if found.phase is not None:
        label = f"{found.phase.value} {found.phase.title}"
    else:
        label = "0 pre-launch" if found.state is DeploymentState.STOPPED else "- after the proxy step"
    agents = "/".join(sorted(set(found.agents.values()))) or "-"
    states = [found.service(APP), found.service(DB)]
    services = "-" if states == [None, None] else " / ".join(str(state) for state in states)
    return f"{label:<35} {found.state:<10} {agents:<8} {services}"


def table(text: str = TABLE) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


@pytest.fixture(scope="module")
def walk(launch: plan.Plan, composed: tuple[Moment, ...]) -> list[status.DeploymentStatus]:
    return [
        status.deployment_status(launch, moment.tasks, moment.inventory, run_ended=moment.run_ended)
        for moment in composed
    ]


def test_a_launch_walks_through_every_row_of_the_page_in_order(
    walk: list[status.DeploymentStatus],
) -> None:
    seen = list(dict.fromkeys(row(each) for each in walk))
    rows = table()
    assert [each for each in seen if each in rows] == rows


def test_a_recorded_launch_walks_through_every_row_that_applies_to_it(
    launch: plan.Plan, real: tuple[Moment, ...]
) -> None:
    seen = dict.fromkeys(
        row(status.deployment_status(launch, each.tasks, each.inventory, run_ended=each.run_ended))
        for each in real
    )
    rows = [each for each in table() if "configuration management" not in each]
    assert [each for each in seen if each in rows] == rows


def test_a_recorded_launch_never_goes_back(walk: list[status.DeploymentStatus]) -> None:
    order = {"STOPPED": 0, "LAUNCHING": 1, "RUNNING": 2}
    phases = [each.phase for each in walk if each.phase is not None]
    assert phases == sorted(phases)
    assert [order[each.state] for each in walk] == sorted(order[each.state] for each in walk)
    services = {"PAUSED": 0, "STARTING": 1, "RUNNING": 2}
    for key in walk[-1].services:
        states = [services[each.services[key]] for each in walk if key in each.services]
        assert states == sorted(states)


def test_agents_start_and_run_after_their_own_handshake(walk: list[status.DeploymentStatus]) -> None:
    in_scale_up = [sorted(set(each.agents.values())) for each in walk if each.phase is Phase.SCALE_UP]
    assert in_scale_up == [["STARTING"], ["STARTING"], ["RUNNING", "STARTING"]]
    (mixed,) = [each for each in walk if len(set(each.agents.values())) == 2]
    assert mixed.agents == {
        "bookshop-database-1": AgentState.RUNNING,
        "bookshop-application-1": AgentState.RUNNING,
        "bookshop-application-2": AgentState.STARTING,
        "bookshop-proxy-1": AgentState.RUNNING,
    }


def test_tiers_count_the_servers_that_run_and_that_are_wanted(walk: list[status.DeploymentStatus]) -> None:
    counts = [{tier.tier: (tier.running, tier.wanted) for tier in each.tiers} for each in walk]
    assert counts[0] == {"database": (0, 1), "application": (0, 2), "proxy": (0, 1)}
    assert counts[-1] == {"database": (1, 1), "application": (2, 2), "proxy": (1, 1)}


def test_one_application_server_runs_while_the_other_still_starts(
    walk: list[status.DeploymentStatus],
) -> None:
    apps = [[state for (service, _), state in each.services.items() if service == APP] for each in walk]
    assert [ServiceState.RUNNING, ServiceState.STARTING] in apps


def test_the_tables_facts_are_those_of_the_plan() -> None:
    for line in table()[:-1]:
        facts = FACTS[Phase(int(line[0]))]
        assert facts.title in line
        assert facts.deployment in line
        if facts.dependent is not None:
            assert line.endswith(f"{facts.dependent} / {facts.depended_on}")


@pytest.mark.parametrize(
    ("step", "phase", "app", "db"),
    [
        ("tier-database.scale_up", Phase.SCALE_UP, "PAUSED", "PAUSED"),
        ("tier-application.handshake", Phase.SCALE_UP, "PAUSED", "RUNNING"),
        (
            "tier-database.prepare_configuration_management",
            Phase.PREPARE_CONFIGURATION_MANAGEMENT,
            "PAUSED",
            "PAUSED",
        ),
        (
            "tier-database.execute_configuration_management",
            Phase.EXECUTE_CONFIGURATION_MANAGEMENT,
            "PAUSED",
            "PAUSED",
        ),
        ("tier-database.install_services", Phase.INSTALL_SERVICES, "PAUSED", "STOPPED"),
        ("service-db.install_datasources", Phase.CONFIGURE_DEPENDENCIES, "PAUSED", "STOPPED"),
        ("service-db.configure", Phase.CONFIGURE_DEPENDENCIES, "PAUSED", "IMPAIRED"),
        ("service-app.grant_access_on_db", Phase.CONFIGURE_DEPENDENTS, "PAUSED", "RUNNING"),
        ("service-app.configure", Phase.CONFIGURE_DEPENDENTS, "IMPAIRED", "RUNNING"),
        ("balancer-front.start_proxy", Phase.START_PROXY, "RUNNING", "RUNNING"),
        ("finish_launch", Phase.START_PROXY, "RUNNING", "RUNNING"),
    ],
)
def test_a_launch_that_failed_is_launching_failed_at_its_phase(
    launch: plan.Plan, running: Moment, failing_at: Failing, step: str, phase: Phase, app: str, db: str
) -> None:
    found = status.deployment_status(launch, failing_at(step), running.inventory, run_ended=True)
    assert (found.state, found.failed, found.phase) == (DeploymentState.LAUNCHING, phase, None)
    assert (found.service(APP), found.service(DB)) == (app, db)
    assert found.phases[phase] is Progress.FAILED
    assert found.steps[step] is Progress.FAILED


def test_a_failure_is_known_while_others_still_work(launch: plan.Plan, composed: tuple[Moment, ...]) -> None:
    moment = composed[5]
    tasks = changed(moment.tasks, "tier-proxy.execute_configuration_management", TaskState.FAILED)
    found = status.deployment_status(launch, tasks, moment.inventory, run_ended=False)
    assert found.state is DeploymentState.LAUNCHING
    assert found.failed is found.phase is Phase.EXECUTE_CONFIGURATION_MANAGEMENT


def test_an_agent_whose_handshake_failed_is_unreachable(
    launch: plan.Plan, running: Moment, failing_at: Failing
) -> None:
    found = status.deployment_status(
        launch, failing_at("tier-application.handshake"), running.inventory, run_ended=True
    )
    assert {name for name, state in found.agents.items() if state is AgentState.UNREACHABLE} == {
        "bookshop-application-1",
        "bookshop-application-2",
    }


@pytest.mark.parametrize(
    "state",
    [
        TaskState.UP_FOR_RETRY,
        TaskState.DEFERRED,
        TaskState.UP_FOR_RESCHEDULE,
        TaskState.RESTARTING,
        TaskState.RUNNING,
    ],
)
def test_a_step_that_waits_or_is_tried_again_is_in_progress(
    launch: plan.Plan, composed: tuple[Moment, ...], state: TaskState
) -> None:
    moment = composed[9]
    found = status.deployment_status(
        launch, changed(moment.tasks, "service-db.configure", state), moment.inventory, run_ended=False
    )
    assert row(found) == table()[5]
    assert found.failed is None
    assert found.steps["service-db.configure"] is Progress.IN_PROGRESS


def test_a_batch_speaks_for_its_own_servers(launch: plan.Plan, running: Moment) -> None:
    one, two = (names.ServerName(f"bookshop-application-{slot}") for slot in (1, 2))
    tasks = (
        *(
            task
            for task in running.tasks
            if task.task_id not in ("service-app.configure", "finish_launch") and "front" not in task.task_id
        ),
        TaskView("service-app.configure", 0, TaskState.FAILED, servers=(one,)),
        TaskView("service-app.configure", 1, TaskState.RUNNING),  # its servers are not known yet
    )
    found = status.deployment_status(launch, tasks, running.inventory, run_ended=False)
    assert found.services[APP, one] is ServiceState.IMPAIRED
    assert found.services[APP, two] is ServiceState.STARTING
    assert found.service(APP) is ServiceState.IMPAIRED


def test_removed_and_unknown_tasks_are_ignored(launch: plan.Plan, running: Moment) -> None:
    strangers = (
        TaskView("service-app.configure", 7, TaskState.REMOVED),
        TaskView("service-gone.configure", -1, TaskState.FAILED),
        TaskView("somebody-elses-task", -1, TaskState.RUNNING),
    )
    assert status.deployment_status(
        launch, (*strangers, *running.tasks), running.inventory, run_ended=True
    ) == status.deployment_status(launch, running.tasks, running.inventory, run_ended=True)


def test_a_run_that_ended_without_failing_and_without_finishing_is_not_running(
    launch: plan.Plan, running: Moment
) -> None:
    # A person refused an approval: what follows is skipped, and Airflow calls the run a success.
    tasks = changed(running.tasks, "balancer-front.start_proxy", TaskState.SKIPPED)
    tasks = changed(tasks, "finish_launch", TaskState.SKIPPED)
    found = status.deployment_status(launch, tasks, running.inventory, run_ended=True)
    assert (found.state, found.failed) == (DeploymentState.LAUNCHING, Phase.START_PROXY)
    assert found.steps["balancer-front.start_proxy"] is Progress.LEFT_OUT


@pytest.mark.parametrize("state", [None, *sorted(set(inventory.InstanceState) - {"pending", "running"})])
def test_a_server_that_went_away_is_unreachable_and_its_service_stopped(
    launch: plan.Plan, running: Moment, state: inventory.InstanceState | None
) -> None:
    lost = names.ServerName("bookshop-application-1")
    servers = (
        dataclasses.replace(server, state=state or server.state) if server.name == lost else server
        for server in running.inventory
    )
    known = inventory.Inventory(tuple(each for each in servers if state or each.name != lost))
    found = status.deployment_status(launch, running.tasks, known, run_ended=True)
    assert found.agents[lost] is AgentState.UNREACHABLE
    assert found.services[APP, lost] is ServiceState.STOPPED
    assert found.service(APP) is ServiceState.IMPAIRED
    assert [tier.running for tier in found.tiers if tier.tier == "application"] == [1]


def test_without_the_clouds_word_the_tasks_alone_speak(
    launch: plan.Plan, composed: tuple[Moment, ...]
) -> None:
    rows = [
        row(status.deployment_status(launch, moment.tasks, None, run_ended=moment.run_ended))
        for moment in composed
    ]
    assert [each for each in dict.fromkeys(rows) if each in table()] == table()


def test_servers_of_a_failed_launch_are_launching_until_somebody_goes_on(
    launch: plan.Plan, running: Moment
) -> None:
    found = status.deployment_status(launch, (), running.inventory, run_ended=False)
    assert (found.state, found.phase, found.failed) == (DeploymentState.LAUNCHING, None, None)
    assert set(found.agents.values()) == {AgentState.STARTING}


def test_servers_beyond_the_fewest_are_shown_too(launch: plan.Plan, running: Moment) -> None:
    first = running.inventory.of_tier(names.TierName("application"))[0]
    more = (
        dataclasses.replace(
            first, name=names.ServerName(f"bookshop-application-{slot}"), slot=names.Slot(slot)
        )
        for slot in (3, 10)
    )
    found = status.deployment_status(
        launch, running.tasks, inventory.Inventory((*running.inventory, *more)), run_ended=True
    )
    shown = [name for name in found.agents if "application" in name]
    assert shown == [f"bookshop-application-{slot}" for slot in (1, 2, 3, 10)]
    assert [(tier.running, tier.wanted) for tier in found.tiers if tier.tier == "application"] == [(4, 2)]


@pytest.mark.parametrize(
    ("scaled", "slots", "wanted"), [(3, 1, 3), (1, 3, 2), (99, 1, 6), (None, 3, 3), (None, 0, 2)]
)
@pytest.mark.parametrize("asked", [True, False])
def test_wanted_is_what_a_tier_was_scaled_to_or_had_at_its_last_arrival(
    launch: plan.Plan, running: Moment, scaled: int | None, slots: int, wanted: int, *, asked: bool
) -> None:
    tier = names.TierName("application")
    known = inventory.Inventory(tuple(dataclasses.replace(each, wanted=scaled) for each in running.inventory))
    found = status.deployment_status(
        launch,
        running.tasks,
        known if asked else None,
        run_ended=True,
        slots={tier: tuple(map(names.Slot, range(1, slots + 1)))},
    )
    (told,) = (each.wanted for each in found.tiers if each.tier == tier)
    # Where the cloud was not asked, nobody knows its tags.
    assert told == (wanted if asked else max(slots, 2))


def test_without_configuration_management_its_phases_are_not_applicable_and_never_shown(
    bookshop_text: str, composed: tuple[Moment, ...]
) -> None:
    text = "".join(line for line in bookshop_text.splitlines(keepends=True) if "chef:" not in line)
    found = plan.launch_plan(definition.loads(without_run_lists(text)))
    # Their tasks are empty operators, and succeed at once: here even before anything else has.
    walk = [
        status.deployment_status(
            found,
            changed(moment.tasks, "configuration_management", TaskState.SUCCESS),
            moment.inventory,
            run_ended=moment.run_ended,
        )
        for moment in composed
    ]
    assert all(
        each.not_applicable
        # The recording is older than the wait for the turn, and so has nothing in this phase.
        == (
            Phase.PRE_LAUNCH,
            Phase.PREPARE_CONFIGURATION_MANAGEMENT,
            Phase.EXECUTE_CONFIGURATION_MANAGEMENT,
        )
        for each in walk
    )
    assert walk[0].state is DeploymentState.STOPPED
    assert not {Phase.PREPARE_CONFIGURATION_MANAGEMENT, Phase.EXECUTE_CONFIGURATION_MANAGEMENT} & {
        each.phase for each in walk
    }
    rows = [each for each in table() if "configuration management" not in each]
    assert [each for each in dict.fromkeys(map(row, walk)) if each in rows] == rows


def test_a_service_starts_while_an_unrelated_one_runs() -> None:
    found = plan.launch_plan(
        definition.loads(
            "deployment: two\ncloud: {region: eu-central-1}\n"
            "launch_configurations: {x: {image: i, ssh: {connection: c}}}\n"
            "tiers: {t: {launch_configuration: x, servers: 1}}\n"
            "services:\n"
            "  a: {id: a1, tier: t, archive: s3://two/a.tgz}\n"
            "  b: {id: a2, tier: t, archive: s3://two/b.tgz}\n"
            "  c: {id: a3, tier: t, archive: s3://two/c.tgz, depends_on: [b]}\n"
        )
    )
    running = [TaskView("service-b.configure", 0, TaskState.RUNNING)]
    done = [
        TaskView(each, state=TaskState.SUCCESS)
        for each in (
            "tier-t.scale_up",
            "tier-t.handshake",
            "tier-t.install_services",
            "service-a.configure",
        )
    ]
    now = status.deployment_status(found, [*done, *running], None, run_ended=False)
    states = [now.service(names.ServiceName(name)) for name in "abc"]
    assert states == [ServiceState.RUNNING, ServiceState.STARTING, ServiceState.PAUSED]


def test_every_word_of_airflow_is_known() -> None:
    assert TaskState.of(None) is TaskState.NONE
    assert TaskState.of("deferred") is TaskState.DEFERRED
    assert TaskState.of("a word of a later Airflow") is TaskState.NONE


def changed(tasks: Sequence[TaskView], step: str, state: TaskState) -> tuple[TaskView, ...]:
    """The tasks, with those of a step (or of several that share an ending) in another state."""
    assert any(task.task_id.endswith(step) for task in tasks)
    return tuple(
        dataclasses.replace(task, state=state) if task.task_id.endswith(step) else task for task in tasks
    )


def without_run_lists(text: str) -> str:
    return "\n".join(
        line.split(", run_list:")[0] + "}" if "run_list" in line else line for line in text.splitlines()
    )
