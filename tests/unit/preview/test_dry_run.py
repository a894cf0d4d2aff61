"""A launch walked through: what each server would be done to, and why."""

from __future__ import annotations

import dataclasses
import json

import pytest

from gantry import definition, errors, names, requests
from gantry.agent import agent_bundle
from gantry.plan import StepKind
from gantry.preview import dry_run, report, state

from . import stages
from .stages import ADDRESSES, DEFINITION, NEW, PASSWORD, Story, changed, restarted, scripts

RESTART = ["stopService", "startService", "awaitService"]
CONFIGURE = ["putConfig", "configureService", *RESTART]
INSTALL = ["downloadFile", "installService"]
COMPARE = ["downloadFile", "compareObject"]
APP_CONFIG = "/mnt/services/a1002/cfg/enstratus.cfg"
CHEF = DEFINITION.replace(
    "{connection: bookshop_ssh}}", "{connection: bookshop_ssh}, chef: {connection: chef}}"
)


@pytest.fixture
def launched() -> stages.States:
    """The servers after a first launch."""
    return Story().walk().states


def whole(walked: dry_run.Walked) -> str:
    """All that a report says."""
    found = report.Report(
        names.DeploymentName("bookshop"), (), walked.objects, walked.changes, walked.repeated
    )
    return json.dumps(found.as_json())


def test_a_first_launch_does_on_new_servers_what_the_page_says() -> None:
    walked = Story().but(addresses=NEW).walk()
    assert scripts(walked) == {
        "database-1": [*INSTALL, "downloadFile", "installDataSource", *CONFIGURE, "grantDatabaseAccess"],
        "application-1": [*INSTALL, *CONFIGURE],
        "application-2": [*INSTALL, *CONFIGURE],
        "proxy-1": ["startProxy", "startProxy"],
    }
    assert walked.repeated == ()
    assert walked.objects == (), "nothing is changed where there was nothing"


def test_addresses_of_servers_that_are_not_started_are_known_after_the_launch() -> None:
    walked = Story().but(addresses={**ADDRESSES, "application-2": None}).walk()
    by_kind = {each.kind: each for each in walked.changes if each.server != "bookshop-application-1"}
    assert by_kind[StepKind.GRANT_ACCESS].details == (
        "app on db.catalog for 10.0.0.21, (known after launch)",
    )
    assert by_kind[StepKind.START_PROXY].details == (
        "joins: bookshop-application-1 10.0.0.21, bookshop-application-2 (known after launch)",
    )
    assert "+addresses=(known after launch)" in by_kind[StepKind.CONFIGURE].diff
    assert "{address of" not in whole(walked)
    assert "{instance of" not in whole(walked)


def test_after_a_launch_a_second_one_finds_nothing_but_nodes_that_join_again() -> None:
    walked = Story().walk(stages.with_files(Story().walk()))
    assert walked.changes == ()
    (joins,) = walked.repeated
    assert [call.script for call in joins.calls] == ["startProxy", "startProxy"]


def test_a_changed_fact_restarts_its_service_and_shows_the_difference(launched: stages.States) -> None:
    story = Story().but(text=DEFINITION.replace("Hello", "Welcome"))
    states = changed(launched, "application-1", configs={APP_CONFIG: "[custom]\ngreeting=Hello\n"})
    walked = story.walk(states)
    assert restarted(walked) == ["application-1", "application-2"]
    first = next(each for each in walked.changes if each.restarts)
    assert first.kind is StepKind.UPDATE
    assert first.reasons == ("enstratus.cfg changes",)
    assert "-greeting=Hello" in first.diff
    assert "+greeting=Welcome from bookshop-application-1" in first.diff


def test_a_changed_archive_is_installed_and_its_service_restarted(launched: stages.States) -> None:
    walked = Story().but(versions={"appService.tar.gz": "2"}).walk(launched)
    assert walked.objects == (
        report.ChangedObject(
            report.ObjectKind.ARCHIVE,
            "app",
            "s3://bookshop/appService.tar.gz",
            (names.ServerName("bookshop-application-1"), names.ServerName("bookshop-application-2")),
        ),
    )
    assert scripts(walked)["application-1"] == [*COMPARE, "keepService", *INSTALL, *CONFIGURE]
    assert {each.reasons for each in walked.changes if each.service == "app" and each.restarts} == {
        ("the archive has changed",)
    }
    (reason,) = {
        each.reasons for each in walked.changes if COMPARE[1] in {call.script for call in each.calls}
    }
    assert reason == ("the object has changed: its content is compared before anything is installed",)


