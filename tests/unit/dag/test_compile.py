"""A definition becomes a DAG that a person can read, and that is the same at every parse."""

from __future__ import annotations

import datetime
import json
import pathlib
import socket
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, AssetAlias, BaseHook, TriggerRule, Variable
from airflow.serialization.serialized_objects import DagSerialization

from gantry import definition, names, plan
from gantry.dag import compile as dag_compile
from gantry.dag import deployment_dags

from .definitions import HEAD, ODD, WEB, service

BOOKSHOP = pathlib.Path(__file__).parents[3] / "include/bookshop/bookshop.yaml"
TEXTS = {"bookshop": BOOKSHOP.read_text(), **ODD}


@pytest.fixture(scope="module")
def bookshop() -> DAG:
    return deployment_dags(BOOKSHOP)[0]


def both(text: str) -> list[tuple[plan.Plan, DAG]]:
    known = definition.loads(text)
    return [
        (plan.launch_plan(known), dag_compile.operation_dag(known, names.Operation.LAUNCH)),
        (plan.termination_plan(known), dag_compile.operation_dag(known, names.Operation.TERMINATE)),
    ]


def serialized(dag: DAG) -> str:
    return json.dumps(DagSerialization.to_dict(dag))


def timetable(dag: DAG) -> dict[str, Any]:
    found: dict[str, Any] = DagSerialization.to_dict(dag)["dag"]["timetable"]
    return found


def mapped_group(dag: DAG, task_id: str) -> str | None:
    found = dag.get_task(task_id).get_closest_mapped_task_group()
    return found.group_id if found else None


# --- structure -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_every_step_is_a_task_and_every_edge_of_the_plan_an_edge_of_the_dag(name: str) -> None:
    for found, dag in both(TEXTS[name]):
        assert sorted(dag.task_ids) == sorted(step.id for step in found)
        edges = {(task.task_id, after) for task in dag.tasks for after in task.downstream_task_ids}
        assert set(found.edges) <= edges
        # Whoever is dealt servers waits for the task that deals them.
        dealing = {
            (f"tier-{step.tier}.scale_up", step.id)
            for step in found
            if step.per_server and step.tier is not None
        }
        assert edges - set(found.edges) <= dealing


@pytest.mark.parametrize("name", TEXTS)
def test_steps_on_servers_are_mapped_and_all_others_are_not(name: str) -> None:
    for found, dag in both(TEXTS[name]):
        for step in found:
            assert (mapped_group(dag, step.id) is not None) == step.per_server, step.id
            if step.per_server and step.skipped is None:
                assert dag.get_task(step.id).map_index_template == "{{ task.servers_label }}"


@pytest.mark.parametrize("name", TEXTS)
def test_a_grant_is_waited_for_on_every_server_also_where_the_dependent_stands_on_the_same_tier(
    name: str,
) -> None:
    # Inside a mapped group, a hand waits for its own servers only: enough where there is one.
    servers = {tier.tier: tier.maximum for found, _ in both(TEXTS[name]) for tier in found.tiers}
    for found, dag in both(TEXTS[name]):
        for before, after in found.edges:
            step = found.by_id[before]
            if step.kind is plan.StepKind.GRANT_ACCESS and step.tier is not None and servers[step.tier] > 1:
                assert mapped_group(dag, before) != mapped_group(dag, after)


def test_replicants_wait_for_the_master_and_not_for_their_own_servers_turn_alone() -> None:
    for name in ("a replicated database", "a replicated database, configure first"):
        (found, dag), _ = both(TEXTS[name])
        before = found.by_id["service-db.configure_replicants"].upstream
        assert before
        for step in before:
            assert mapped_group(dag, step) != mapped_group(dag, "service-db.configure_replicants")


def test_tiers_services_and_balancers_are_groups_with_names_that_people_know(bookshop: DAG) -> None:
    groups = bookshop.task_group_dict
    assert {
        "tier-database",
        "tier-application",
        "tier-proxy",
        "service-db",
        "service-app",
        "balancer-front",
    } <= set(groups)
    assert groups["service-app"].group_display_name == "service app"
    assert groups["service-app"].tooltip == "Service app (a1002) on tier application"
    assert groups["tier-application"].tooltip == "Tier application, 2 to 6 servers"


@pytest.mark.parametrize("head", ["", "approval: {}\n"])
def test_every_operation_waits_for_its_turn_before_anything_but_a_question(
    tmp_path: pathlib.Path, head: str
) -> None:
    file = tmp_path / "shop.yaml"
    several = WEB.replace("servers: 1", "servers: {min: 1, max: 2}")
    shop = f"services: {{page: {service(1, 'web')}}}\n"
    backups = "backups: {to: s3://shop/backups/, of: {files: page}, drill: {}}\n"
    file.write_text(head + HEAD + several + shop + backups)
    dags = deployment_dags(file)
    assert {names.operation_of(dag.dag_id) for dag in dags} == set(names.Operation) - plan.READ_ONLY
    for dag in dags:
        turn = dag.get_task("turn")
        assert turn.task_display_name == "wait for turn"
        assert turn.upstream_task_ids <= {"approve", "confirm", "confirm_restore"}
        behind = {task.task_id for task in turn.get_flat_relatives(upstream=False)}
        assert behind == set(dag.task_ids) - {"approve", "confirm", "confirm_restore", "turn"}


