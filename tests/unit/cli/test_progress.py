"""A run's progress: what a terminal, a pipeline's log and a program are shown."""

from __future__ import annotations

import dataclasses
import datetime
import io

import pytest
from rich.console import Console

from gantry import definition, inventory, names, overview, plan, status
from gantry.cli.output import run_progress, run_rows
from gantry.cli.queries import rest_source
from gantry.rest import client

TRIGGERED = datetime.datetime(2026, 11, 20, 4, 0, tzinfo=datetime.UTC)
SHORT = """\
deployment: short
cloud: {region: eu-central-1}
launch_configurations: {debian: {image: ami-1, ssh: {connection: x}}}
tiers: {only: {launch_configuration: debian, servers: 1}}
"""
DEFINITION = definition.loads(SHORT, "short.yaml")
PLAN = plan.launch_plan(DEFINITION)
ORDER = [step.id for step in PLAN if step.skipped is None]


@dataclasses.dataclass(frozen=True)
class FirstRun(overview.RunSource):
    """The facts about the first run of a deployment."""

    known: overview.CompiledDefinition | None
    views: tuple[status.TaskView, ...]

    def past(self) -> tuple[overview.PastRun, ...]:
        return ()

    def definition(self, _: overview.Run | None = None) -> overview.CompiledDefinition | None:
        return self.known

    def tasks(self, _: overview.Run) -> tuple[overview.TaskInstanceRow, ...]:
        return tuple(map(overview.TaskInstanceRow, self.views))

    def order(self, _: overview.Run) -> tuple[str, ...]:
        return tuple(ORDER)


def moment(
    done: int, *, working: bool, run_state: str = "running", planned: bool = True
) -> overview.RunSnapshot:
    """A run in which so many steps are done, each taking two seconds, and perhaps one is being worked on."""
    tasks = []
    for number, step in enumerate(ORDER[: done + working]):
        begun = TRIGGERED + datetime.timedelta(seconds=2 * number)
        is_done = number < done
        tasks.append(
            status.TaskView(
                step,
                -1,
                status.TaskState.SUCCESS if is_done else status.TaskState.RUNNING,
                begun,
                begun + datetime.timedelta(seconds=2) if is_done else None,
            )
        )
    source = FirstRun(overview.CompiledDefinition(DEFINITION, PLAN) if planned else None, tuple(tasks))
    run = overview.Run("short", "manual__1", run_state, TRIGGERED, user="ada")
    return overview.run_snapshot(source, run, inventory.Inventory(()))


def with_tasks(found: overview.RunSnapshot, *tasks: status.TaskView) -> overview.RunSnapshot:
    return dataclasses.replace(found, instances=tuple(map(overview.TaskInstanceRow, tasks)))


def test_without_a_terminal_each_change_is_one_line() -> None:
    output = io.StringIO()
    with run_progress.shown(Console(file=output)) as show:
        for _ in range(3):
            show(moment(1, working=True))
        show(moment(3, working=True))
        show(moment(len(ORDER), working=False, run_state="success"))
    told = [line.partition("s  ")[2] for line in output.getvalue().splitlines()]
    about_scale_up = [line.split()[3] for line in told if line.startswith("1 scale up")]
    assert about_scale_up == ["working", "done"]
    assert sum(line.startswith("deployment short is LAUNCHING") for line in told) == 1


def test_a_terminal_gets_a_table_with_servers_and_times() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=140)
    with run_progress.shown(console) as show:
        show(moment(2, working=True))
    assert "only-1" in output.getvalue()
    assert "2 prepare configuration management" in output.getvalue()


def test_while_it_waits_for_its_turn_the_headline_says_so() -> None:
    waiting = moment(0, working=True)
    assert not waiting.awaits_turn
    waiting = with_tasks(waiting, dataclasses.replace(waiting.tasks[0], state=status.TaskState.DEFERRED))
    headline = run_rows.headline(waiting)
    assert headline.endswith("   waiting for its turn: another operation is running")
    assert run_rows.as_json(waiting)["awaits_turn"] is True


