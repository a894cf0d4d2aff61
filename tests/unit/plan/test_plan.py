"""What a launch and a termination have to do, and after what."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import strategies

from gantry import definition, plan
from gantry.plan import Phase, Step, StepKind

CHEF = {"connection": "chef_default"}


def deployment(
    services: Mapping[str, Mapping[str, Any]],
    *,
    tiers: Iterable[str] = (),
    balancers: Mapping[str, str] | None = None,
    bare: Iterable[str] = (),
) -> str:
    """A definition's text. `tiers` without services are extra, those in `bare` have no Chef.

    A service may have `tier` (else its own), `needs` (depends_on), `data` (its datasources' names), `order`,
    `replication`.
    """
    bare = set(bare)
    used = dict.fromkeys([*tiers, *(each.get("tier", name) for name, each in services.items())])
    base = {"image": "ami-1", "ssh": {"connection": "ssh"}}
    written: dict[str, Any] = {
        "deployment": "shop",
        "cloud": {"region": "eu-central-1"},
        "launch_configurations": {"chef": {**base, "chef": CHEF}, "bare": base},
        "tiers": {
            tier: {"launch_configuration": "bare" if tier in bare else "chef", "servers": 1} for tier in used
        },
        "services": {
            name: {
                "id": f"a{number}",
                "tier": each.get("tier", name),
                "archive": f"s3://shop/{name}.tar.gz",
                "port": 8000 + number,
                "depends_on": list(each.get("needs", ())),
                "order": each.get("order", "datasource-first"),
                "replication": each.get("replication"),
                "datasources": {
                    data: {"dump": f"s3://shop/{data}.sql", "connection": data}
                    for data in each.get("data", ())
                },
            }
            for number, (name, each) in enumerate(services.items(), start=1)
        },
        "load_balancers": {
            name: {
                "tier": service if name.startswith("on-") else "proxy",
                "service": service,
                "port": 80 + number,
                "name": f"{name}.example.com",
            }
            for number, (name, service) in enumerate((balancers or {}).items())
        },
    }
    return yaml.safe_dump(written, sort_keys=False)


def launch(text: str) -> plan.Plan:
    return plan.launch_plan(definition.loads(text))


def before(found: plan.Plan, step: str) -> set[str]:
    """Every step that must have succeeded before, near and far."""
    near = set(found.by_id[step].upstream)
    return near.union(*(before(found, each) for each in near))


def kinds(found: plan.Plan, group: str) -> list[StepKind]:
    return [step.kind for step in found if plan.group_id(step.group) == group]


SHOP = deployment(
    {"db": {"data": ["catalog"]}, "app": {"needs": ["db.catalog"]}},
    tiers=["proxy"],
    balancers={"front": "app"},
)


def test_the_bookshop_is_launched_in_the_pages_order(bookshop: definition.Definition) -> None:
    found = plan.launch_plan(bookshop)
    by_phase = {phase: [step.id for step in found if step.phase is phase] for phase in Phase}
    tiers = ("database", "application", "proxy")
    assert by_phase == {
        Phase.PRE_LAUNCH: ["turn", "find_lost"],
        Phase.SCALE_UP: [f"tier-{tier}.{what}" for what in ("scale_up", "handshake") for tier in tiers],
        Phase.PREPARE_CONFIGURATION_MANAGEMENT: [
            f"tier-{tier}.prepare_configuration_management" for tier in tiers
        ],
        Phase.EXECUTE_CONFIGURATION_MANAGEMENT: [
            f"tier-{tier}.execute_configuration_management" for tier in tiers
        ],
        Phase.INSTALL_SERVICES: ["tier-database.install_services", "tier-application.install_services"],
        Phase.CONFIGURE_DEPENDENCIES: ["service-db.install_datasources", "service-db.configure"],
        Phase.CONFIGURE_DEPENDENTS: [
            "service-app.grant_access_on_db",
            "service-app.update",
            "service-app.configure",
        ],
        Phase.START_PROXY: ["balancer-front.start_proxy", "finish_launch"],
    }
    assert [(each.tier, each.names) for each in found.tiers] == [
        ("database", ("bookshop-database-1",)),
        ("application", ("bookshop-application-1", "bookshop-application-2")),
        ("proxy", ("bookshop-proxy-1",)),
    ]


def test_the_scripts_are_those_of_the_page(bookshop: definition.Definition) -> None:
    found = plan.launch_plan(bookshop).by_id
    assert found["tier-database.execute_configuration_management"].scripts == (
        "runConfigurationManagement-CHEF",
    )
    assert found["tier-database.install_services"].scripts[-1] == "installService"
    assert found["service-db.install_datasources"].scripts[-1] == "installDataSource"
    assert found["service-app.configure"].scripts[:3] == ("configureService", "stopService", "startService")
    assert found["service-app.grant_access_on_db"].scripts == ("grantDatabaseAccess",)
    assert found["balancer-front.start_proxy"].scripts == ("startProxy",)


def test_the_application_is_granted_access_on_the_databases_servers_before_it_is_configured() -> None:
    found = launch(SHOP)
    grant = found.by_id["service-app.grant_access_on_db"]
    assert (grant.tier, grant.service, grant.peer) == ("db", "db", "app")
    assert grant.per_server
    # The addresses are known from the scale up: nothing of the application need be installed for a grant.
    assert set(grant.upstream) == {"service-db.configure", "tier-app.scale_up"}
    assert grant.id in before(found, "service-app.configure")


def test_nothing_is_granted_where_a_service_and_not_a_datasource_is_needed() -> None:
    found = launch(deployment({"queue": {}, "app": {"needs": ["queue"]}}))
    assert StepKind.GRANT_ACCESS not in {step.kind for step in found}
    assert "service-queue.configure" in found.by_id["service-app.configure"].upstream


def test_two_datasources_of_one_service_are_one_grant() -> None:
    found = launch(deployment({"db": {"data": ["a", "b"]}, "app": {"needs": ["db.a", "db.b", "db"]}}))
    assert kinds(found, "service-app") == [StepKind.GRANT_ACCESS, StepKind.CONFIGURE]


def test_a_service_that_needs_two_others_waits_for_both() -> None:
    found = launch(
        deployment({"db": {"data": ["catalog"]}, "queue": {}, "app": {"needs": ["db.catalog", "queue"]}})
    )
    assert {"service-db.configure", "service-queue.configure"} <= set(
        found.by_id["service-app.configure"].upstream
    )
    assert not before(found, "service-db.configure") & {step.id for step in found if step.service == "queue"}


def test_independent_services_run_side_by_side() -> None:
    found = launch(deployment({"one": {}, "two": {}}))
    assert "service-one.configure" not in before(found, "service-two.configure")
    assert "service-two.configure" not in before(found, "service-one.configure")
    last = {"service-one.configure", "service-two.configure"}
    assert set(found.by_id["finish_launch"].upstream) == {"find_lost", *last}


def test_a_diamond_joins_again() -> None:
    found = launch(
        deployment(
            {
                "db": {},
                "left": {"needs": ["db"]},
                "right": {"needs": ["db"]},
                "top": {"needs": ["left", "right"]},
            }
        )
    )
    assert {f"service-{each}.configure" for each in ("db", "left", "right")} <= before(
        found, "service-top.configure"
    )
    assert "service-left.configure" not in before(found, "service-right.configure")
    phases = {str(step.service): step.phase for step in found if step.kind is StepKind.CONFIGURE}
    assert phases["left"] is Phase.CONFIGURE_DEPENDENCIES
    assert phases["top"] is Phase.CONFIGURE_DEPENDENTS


def test_all_services_of_a_tier_are_installed_in_one_step_and_configured_one_by_one() -> None:
    found = launch(deployment({"a": {"tier": "web"}, "b": {"tier": "web", "needs": ["a"]}}))
    assert kinds(found, "tier-web").count(StepKind.INSTALL_SERVICES) == 1
    assert found.by_id["service-a.configure"].upstream == ("tier-web.install_services",)
    assert found.by_id["service-b.configure"].upstream == ("tier-web.install_services", "service-a.configure")


def test_the_grants_of_a_service_in_the_middle_belong_to_the_phase_of_its_configuration() -> None:
    found = launch(
        deployment({"db": {"data": ["x"]}, "middle": {"needs": ["db.x"]}, "top": {"needs": ["middle"]}})
    )
    assert {step.phase for step in found if plan.group_id(step.group) == "service-middle"} == {
        Phase.CONFIGURE_DEPENDENCIES
    }


def test_archives_that_want_configuration_first_get_it_first() -> None:
    found = launch(
        deployment({"db": {"data": ["x"], "order": "configure-first"}, "app": {"needs": ["db.x"]}})
    )
    steps = [step for step in found if plan.group_id(step.group) == "service-db"]
    assert [step.kind for step in steps] == [
        StepKind.CONFIGURE,
        StepKind.INSTALL_DATASOURCES,
        StepKind.RESTART,
    ]
    assert steps[0].scripts == ("configureService",)
    assert steps[2].scripts == ("stopService", "startService", "awaitService")
    assert "service-db.restart" in found.by_id["service-app.configure"].upstream
    without_data = launch(deployment({"db": {"order": "configure-first"}}))
    assert kinds(without_data, "service-db") == [StepKind.CONFIGURE]


def replicated(**more: Any) -> plan.Plan:
    return launch(
        deployment(
            {"db": {"data": ["x"], "replication": {"connection": "r"}, **more}, "app": {"needs": ["db.x"]}}
        )
    )


@pytest.mark.parametrize("order", ["datasource-first", "configure-first"])
def test_replicants_come_when_the_masters_check_says_ok_and_dependents_when_theirs_does(order: str) -> None:
    found = replicated(order=order)
    master, replicants = [step for step in found if plan.group_id(step.group) == "service-db"][-2:]
    assert master.scripts[-2:] == ("awaitService", "grantDatabaseAccess")
    assert (replicants.kind, replicants.upstream) == (StepKind.CONFIGURE_REPLICANTS, (master.id,))
    assert replicants.scripts == ("configureService", "stopService", "startService", "awaitService")
    assert "service-db.configure_replicants" in found.by_id["service-app.grant_access_on_db"].upstream
    assert "service-db.configure_replicants" in found.by_id["service-app.configure"].upstream


def test_each_balancer_waits_for_its_own_service_and_its_own_tier() -> None:
    found = launch(
        deployment(
            {"app": {}, "api": {}},
            tiers=["proxy"],
            balancers={"front": "app", "back": "api", "on-app": "app"},
        )
    )
    assert set(found.by_id["balancer-front.start_proxy"].upstream) == {
        "tier-proxy.execute_configuration_management",
        "service-app.configure",
    }
    assert "service-app.configure" not in before(found, "balancer-back.start_proxy")
    assert found.by_id["balancer-on-app.start_proxy"].tier == "app"
    assert set(found.by_id["finish_launch"].upstream) == {
        "find_lost",
        *(f"balancer-{each}.start_proxy" for each in ("front", "back", "on-app")),
    }


def test_a_tier_without_services_installs_nothing_and_is_awaited_all_the_same() -> None:
    found = launch(deployment({"app": {}}, tiers=["spare"]))
    assert StepKind.INSTALL_SERVICES not in kinds(found, "tier-spare")
    assert "tier-spare.execute_configuration_management" in found.by_id["finish_launch"].upstream


def test_a_deployment_of_servers_alone_is_launched() -> None:
    found = launch(deployment({}, tiers=["spare"]))
    assert found.steps[-1].id == "finish_launch"
    assert [
        step.kind for step in plan.termination_plan(definition.loads(deployment({}, tiers=["spare"])))
    ] == [
        StepKind.CONFIRM,
        StepKind.TURN,
        StepKind.ASK_SERVERS,
        StepKind.TERMINATE_SERVERS,
        StepKind.CLEAN_UP_CONFIGURATION_MANAGEMENT,
        StepKind.FINISH_TERMINATION,
    ]


def test_configuration_management_keeps_its_place_and_says_why_it_has_nothing_to_do() -> None:
    found = launch(deployment({"db": {}, "app": {}}, bare=["app"]))
    skipped = {step.id for step in found if step.skipped}
    assert skipped == {f"tier-app.{each}_configuration_management" for each in ("prepare", "execute")}
    assert found.by_id["tier-app.prepare_configuration_management"].skipped == (
        "launch configuration 'bare' names no configuration management"
    )
    assert skipped <= before(found, "service-app.configure")


def test_a_termination_goes_against_the_direction_of_the_dependencies() -> None:
    found = plan.termination_plan(definition.loads(SHOP))
    assert found.steps[0].id == "confirm"
    assert found.by_id["service-app.stop_service"].upstream == ("balancer-front.stop_proxy",)
    assert found.by_id["service-db.stop_service"].upstream == ("service-app.stop_service",)
    assert found.steps[-1].id == "finish_termination"
    for step in found:
        assert step.id == "confirm" or "confirm" in before(found, step.id)


def test_no_server_goes_before_every_server_was_asked_and_everything_is_stopped() -> None:
    found = plan.termination_plan(definition.loads(SHOP))
    stops = {step.id for step in found if step.kind in (StepKind.STOP_PROXY, StepKind.STOP_SERVICE)}
    for step in found:
        if step.kind is StepKind.TERMINATE_SERVERS:
            assert {"ask_servers", *stops} <= before(found, step.id)
        elif step.id in stops:
            assert "ask_servers" in before(found, step.id)


def test_final_backups_come_before_anything_is_stopped() -> None:
    text = f"{SHOP}\nbackups: {{of: {{files: app, rows: db.catalog}}, to: s3://shop/backups/}}\n"
    found = plan.termination_plan(definition.loads(text))
    kept = {"backup-files.keep_backup", "backup-rows.keep_backup"}
    assert found.by_id["backup-rows.back_up"].upstream == ("ask_servers",)
    for step in found:
        if step.kind in (StepKind.STOP_PROXY, StepKind.STOP_SERVICE, StepKind.TERMINATE_SERVERS):
            assert kept <= before(found, step.id)
        # Backups that nobody asked for hold up nothing.
        if kept & set(step.upstream):
            assert step.after_left_out


SHOPS = [SHOP, deployment({"b": {}, "a": {"needs": ["b"]}, "c": {"tier": "b"}}, tiers=["z", "y"], bare=["y"])]


@pytest.mark.parametrize("text", SHOPS)
def test_the_same_text_makes_the_same_plan(text: str) -> None:
    assert launch(text) == launch(text)
    assert plan.termination_plan(definition.loads(text)) == plan.termination_plan(definition.loads(text))


@strategies.composite
def acyclic(draw: strategies.DrawFn) -> str:
    """Any deployment without circles."""
    services: dict[str, dict[str, Any]] = {}
    for number in range(draw(strategies.integers(0, 7))):
        known = [*services, *(f"{name}.{data}" for name, each in services.items() for data in each["data"])]
        needs = (
            draw(strategies.lists(strategies.sampled_from(known), unique=True, max_size=3)) if known else []
        )
        data = draw(strategies.lists(strategies.sampled_from(["x", "y"]), unique=True))
        services[f"s{number}"] = {
            "tier": f"t{draw(strategies.integers(0, 3))}",
            "needs": needs,
            "data": data,
            "replication": draw(strategies.sampled_from([None, {"connection": "r"}])) if data else None,
            "order": draw(strategies.sampled_from(["datasource-first", "configure-first"])),
        }
    # The order of a file means nothing: what is needed may stand below what needs it.
    names = draw(strategies.permutations(list(services)))
    balanced = draw(strategies.lists(strategies.sampled_from(names), unique=True)) if names else []
    return deployment(
        {name: services[name] for name in names},
        tiers=["proxy"],
        balancers={f"front-{name}": name for name in balanced},
        bare=draw(strategies.lists(strategies.sampled_from(["proxy", "t0", "t1"]), unique=True)),
    )


@hypothesis.given(acyclic())
@hypothesis.settings(max_examples=30, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
def test_every_plan_of_every_deployment_keeps_its_promises(text: str) -> None:
    read = definition.loads(text)
    found = plan.launch_plan(read)
    check_edges(found)
    ends = {
        name: [step for step in found if plan.group_id(step.group) == f"service-{name}"][-1]
        for name in read.services
    }
    for name, service in read.services.items():
        own = [step for step in found if plan.group_id(step.group) == f"service-{name}"]
        for step in own:
            # A grant is work on one needed service; everything else waits for all of them.
            awaited = {step.service} if step.peer else {each.service for each in service.depends_on}
            assert {ends[name].id for name in awaited if name} <= before(found, step.id)
        granted = {step.service for step in own if step.kind is StepKind.GRANT_ACCESS}
        assert granted == {each.service for each in service.depends_on if each.datasource}
        # A master is opened for its replicants after that; its dependents wait for them.
        assert "awaitService" in ends[name].scripts
    for balancer, each in read.load_balancers.items():
        assert ends[each.service].id in before(found, f"balancer-{balancer}.start_proxy")
    for before_, after in found.edges:
        assert found.by_id[before_].phase <= found.by_id[after].phase
    assert before(found, "finish_launch") == {step.id for step in found} - {"finish_launch"}

    termination = plan.termination_plan(read)
    check_edges(termination)
    assert before(termination, "finish_termination") == {step.id for step in termination} - {
        "finish_termination"
    }
    for name, service in read.services.items():
        for needed in {each.service for each in service.depends_on}:
            assert f"service-{name}.stop_service" in before(termination, f"service-{needed}.stop_service")


def check_edges(found: plan.Plan) -> None:
    place = {step.id: number for number, step in enumerate(found)}
    assert len(place) == len(found.steps)
    tuple(graphlib.TopologicalSorter({step.id: step.upstream for step in found}).static_order())
    assert all(place[earlier] < place[later] for earlier, later in found.edges)
    assert all(len(set(step.upstream)) == len(step.upstream) for step in found)
    assert all(_names_what_it_works_on(step) for step in found)


def _names_what_it_works_on(step: Step) -> bool:
    return step.tier is not None or not (step.per_server or step.scripts)


def test_load_balancers_that_share_a_port_of_a_machine_are_told_one_after_the_other() -> None:
    text = deployment({"one": {}, "two": {}, "three": {}}, tiers=["proxy"])
    written = yaml.safe_load(text)
    written["load_balancers"] = {
        name: {"tier": "proxy", "service": name, "port": port, "name": f"{name}.example.com"}
        for name, port in (("one", 80), ("two", 80), ("three", 8080))
    }
    # On TCP nobody says which name it wants.
    for service in written["services"].values():
        service["protocol"] = "http"
    steps = launch(yaml.safe_dump(written, sort_keys=False)).by_id
    assert "balancer-one.start_proxy" in steps["balancer-two.start_proxy"].upstream
    assert not any("start_proxy" in each for each in steps["balancer-one.start_proxy"].upstream)
    assert not any("start_proxy" in each for each in steps["balancer-three.start_proxy"].upstream)