def test_servers_stand_where_the_page_has_them(bookshop: DAG) -> None:
    grant = bookshop.get_task("service-app.grant_access_on_db")
    assert grant.downstream_task_ids == {"service-app.update"}
    assert bookshop.get_task("service-app.update").downstream_task_ids == {"service-app.configure"}
    assert {"service-db.configure", "tier-application.scale_up"} <= grant.upstream_task_ids
    finish = bookshop.get_task("finish_launch")
    assert finish.upstream_task_ids == {"balancer-front.start_proxy", "find_lost"}
    # It runs where `find_lost` has skipped the others, and not where that is skipped itself.
    assert finish.trigger_rule == "none_failed_min_one_success"


def test_only_a_launch_goes_on_after_steps_that_are_skipped(bookshop: DAG) -> None:
    """Its `find_lost` skips those that have nothing to do. In all other DAGs a skipped step takes all others along."""
    recover = next(dag for dag in deployment_dags(BOOKSHOP) if dag.dag_id == "bookshop.recover")
    for step in plan.launch_plan(definition.load(BOOKSHOP)):
        if step.kind in {plan.StepKind.TURN, plan.StepKind.FIND_LOST, plan.StepKind.SCALE_UP}:
            assert bookshop.get_task(step.id).trigger_rule == TriggerRule.ALL_SUCCESS
        elif step.kind is not plan.StepKind.FINISH_LAUNCH:
            assert bookshop.get_task(step.id).trigger_rule == TriggerRule.NONE_FAILED
            assert recover.get_task(step.id).trigger_rule == TriggerRule.ALL_SUCCESS


def test_phases_without_configuration_management_keep_their_place_and_say_why() -> None:
    (_, launch), _ = both(ODD["a diamond"])
    task = launch.task_dict["tier-web.execute_configuration_management"]
    assert "names no configuration management" in str(task.doc_md)
    assert task.downstream_task_ids == {"tier-web.install_services"}


# --- what a person sees --------------------------------------------------------------------------------------


def test_the_form_asks_for_servers_within_their_limits_what_to_do_again_and_a_reason(
    bookshop: DAG,
) -> None:
    form = {name: bookshop.params.get_param(name) for name in bookshop.params}
    servers = ["servers_database", "servers_application", "servers_proxy"]
    assert list(form) == [
        *servers,
        "converge",
        "redeploy",
        "from_dump",
        "from_backup",
        "reload_dump",
        "new_bundle",
        "reason",
    ]
    assert form["converge"].schema["items"]["enum"] == ["application", "database", "proxy"]
    schema = form["servers_application"].schema
    assert (schema["minimum"], schema["maximum"], form["servers_application"].value) == (2, 6, 2)
    assert form["redeploy"].schema["items"]["enum"] == ["app", "db"]
    assert form["redeploy"].value == []
    for param in form.values():
        assert param.schema["section"]
        assert param.schema["title"]
        assert param.description
        param.resolve()
    with pytest.raises(Exception, match="7 is greater than the maximum of 6"):
        form["servers_application"].resolve(7)


def test_a_termination_wants_the_deployments_name_typed() -> None:
    terminate = deployment_dags(BOOKSHOP)[2]
    assert terminate.dag_id == "bookshop.terminate"
    assert terminate.params.get_param("confirm").value == ""
    assert "Type bookshop" in str(terminate.params.get_param("confirm").description)
    assert "bookshop" in str(terminate.doc_md)


def test_the_schedule_keeps_the_definitions_time_zone_and_only_launches_are_scheduled() -> None:
    (_, launch), (_, terminate) = both('schedule: "0 4 * * 0"\ntimezone: Europe/Berlin\n' + ODD["a diamond"])
    found = timetable(launch)
    assert found["__type"].endswith("CronTriggerTimetable")
    assert (found["__var"]["expression"], found["__var"]["timezone"]) == ("0 4 * * 0", "Europe/Berlin")
    assert timetable(terminate)["__type"].endswith("NullTimetable")
    by_hand, _ = (dag for _, dag in both(ODD["a diamond"]))
    assert timetable(by_hand)["__type"].endswith("NullTimetable")


def test_one_run_at_a_time_nothing_is_caught_up_and_airflow_decides_about_pausing() -> None:
    for dag in deployment_dags(BOOKSHOP):
        assert (dag.max_active_runs, dag.catchup, dag.is_paused_upon_creation) == (1, False, None)
        assert dag.start_date == datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def test_tags_tell_deployments_and_directions_apart() -> None:
    (_, launch), (_, terminate) = both("tags: [shops, eu]\n" + HEAD + WEB)
    assert launch.tags == {"gantry", "launch", "shops", "eu"}
    assert terminate.tags == {"gantry", "terminate", "shops", "eu"}