def test_the_end_says_where_the_time_went() -> None:
    ended = moment(len(ORDER), working=False, run_state="success")
    (path,) = run_progress.where_the_time_went(ended)
    assert path.startswith("critical path: turn 2.0 s → find_lost 2.0 s → tier-only.scale_up 2.0 s")
    assert ended.seconds() == 2 * len(ORDER)


def test_without_a_definition_each_task_has_a_row() -> None:
    output = io.StringIO()
    with run_progress.shown(Console(file=output)) as show:
        show(moment(3, working=True, planned=False))
    lines = output.getvalue().splitlines()
    assert "short, run manual__1: running" in lines[0]
    assert [line.split()[2:] for line in lines[1:]] == [
        ["turn", "done"],
        ["find_lost", "done"],
        ["tier-only.scale_up", "done"],
        ["tier-only.handshake", "working"],
    ]


def test_a_program_gets_states_times_and_servers() -> None:
    found = run_rows.as_json(moment(len(ORDER), working=False, run_state="success"))
    assert (found["state"], found["run_state"], found["seconds"]) == ("RUNNING", "success", 2.0 * len(ORDER))
    rows = found["progress"]
    assert isinstance(rows, list)
    assert [each["what"] for each in rows if isinstance(each, dict)][:2] == ["0 pre-launch", "1 scale up"]
    assert rows[1] == {
        "what": "1 scale up",
        "progress": "succeeded",
        "started": (TRIGGERED + datetime.timedelta(seconds=4)).isoformat(),
        "ended": (TRIGGERED + datetime.timedelta(seconds=8)).isoformat(),
        "done": ["only-1"],
        "working": [],
        "failed": [],
    }


def test_a_run_that_a_person_refused_has_not_arrived() -> None:
    assert moment(len(ORDER), working=False, run_state="success").has_arrived
    assert not moment(len(ORDER) - 1, working=False, run_state="success").has_arrived


def test_a_launch_that_waits_for_a_person_says_so() -> None:
    working = moment(0, working=False)
    asking = status.TaskView("approve", -1, status.TaskState.AWAITING_INPUT, TRIGGERED)
    output = io.StringIO()
    with run_progress.shown(Console(file=output)) as show:
        show(working)
        show(with_tasks(working, asking))
        answered = dataclasses.replace(asking, state=status.TaskState.SUCCESS)
        show(with_tasks(working, answered))
    told = [line.partition("s  ")[2] for line in output.getvalue().splitlines()]
    heads = [line for line in told if line.startswith("deployment")]
    assert [line.endswith("waiting for a person's approval") for line in heads] == [False, True, False]


def test_tasks_stand_after_all_that_they_wait_for() -> None:
    assert rest_source.in_order({"d": (), "a": ("c",), "c": ("d",), "b": ("d",)}) == ("a", "b", "c", "d")


def test_a_task_is_named_after_its_server_once_airflow_knows_it() -> None:
    def servers(label: str) -> tuple[str, ...]:
        return rest_source.task_row(
            client.ApiTaskInstance("t", 0, label, "running", None, None, 1)
        ).view.servers

    assert servers("short-only-1") == ("short-only-1",)
    assert servers("0") == servers("") == ()


SHOP = """\
deployment: shop
cloud: {region: eu-central-1}
launch_configurations: {debian: {image: ami-1, ssh: {connection: x}}}
tiers:
  database: {launch_configuration: debian, servers: 1}
  web: {launch_configuration: debian, servers: 9}
  proxy: {launch_configuration: debian, servers: 1}
"""


