"""What a preview says of servers that are lost, and of the data that is lost with them."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import pytest

from gantry import definition, inventory, names, preflight, requests
from gantry.agent.reachability import Contact, ServerAnswer
from gantry.cloud import backups, clients, health, objects
from gantry.cloud import servers as cloud_servers
from gantry.plan import StepKind, launch_plan
from gantry.preview import data_loss, dry_run, report, scaling, state
from gantry.preview.report import Action
from gantry.reconcile import data_history, data_loss_check, data_renewal, replacement, server_health

from .stages import DEFINITION, NEW, Story
from .test_scaling import Cloud

BACKED_UP = f"{DEFINITION}backups: {{of: {{rows: db.catalog}}, to: s3://bookshop/backups/}}\n"
KNOWN = definition.loads(BACKED_UP)
SINCE = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
SHORT = ("database-1", "application-1", "application-2", "proxy-1")
DATABASE = names.ServerName("bookshop-database-1")
URL = "s3://bookshop/backups/bookshop/rows/20260301T020000Z-1a2b3c.sql"


class Vault:
    """S3 with one backup."""

    def __init__(self, *, empty: bool = False) -> None:
        self.empty = empty
        self.manifest = backups.Manifest(
            object=URL.rpartition("/")[2],
            deployment=names.DeploymentName("bookshop"),
            backup=names.BackupName("rows"),
            service=names.ServiceName("db"),
            datasource=names.DatasourceName("catalog"),
            size=1,
            sha256="a" * 64,
            time=SINCE,
            archive="1",
        )

    def names_in(self, _: str) -> list[str]:
        name = self.manifest.object
        return [] if self.empty else [name, f"{name}{backups.MANIFEST}"]

    def read(self, *_: str) -> str:
        return self.manifest.model_dump_json()

    def facts(self, url: str, _: str) -> objects.ObjectFacts:
        return objects.ObjectFacts(url, "1", 1)

    def link(self, _: str) -> str:
        return "https://link"


def server(short: str) -> inventory.Server:
    return dataclasses.replace(Story().server(short), image="ami-1", size="t3.small")


def trouble(short: str, minutes: float) -> server_health.UnhealthyServer:
    due = SINCE + datetime.timedelta(minutes=minutes)
    return server_health.UnhealthyServer(
        server(short), "it does not answer (no route)", inventory.Ailing(SINCE, SINCE), due
    )


def foreseen(
    present: tuple[str, ...] = SHORT,
    findings: server_health.HealthReport = server_health.NOTHING,
    kept: Mapping[str, Any] | None = None,
    *,
    vault: Vault | None = None,
    from_dump: tuple[str, ...] = (),
    from_backup: tuple[str, ...] = (),
    ran: bool = False,
) -> tuple[scaling.Scaled, data_renewal.Renewals]:
    memory = data_loss.StoredFacts(kept, ran=ran)
    wanted = requests.LaunchRequest(from_dump=tuple(from_dump), from_backup=tuple(from_backup))
    cloud = Cloud(tuple(map(server, present)))
    scaled = scaling.scale(cast("Any", cloud), KNOWN, requests.LaunchRequest().sizes(KNOWN), findings)
    return data_loss.foresee(KNOWN, scaled, findings, cast("Any", vault or Vault()), wanted, memory)


def reported(scaled: scaling.Scaled, name: str) -> list[report.ServerPreview]:
    return [each for each in scaled.report(KNOWN, {}) if each.name == name]


def test_a_lost_server_is_replaced_once_and_says_why() -> None:
    scaled, _ = foreseen(findings=server_health.HealthReport(lost=(trouble("application-2", 5),)))
    (found,) = reported(scaled, "bookshop-application-2")
    assert (found.action, found.instance) == (Action.REPLACE, "i-application-2")
    assert found.notes == (
        "i-application-2 is lost: it does not answer (no route), since 2026-03-01 12:00:00 UTC",
    )
    assert [each.action for each in scaled.report(KNOWN, {})].count(Action.KEEP) == 3


def test_one_that_has_time_left_is_kept_and_told_until_when() -> None:
    scaled, _ = foreseen(findings=server_health.HealthReport(ailing=(trouble("application-2", 5),)))
    (found,) = reported(scaled, "bookshop-application-2")
    assert found.action is Action.KEEP
    assert "it counts as lost if a check from 2026-03-01 12:05:00 UTC on finds the same" in found.notes[-1]


def test_a_lost_database_is_restored_in_the_preview_as_in_the_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    scaled, renewals = foreseen(findings=server_health.HealthReport(lost=(trouble("database-1", 5),)))
    assert [(each.slots, list(each.backups)) for each in renewals] == [((1,), ["catalog"])]
    stage = dry_run.DryRunContext(
        KNOWN, launch_plan(KNOWN), requests.LaunchRequest(), scaled, cast("Any", Vault()), renewals
    )
    walked = dry_run.walk(stage, {DATABASE: state.ServerState()})
    (loading,) = [each for each in walked.changes if each.kind is StepKind.INSTALL_DATASOURCES]
    assert loading.reasons == (f"lost with its server; restored from {URL}",)


def test_without_a_backup_the_preview_is_refused_as_the_launch_is() -> None:
    findings = server_health.HealthReport(lost=(trouble("database-1", 5),))
    with pytest.raises(data_renewal.DataLostError):
        foreseen(findings=findings, vault=Vault(empty=True))
    _, (renewal,) = foreseen(findings=findings, vault=Vault(empty=True), from_dump=("db.catalog",))
    assert renewal.backups == {}


def test_a_database_that_is_gone_is_known_to_airflow_alone() -> None:
    present = SHORT[1:]
    scaled, renewals = foreseen(present)
    assert renewals == ()
    (found,) = reported(scaled, DATABASE)
    assert found.action is Action.START
    assert "Airflow knows, and cannot be asked from here" in found.notes[-1]
    noted = {"data:db:1": {"instance": "i-database-1", "renewed": False}}
    _, (renewal,) = foreseen(present, kept=noted)
    assert renewal.slots == (1,)


def test_a_database_of_which_nothing_is_noted_is_asked_about_in_the_preview_as_in_the_launch() -> None:
    present = SHORT[1:]
    for empty, ran, there in ((False, False, ()), (True, True, ()), (True, False, present)):
        with pytest.raises(data_renewal.UnknownDataError):
            foreseen(there, kept={}, ran=ran, vault=Vault(empty=empty))
    _, (renewal,) = foreseen(present, kept={}, from_backup=("db.catalog",))
    assert (renewal.slots, list(renewal.backups)) == ((1,), ["catalog"])
    _, (renewal,) = foreseen(present, kept={}, from_dump=("db.catalog",))
    assert renewal.backups == {}
    # A first launch, and one that goes on with a first launch that failed.
    assert foreseen((), kept={}, vault=Vault(empty=True))[1] == ()
    assert foreseen(present, kept={data_history.COMPLETE: "2026"}, vault=Vault(empty=True), ran=True)[1] == ()


def test_before_the_first_launch_there_is_nothing_to_wonder_about() -> None:
    scaled, renewals = foreseen(())
    assert renewals == ()
    assert all(each.notes == () for each in scaled.report(KNOWN, {}))
    assert len(NEW) == len(tuple(scaled.report(KNOWN, {})))


@dataclasses.dataclass
class Seen:
    """A cloud that says how its servers are, and notes nothing: a preview may not."""

    found: inventory.Inventory

    def find(self) -> inventory.Inventory:
        return self.found

    def impaired(self, _: object) -> dict[str, str]:
        return {}


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> Callable[..., report.Report]:
    """Rehearses a launch of a deployment with these servers, which are met like that."""

    def look(found: inventory.Inventory, answers: Mapping[str, Contact], **kept: Any) -> report.Report:
        def meet(_: object, servers: Iterable[inventory.Server], __: object) -> dict[str, ServerAnswer]:
            return {each.name: ServerAnswer(answers[each.instance_id], "why") for each in servers}

        # What is looked at before has tests of its own.
        monkeypatch.setattr(preflight, "examine", lambda *_: iter(()))
        monkeypatch.setattr(clients, "ec2", lambda _: None)
        monkeypatch.setattr(cloud_servers, "Servers", lambda *_: Seen(found))
        monkeypatch.setattr(health, "Health", lambda *_: Seen(found))
        monkeypatch.setattr(server_health, "meet", meet)
        return dry_run.rehearse(KNOWN, requests.LaunchRequest(), kept)

    return look


def test_a_preview_is_refused_as_a_launch_is_where_a_lost_database_has_come_back(
    looking: Callable[..., report.Report],
) -> None:
    old = dataclasses.replace(server("database-1"), lost="it does not answer (no route), since June")
    found = inventory.Inventory((server("application-1"),), (old,))
    with pytest.raises(data_loss_check.ReturnedServersError, match="it answers now"):
        looking(found, dict.fromkeys(("i-database-1", "i-application-1"), Contact.ANSWERS))


def test_a_preview_is_refused_as_a_launch_is_where_the_only_server_is_silent(
    looking: Callable[..., report.Report],
) -> None:
    now = datetime.datetime.now(tz=datetime.UTC)
    looks = inventory.Ailing(
        now - datetime.timedelta(hours=1), now - datetime.timedelta(minutes=1), unproven=True
    )
    only = dataclasses.replace(server("application-1"), ailing=looks, launched_at=looks.since)
    with pytest.raises(
        replacement.NoServerAnswersError, match="no other one shows whether the network path works"
    ):
        looking(inventory.Inventory((only,)), {"i-application-1": Contact.SILENT})