def test_a_launch_updates_the_deployments_asset_and_a_termination_does_not(bookshop: DAG) -> None:
    assert [asset.name for asset in bookshop.get_task("finish_launch").outlets] == ["deployment://bookshop"]
    terminate = deployment_dags(BOOKSHOP)[2]
    outlets = [asset for task in (*bookshop.tasks, *terminate.tasks) for asset in task.outlets]
    assert [each.name for each in outlets if isinstance(each, Asset)] == ["deployment://bookshop"]


def test_what_is_kept_is_there_before_the_first_task_and_held_by_the_first_two(bookshop: DAG) -> None:
    holding = [task for task in bookshop.tasks if any(isinstance(each, AssetAlias) for each in task.outlets)]
    assert [task.task_id for task in holding] == ["turn", "find_lost"]
    for task in holding:
        assert [each.name for each in (*task.inlets, *task.outlets)] == ["deployment-state://bookshop"] * 2


def test_the_page_shows_the_topology(bookshop: DAG) -> None:
    page = str(bookshop.doc_md)
    assert "```mermaid" in page
    assert "service_app -->|catalog| service_db" in page
    assert "balancer_front --> service_app" in page
    row = "| application | 2 to 6 | `gantry-debian-12` t3.small | app | Chef, role[applicationServer] |"
    assert row in page
    assert "**shop.example.com**" in page


def test_a_description_cannot_bring_html_into_the_page() -> None:
    (_, launch), _ = both('description: "<script>alert(1)</script> & more"\n' + HEAD + WEB)
    assert "<script>" not in str(launch.doc_md)
    assert "&lt;script&gt;" in str(launch.doc_md)


# --- parsing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_two_builds_are_the_same(name: str) -> None:
    for (_, first), (_, second) in zip(both(TEXTS[name]), both(TEXTS[name]), strict=True):
        assert serialized(first) == serialized(second)


def test_building_reads_nothing_but_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("I/O while building a DAG")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "create_connection", forbidden)
    monkeypatch.setattr(BaseHook, "get_connection", forbidden)
    monkeypatch.setattr(Variable, "get", forbidden)
    monkeypatch.setattr("subprocess.Popen", forbidden)
    opened: set[str] = set()
    real = pathlib.Path.open

    def noting(self: pathlib.Path, *arguments: Any, **more: Any) -> Any:
        opened.add(self.name)
        return real(self, *arguments, **more)

    monkeypatch.setattr(pathlib.Path, "open", noting)
    assert deployment_dags(BOOKSHOP)
    assert opened <= {
        "bookshop.yaml",
        "launch.md.jinja",
        "recover.md.jinja",
        "scale.md.jinja",
        "terminate.md.jinja",
    }


def test_a_loader_chooses_environment_and_variables() -> None:
    launch, _, terminate, *_ = deployment_dags(
        BOOKSHOP, environment="production", variables={"host": "x.example.com"}
    )
    assert (launch.dag_id, terminate.dag_id) == ("bookshop-production", "bookshop-production.terminate")
    assert timetable(launch)["__var"]["expression"] == "0 4 * * 0"
    servers = launch.params.get_param("servers_application")
    assert (servers.value, servers.schema["maximum"]) == (3, 12)
    assert "x.example.com" in str(launch.doc_md)


def test_a_task_s_process_builds_the_dag_of_the_task_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = deployment_dags(BOOKSHOP)
    for dag in whole:
        # What Airflow's own context manager sets; that one forgets to take it away again.
        monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", dag.dag_id)
        (found,) = deployment_dags(BOOKSHOP)
        assert (found.dag_id, serialized(found)) == (dag.dag_id, serialized(dag))


def test_what_is_the_business_of_tasks_alone_is_not_in_the_serialized_dag(bookshop: DAG) -> None:
    # The definition travels as a macro. Its stored form, for the pages, names no connection that they do not use.
    text = serialized(bookshop)
    assert "bookshop_catalog" not in text
    assert "chef_default" not in text
    assert "greeting" not in text


def test_configuration_management_has_its_tasks_where_a_launch_configuration_names_it(
    tmp_path: pathlib.Path,
) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(
        (HEAD + WEB).replace("connection: shop_ssh}", "connection: shop_ssh}, chef: {connection: chef}")
    )
    launch, terminate, *_ = deployment_dags(file)
    tier = next(iter((launch.user_defined_macros or {})["gantry"].definition.tiers))
    for name in ("prepare", "execute"):
        operator = launch.task_dict[f"tier-{tier}.{name}_configuration_management"]
        assert operator.operator_class.__name__ == f"{name.title()}ConfigurationManagementOperator"
    assert launch.params.get_param("converge").schema["items"]["enum"] == [tier]
    clean_up = terminate.task_dict[f"tier-{tier}.clean_up_configuration_management"]
    assert clean_up.upstream_task_ids == {f"tier-{tier}.terminate_servers"}


def test_without_configuration_management_nobody_is_asked_to_converge_or_clean_up(
    bookshop: DAG, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(HEAD + WEB)
    launch, terminate, *_ = deployment_dags(file)
    assert "converge" not in launch.params
    assert not [task for task in terminate.task_dict if "clean_up" in task]