def greeting(*found: tuple[str, int, str, str], run_state: str = "failed") -> overview.RunSnapshot:
    """A run that comes as far as its handshakes: tier, map index, label and state of each."""
    shop = definition.loads(SHOP, "shop.yaml")
    ended = (TRIGGERED + datetime.timedelta(seconds=5)).isoformat()
    tasks = (
        *(
            rest_source.task_row(
                client.ApiTaskInstance(f"tier-{tier}.scale_up", -1, "", "success", ended, ended, 1)
            ).view
            for tier in ("database", "web", "proxy")
        ),
        *(
            rest_source.task_row(
                client.ApiTaskInstance(f"tier-{tier}.handshake", index, label, state, ended, ended, 2)
            ).view
            for tier, index, label, state in found
        ),
    )
    source = FirstRun(overview.CompiledDefinition(shop, plan.launch_plan(shop)), tasks)
    return overview.run_snapshot(source, overview.Run("shop", "manual__1", run_state, TRIGGERED), None)


DATABASE = ("database", 0, "shop-database-1", "success")
PROXY = ("proxy", 0, "shop-proxy-1", "failed")


def scale_up(found: overview.RunSnapshot) -> str:
    """What the terminal says of the first phase, without its time."""
    output = io.StringIO()
    with run_progress.shown(Console(file=output)) as show:
        show(found)
    (line,) = [each for each in output.getvalue().splitlines() if "1 scale up" in each]
    return " ".join(line.partition("1 scale up")[2].split())


@pytest.mark.parametrize(
    ("handshakes", "told"),
    [
        ([DATABASE, PROXY], "failed proxy-1"),
        # One of them waits for its next try; a label may be missing as long as nothing has begun.
        ([("web", 0, "shop-web-1", "up_for_retry"), DATABASE, PROXY], "failed proxy-1"),
        ([("web", 1, "1", "queued"), ("web", 0, "shop-web-1", "failed"), PROXY], "failed web-1 proxy-1"),
        # A batch fails as a whole: which of its servers did not answer, its error says.
        ([DATABASE, ("web", 0, "shop-web-1 … shop-web-5 (5)", "failed"),
          ("web", 1, "shop-web-6 … shop-web-9 (4)", "success")], "failed web-1 … web-5 (5)"),
        # A worker that is lost before it has said whom it works on.
        ([DATABASE, ("web", 0, "0", "failed")], "failed web-1 … web-9 (9)"),
    ],
)  # fmt: skip
def test_a_failed_phase_names_the_servers_that_failed_and_no_other(
    handshakes: list[tuple[str, int, str, str]], told: str
) -> None:
    assert scale_up(greeting(*handshakes)) == told


def test_a_table_and_a_program_tell_apart_who_failed_who_works_and_who_is_done() -> None:
    found = greeting(DATABASE, ("web", 0, "shop-web-1", "running"), PROXY, run_state="running")
    row = run_rows.rows(found)[1]
    assert (row.failed, row.working) == (("proxy-1",), ("web-1",))
    assert "database-1" in row.done
    rows = run_rows.as_json(found)["progress"]
    assert isinstance(rows, list)
    assert isinstance(rows[1], dict)
    assert rows[1]["failed"] == ["proxy-1"]
    output = io.StringIO()
    with run_progress.shown(
        Console(file=output, force_terminal=True, color_system="standard", width=140)
    ) as show:
        show(found)
    assert "\N{ESCAPE}[1;31mproxy-1 " in output.getvalue()


def test_an_agent_is_unreachable_where_its_own_batch_failed() -> None:
    found = greeting(
        ("web", 0, "shop-web-1 … shop-web-5 (5)", "failed"),
        ("web", 1, "shop-web-6 … shop-web-9 (4)", "success"),
    )
    assert found.states is not None
    agents = found.states.agents
    assert {name for name, state in agents.items() if state is plan.AgentState.UNREACHABLE} == {
        f"shop-web-{slot}" for slot in range(1, 6)
    }
    assert agents[names.ServerName("shop-web-6")] is plan.AgentState.RUNNING
