"""What a preview says of servers that are lost, and of the data that is lost with them."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any, cast

import pytest

from gantry import definition, inventory, names
from gantry.cloud import backups
from gantry.operators import data, lost
from gantry.plan import StepKind, launch_plan
from gantry.preview import losses, rehearsal, report, scaling, state, wishes
from gantry.preview.report import Action

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

    def facts(self, *_: str) -> Any:
        return dataclasses.make_dataclass("Facts", ["size", "version"])(1, "1")

    def link(self, _: str) -> str:
        return "https://link"


def server(short: str) -> inventory.Server:
    return dataclasses.replace(Story().server(short), image="ami-1", size="t3.small")


def trouble(short: str, minutes: float) -> lost.Trouble:
    due = SINCE + datetime.timedelta(minutes=minutes)
    return lost.Trouble(server(short), "it does not answer (no route)", SINCE, due)


def foreseen(
    present: tuple[str, ...] = SHORT,
    findings: lost.Findings = lost.NOTHING,
    kept: Mapping[str, Any] | None = None,
    *,
    vault: Vault | None = None,
    from_dump: tuple[str, ...] = (),
) -> tuple[scaling.Scaled, data.Renewals]:
    memory = losses.Kept(kept)
    cloud = Cloud(tuple(map(server, present)))
    scaled = scaling.scale(cast("Any", cloud), KNOWN, wishes.Wishes().wanted(KNOWN), findings)
    return losses.foresee(KNOWN, scaled, findings, cast("Any", vault or Vault()), from_dump, memory)


def reported(scaled: scaling.Scaled, name: str) -> list[report.Server]:
    return [each for each in scaled.report(KNOWN, {}) if each.name == name]


def test_a_lost_server_is_replaced_once_and_says_why() -> None:
    scaled, _ = foreseen(findings=lost.Findings(lost=(trouble("application-2", 5),)))
    (found,) = reported(scaled, "bookshop-application-2")
    assert (found.action, found.instance) == (Action.REPLACE, "i-application-2")
    assert found.notes == (
        "i-application-2 is lost: it does not answer (no route), since 2026-03-01 12:00:00 UTC",
    )
    assert [each.action for each in scaled.report(KNOWN, {})].count(Action.KEEP) == 3


def test_one_that_has_time_left_is_kept_and_told_until_when() -> None:
    scaled, _ = foreseen(findings=lost.Findings(ailing=(trouble("application-2", 5),)))
    (found,) = reported(scaled, "bookshop-application-2")
    assert found.action is Action.KEEP
    assert "it counts as lost, and is replaced, from 2026-03-01 12:05:00 UTC on" in found.notes[-1]


def test_a_lost_database_is_restored_in_the_preview_as_in_the_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    scaled, renewals = foreseen(findings=lost.Findings(lost=(trouble("database-1", 5),)))
    assert [(each.slots, list(each.backups)) for each in renewals] == [((1,), ["catalog"])]
    stage = rehearsal.Stage(
        KNOWN, launch_plan(KNOWN), wishes.Wishes(), scaled, cast("Any", Vault()), renewals
    )
    walked = rehearsal.walk(stage, {DATABASE: state.State()})
    (loading,) = [each for each in walked.changes if each.kind is StepKind.INSTALL_DATASOURCES]
    assert loading.reasons == (f"lost with its server; restored from {URL}",)


def test_without_a_backup_the_preview_is_refused_as_the_launch_is() -> None:
    findings = lost.Findings(lost=(trouble("database-1", 5),))
    with pytest.raises(data.DataLostError):
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
    scaled, renewals = foreseen(present, kept={})
    assert (renewals, reported(scaled, DATABASE)[0].notes) == ((), ())


def test_before_the_first_launch_there_is_nothing_to_wonder_about() -> None:
    scaled, renewals = foreseen(())
    assert renewals == ()
    assert all(each.notes == () for each in scaled.report(KNOWN, {}))
    assert len(NEW) == len(tuple(scaled.report(KNOWN, {})))