def test_an_archive_that_is_known_to_be_another_one_is_checked_before_a_server_leaves(
    launched: stages.States,
) -> None:
    pinned = DEFINITION.replace("appService.tar.gz\n", f"appService.tar.gz\n    sha256: {'a' * 64}\n")
    walked = Story().but(text=pinned, versions={"appService.tar.gz": "2"}).walk(launched)
    assert scripts(walked)["application-1"][:3] == ["downloadFile", "checkArchive", "keepService"]
    first = walked.changes[0]
    assert (first.service, first.reasons) == (
        "app",
        ("the archive has changed: it is checked before a server leaves its load balancers",),
    )


def test_servers_of_a_balanced_service_are_out_of_the_balancer_one_after_the_other() -> None:
    launched = stages.with_files(Story().walk())
    walked = Story().but(versions={"appService.tar.gz": "2"}).walk(launched)
    assert {call.script for each in walked.changes[:2] for call in each.calls} == set(COMPARE)
    assert [(each.server.removeprefix("bookshop-"), each.details) for each in walked.changes[2:]] == [
        ("proxy-1", ("leaves: bookshop-application-1 10.0.0.21",)),
        ("application-1", ()),
        ("proxy-1", ("joins again: bookshop-application-1 10.0.0.21",)),
        ("proxy-1", ("leaves: bookshop-application-2 10.0.0.22",)),
        ("application-2", ()),
        ("proxy-1", ("joins again: bookshop-application-2 10.0.0.22",)),
    ]
    assert scripts(walked)["proxy-1"] == ["stopProxy", "awaitDrained", "startProxy"] * 2
    assert {each.kind for each in walked.changes[2:]} == {StepKind.UPDATE}


def test_a_balanced_service_that_is_to_be_redeployed_is_so_once_and_by_its_update() -> None:
    launched = stages.with_files(Story().walk())
    walked = Story().but(request=requests.LaunchRequest(redeploy=("app",))).walk(launched)
    assert scripts(walked)["application-1"] == ["keepService", *INSTALL, *CONFIGURE]
    assert scripts(walked)["proxy-1"] == ["stopProxy", "awaitDrained", "startProxy"] * 2
    assert {each.reasons for each in walked.changes if each.restarts} == {("redeploy is asked for",)}


def test_both_leave_at_once_where_the_definition_says_so_and_the_one_that_serves_nobody_is_first() -> None:
    launched = stages.with_files(Story().walk())
    together = DEFINITION.replace(
        "    port: 8000\n", "    port: 8000\n    update: {batch: 100%, order: reverse}\n"
    )
    walked = Story().but(text=together, versions={"appService.tar.gz": "2"}).walk(launched)
    assert scripts(walked)["proxy-1"] == ["stopProxy"] * 2 + ["awaitDrained"] * 2 + ["startProxy"] * 2
    assert restarted(walked) == ["application-2", "application-1"]
    broken = changed(launched, "application-2", checks={"a1002": "no"})
    assert restarted(Story().but(versions={"appService.tar.gz": "2"}).walk(broken)) == [
        "application-2",
        "application-1",
    ]


def test_who_is_out_and_runs_as_it_should_is_back_before_another_leaves() -> None:
    launched = stages.with_files(Story().walk())
    proxy = names.ServerName("bookshop-proxy-1")
    marks = {key: value for key, value in launched[proxy].marks.items() if not key.endswith("10.0.0.21")}
    states = changed(
        changed(launched, "proxy-1", marks=marks), "application-2", checks={"a1002": "it has died"}
    )
    walked = Story().walk(states)
    assert walked.changes[0].details == ("joins again: bookshop-application-1 10.0.0.21",)
    assert scripts(walked)["proxy-1"] == ["startProxy", "stopProxy", "awaitDrained", "startProxy"]


def test_what_an_older_version_has_installed_is_made_roots_and_restarts_nothing() -> None:
    launched = stages.with_files(Story().walk())
    app = launched[names.ServerName("bookshop-application-1")]
    marks = {key: each for key, each in app.marks.items() if not key.endswith(("/owned", "/handed"))}
    walked = Story().walk(changed(launched, "application-1", marks=marks))
    assert scripts(walked) == {"application-1": [*INSTALL, "putConfig"]}
    assert all("made root's" in each.reasons[0] for each in walked.changes)
    assert restarted(walked) == []


