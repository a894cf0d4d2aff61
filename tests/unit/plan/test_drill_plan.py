"""What a drill launches, and what it does in which order."""

from __future__ import annotations

import pytest
from tests.unit.dag.definitions import HEAD, REPLICATED, service

from gantry import definition, names, plan
from gantry.cloud import requests
from gantry.definition import drills
from gantry.plan import StepKind

TEXT = (
    HEAD
    + 'server_name: "{{ tier.name }}{{ server.slot }}"\non_failure: remove_new\napproval: {}\n'
    + "tiers: {data: {launch_configuration: debian, servers: 3}, web: {launch_configuration: debian, servers: "
    + "{min: 2, max: 4}}, edge: {launch_configuration: debian, servers: 1}}\n"
    + f"services: {{app: {service(2, 'web', 'db.main')}, beside: {service(3, 'data')},"
    + f" db: {service(1, 'data', data='main', more=REPLICATED)}}}\n"
    + "load_balancers: {front: {tier: edge, service: app, port: 80, name: a.example.com}}\n"
    + "backups:\n  of: {files: app, rows: db.main}\n  to: s3://shop/backups/\n"
)
DRILL = '  drill: {schedule: "@weekly", check: {rows: "true"}}\n'


@pytest.fixture
def known() -> definition.Definition:
    return definition.loads(TEXT + DRILL)


def test_one_server_of_each_tier_that_is_needed_and_nobody_in_front(known: definition.Definition) -> None:
    copy = drills.throw_away(known)
    assert copy.deployment == "shop--drill"
    assert {name: (each.servers.min, each.servers.max) for name, each in copy.tiers.items()} == {
        "data": (1, 1),
        "web": (1, 1),
    }
    assert set(copy.services) == {"app", "db"}
    assert copy.load_balancers == {}
    assert copy.services[names.ServiceName("db")].replication is None
    # Also where a template would give the very names that servers of the deployment have.
    assert copy.name_of(names.TierName("data"), 1) == "shop--drill-data-1"
    assert copy.backups is not None
    # Those of services that others depend on come first.
    assert list(copy.backups.of) == ["rows", "files"]


def test_only_what_is_drilled_is_launched() -> None:
    copy = drills.throw_away(definition.loads(TEXT + "  drill: {of: [rows]}\n"))
    assert (set(copy.tiers), set(copy.services)) == ({"data"}, {"db"})
    assert copy.backups is not None
    assert list(copy.backups.of) == ["rows"]


def test_a_name_is_one_that_no_person_can_give(known: definition.Definition) -> None:
    name = names.of_drill(known.deployment)
    assert names.deployment_of(name) == names.deployment_of(known.deployment) == "shop"
    with pytest.raises(definition.DefinitionError):
        definition.loads(TEXT.replace("deployment: shop\n", f"deployment: {name}\n"))


def test_its_servers_are_made_like_the_deployments_and_found_by_another_tag() -> None:
    volumes = "volumes: [{device: /dev/xvdb, size: 10, delete_on_termination: false}]"
    known = definition.loads(TEXT.replace("{image: ami-1, ", f"{{image: ami-1, {volumes}, ") + DRILL)
    tier = names.TierName("data")

    def request(text: definition.Definition) -> dict[str, object]:
        return dict(
            requests.run_instances(text, tier, [names.Slot(1)], image_id="ami-1", boot="", token="t", run="r")
        )

    ours, theirs = request(drills.throw_away(known)), request(known)
    different = {key for key in ours if ours[key] != theirs[key]}
    assert different == {"TagSpecifications", "BlockDeviceMappings"}
    assert "'gantry:deployment', 'Value': 'shop--drill'" in str(ours["TagSpecifications"])
    # Nobody would ever find a volume that is kept.
    assert "'DeleteOnTermination': True" in str(ours["BlockDeviceMappings"])


def test_the_newest_backup_is_chosen_before_anything_is_started(known: definition.Definition) -> None:
    found = plan.drill_plan(known)
    assert [step.id for step in found.steps[:2]] == ["turn", "choose_backups"]
    assert found.by_id["choose_backups"].upstream == ("turn",)
    for step in found:
        if step.kind is StepKind.SCALE_UP:
            assert step.upstream == ("choose_backups",)


def test_a_launch_then_the_restores_in_the_order_of_the_services_then_the_checks(
    known: definition.Definition,
) -> None:
    found = plan.drill_plan(known)
    copy = plan.launch_plan(drills.throw_away(known))
    of_launch = {step.id for step in copy} - {"turn", "find_lost", "finish_launch"}
    assert of_launch < {step.id for step in found}
    # The application's own database is opened for it, and no other.
    assert "service-app.grant_access_on_db" in of_launch
    assert found.by_id["backup-rows.restore"].upstream == ("service-app.configure",)
    assert found.by_id["backup-rows.check_backup"].upstream == ("backup-rows.restore",)
    assert found.by_id["backup-files.restore"].upstream == (
        "service-app.configure",
        "backup-rows.check_backup",
    )
    assert "backup-files.check_backup" not in found.by_id


def test_the_servers_go_whatever_happened_and_the_end_comes_after_that(known: definition.Definition) -> None:
    found = plan.drill_plan(known)
    remove, finish = found.by_id["remove_drill_servers"], found.by_id["finish_drill"]
    assert remove.always
    assert set(remove.upstream) == {step.id for step in found} - {remove.id, finish.id}
    assert not finish.always
    # Whoever failed holds it up, so a run that failed does not end with the removal's success.
    assert set(finish.upstream) == {"backup-files.restore", remove.id}
    assert found.cleanup is None
    assert [step.id for step in found if step.always] == [remove.id]


def test_the_deployments_servers_are_none_of_a_drills(known: definition.Definition) -> None:
    found = plan.drill_plan(known)
    called = {name for each in found.tiers for name in each.names}
    assert called == {"shop--drill-data-1", "shop--drill-web-1"}