def test_a_dump_in_another_object_is_compared_and_not_loaded(launched: stages.States) -> None:
    walked = Story().but(versions={"datasource.sql": "2"}).walk(launched)
    assert scripts(walked)["database-1"] == COMPARE
    assert walked.changes[0].reasons == (
        "the object has changed: its content is compared, and nothing is loaded",
    )


def test_a_dump_that_is_known_to_have_changed_is_told_of_and_is_nothing_that_a_launch_does(
    launched: stages.States,
) -> None:
    pinned = DEFINITION.replace("datasource.sql,", f"datasource.sql, sha256: {'a' * 64},")
    walked = Story().but(text=pinned, versions={"datasource.sql": "2"}).walk(launched)
    assert "database-1" not in scripts(walked)
    (found,) = walked.objects
    assert (found.kind, found.of, found.held) == (report.ObjectKind.DATASOURCE, "db.catalog", True)


def test_a_dump_is_loaded_over_live_data_where_a_person_wants_it(launched: stages.States) -> None:
    wanted = requests.LaunchRequest(reload_dump=("db.catalog",))
    walked = Story().but(request=wanted).walk(launched)
    assert scripts(walked)["database-1"] == ["downloadFile", "installDataSource"]
    assert restarted(walked) == []
    change = walked.changes[0]
    assert change.reasons == ("reload is asked for, in place of the data that is there",)
    with pytest.raises(requests.UnknownChoiceError, match=r"db\.katalog"):
        requests.LaunchRequest(reload_dump=("db.katalog",)).check_for(definition.loads(DEFINITION))


def test_one_more_server_is_granted_and_joined_and_the_others_are_let_be(launched: stages.States) -> None:
    more = Story().but(addresses={**ADDRESSES, "application-3": None})
    walked = more.walk({**launched, names.ServerName("bookshop-application-3"): state.ServerState()})
    assert scripts(walked) == {
        "application-3": [*INSTALL, *CONFIGURE],
        "database-1": ["grantDatabaseAccess"],
        "proxy-1": ["startProxy"] * 3,
    }


def test_a_node_that_is_gone_leaves(launched: stages.States) -> None:
    fewer = {name: address for name, address in ADDRESSES.items() if name != "application-2"}
    walked = (
        Story()
        .but(addresses=fewer)
        .walk({name: each for name, each in launched.items() if not name.endswith("application-2")})
    )
    (proxy,) = [each for each in walked.changes if each.kind is StepKind.START_PROXY]
    assert proxy.details[0] == "leaves: 10.0.0.22"
    assert [call.script for call in proxy.calls] == ["stopProxy", "startProxy"]


def test_a_service_whose_check_is_not_ok_is_restarted_and_its_answer_is_the_reason(
    launched: stages.States,
) -> None:
    walked = Story().walk(changed(launched, "application-2", checks={"a1002": "no\x1b[31m answer\n"}))
    (change,) = [each for each in walked.changes if each.restarts]
    assert (change.server, change.reasons) == ("bookshop-application-2", ("its check says: no[31m answer",))
    assert [call.script for call in change.calls] == RESTART


def test_what_an_earlier_launch_did_not_get_through_is_said_so(launched: stages.States) -> None:
    marks = dict(launched[names.ServerName("bookshop-application-1")].marks)
    del marks["a1002/applied"]
    walked = Story().walk(changed(launched, "application-1", marks=marks))
    (change,) = [each for each in walked.changes if each.restarts]
    assert change.reasons == ("an earlier launch did not get through this step",)


def test_a_redeploy_is_installed_configured_and_restarted_in_any_case(launched: stages.States) -> None:
    walked = Story().but(request=requests.LaunchRequest(redeploy=("db",))).walk(launched)
    assert scripts(walked)["database-1"] == [*INSTALL, *CONFIGURE]
    assert {each.reasons for each in walked.changes if each.server == "bookshop-database-1"} == {
        ("redeploy is asked for",)
    }
    assert walked.objects == ()


def test_with_the_other_order_the_restart_comes_after_the_datasource_and_has_the_same_reason(
    launched: stages.States,
) -> None:
    text = DEFINITION.replace("    port: 3306\n", "    port: 3306\n    order: configure-first\n")
    walked = Story().but(text=text).walk()
    on_database = [each for each in walked.changes if each.server == "bookshop-database-1"]
    assert [each.kind for each in on_database] == [
        StepKind.INSTALL_SERVICES,
        StepKind.CONFIGURE,
        StepKind.INSTALL_DATASOURCES,
        StepKind.RESTART,
        StepKind.GRANT_ACCESS,
    ]
    assert on_database[3].reasons == ("newly installed",)
    again = Story().but(text=text).walk(walked.states)
    assert "database-1" not in scripts(again)


def test_on_a_server_that_does_not_answer_nothing_is_decided(launched: stages.States) -> None:
    known = {name: each for name, each in launched.items() if name != "bookshop-database-1"}
    walked = Story().but(text=DEFINITION.replace("Hello", "Welcome")).walk(known)
    assert "database-1" not in scripts(walked)
    assert restarted(walked) == ["application-1", "application-2"]


def test_a_configuration_that_root_must_not_follow_is_said_and_not_shown(launched: stages.States) -> None:
    states = changed(launched, "application-1", unreadable={APP_CONFIG: "is a link"})
    walked = Story().but(text=DEFINITION.replace("Hello", "Welcome")).walk(states)
    first = next(each for each in walked.changes if each.restarts)
    assert first.reasons == (f"no diff: {APP_CONFIG} is a link",)
    assert first.diff == ()


def test_scripts_that_the_handshake_would_send_are_a_change(launched: stages.States) -> None:
    walked = Story().walk(changed(launched, "database-1", stale=("bin/job",)))
    assert (walked.changes[0].kind, walked.changes[0].files) == (StepKind.HANDSHAKE, ("/enstratus/bin/job",))
    assert {file.path for file in agent_bundle.bundle().files} >= {"bin/job"}


def test_no_secret_is_in_what_is_said() -> None:
    # Also where somebody has written the account's password into a fact of their own.
    text = DEFINITION.replace("api_token: sesame", f'api_token: sesame, dsn: "mysql://shopper:{PASSWORD}@db"')
    said = whole(Story().but(text=text).walk())
    assert "+dsn=(secret)" in said
    for secret in (PASSWORD, "sesame", "s3cr3t", "X-Amz-Signature"):
        assert secret not in said


def test_chef_runs_where_it_has_not_and_where_what_it_depends_on_changed(
    monkeypatch: pytest.MonkeyPatch, pem: str
) -> None:
    connection = {"conn_type": "chef", "host": "https://chef.example.com", "login": "v", "password": pem}
    monkeypatch.setenv("AIRFLOW_CONN_CHEF", json.dumps(connection))
    story = Story().but(text=CHEF)
    first = story.walk()
    on_proxy = [each for each in first.changes if each.server == "bookshop-proxy-1"]
    assert on_proxy[0].files[0] == "/enstratus/ws/chef/first-boot.json"
    assert [call.script for call in on_proxy[1].calls] == ["runConfigurationManagement-CHEF"]
    assert on_proxy[1].reasons == ("has not succeeded here yet",)
    # As a launch would have left it, and not a rehearsal, whose own steps would know their mark again.
    registered = {
        name: dataclasses.replace(
            each,
            digests={**each.digests, "/etc/chef/client.pem": "1"},
            marks={key: value.replace(" plan.", " run.") for key, value in each.marks.items()},
        )
        for name, each in first.states.items()
    }
    chef_kinds = {StepKind.PREPARE_CONFIGURATION_MANAGEMENT, StepKind.EXECUTE_CONFIGURATION_MANAGEMENT}
    assert [each for each in story.walk(registered).changes if each.kind in chef_kinds] == []
    for other, reason in (
        (story.but(request=requests.LaunchRequest(converge=("proxy",))), "converge is asked for"),
        (
            story.but(
                text=CHEF.replace("servers: 1}\nservices", "servers: 1, attributes: {a: 1}}\nservices")
            ),
            "what it depends on has changed: run list, attributes, environment, server or program",
        ),
    ):
        runs = [
            each
            for each in other.walk(registered).changes
            if each.kind is StepKind.EXECUTE_CONFIGURATION_MANAGEMENT
        ]
        assert [(each.server, each.reasons) for each in runs] == [("bookshop-proxy-1", (reason,))]
    assert pem.splitlines()[1] not in whole(first)


def test_what_a_launch_would_fail_at_is_the_same_error() -> None:
    with pytest.raises(errors.GantryError, match=r"services\.app\.custom\.greeting: division by zero"):
        Story().but(text=DEFINITION.replace("server.name", "1 / 0")).walk()
