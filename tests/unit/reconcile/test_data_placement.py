"""What is remembered of databases, and what a server that takes a lost one's place is filled with."""

from __future__ import annotations

import dataclasses
import datetime

import pytest

from gantry import definition, inventory, names
from gantry.agent import downloads, fan_out
from gantry.cloud import backups
from gantry.reconcile import data_placement, data_renewal, datasource_work
from tests.unit.agent.world import DEFINITION, World
from tests.unit.operators.world import Store

BACKED_UP = f"{DEFINITION}backups: {{of: {{rows: db.catalog}}, to: s3://bookshop/backups/}}\n"
COPIED = DEFINITION.replace(
    "    port: 3306\n", "    port: 3306\n    replication: {connection: copier}\n"
).replace(
    "database:    {launch_configuration: debian, servers: 1}",
    "database:    {launch_configuration: debian, servers: 3}",
)
DB, DATABASE, CATALOG = names.ServiceName("db"), names.TierName("database"), names.DatasourceName("catalog")
FIRST = names.Slot(1)
STORED = backups.Stored(
    url="s3://bookshop/backups/bookshop/rows/20260301T020000Z-1a2b3c.sql",
    manifest=backups.Manifest(
        object="20260301T020000Z-1a2b3c.sql",
        deployment=names.DeploymentName("bookshop"),
        backup=names.BackupName("rows"),
        service=DB,
        datasource=CATALOG,
        size=1,
        sha256="a" * 64,
        time=datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC),
        archive="1",
    ),
)


def database(slot: int = 1, instance: str = "i-1") -> inventory.Server:
    found = World(addresses={"database-1": "10.0.0.11"}).server("database-1")
    return dataclasses.replace(
        found,
        name=names.ServerName(f"bookshop-database-{slot}"),
        slot=names.Slot(slot),
        instance_id=instance,
        host_key="ssh-ed25519 AAAA",
    )


def memory(text: str = BACKED_UP, *noted: inventory.Server) -> data_placement.DataLocations:
    found = data_placement.DataLocations(Store(), definition.loads(text))
    for each in noted:
        found.begin(DB, each)
    return found


def newest(name: names.BackupName) -> backups.Stored:
    assert name == "rows"
    return STORED


def none_there(_: names.BackupName) -> backups.Stored:
    raise backups.NoBackupError("s3://bookshop/backups/bookshop/rows/", "", [])


def renewals(
    known: data_placement.DataLocations,
    *staying: inventory.Server,
    missing: tuple[int, ...] = (),
    text: str = BACKED_UP,
    find: data_renewal.Newest = newest,
    from_dump: tuple[str, ...] = (),
    from_backup: tuple[str, ...] = (),
    past: data_renewal.DeploymentPast | None = None,
) -> data_renewal.Renewals:
    slots = {DATABASE: [names.Slot(slot) for slot in missing]}
    answers = data_renewal.DataEvidence(from_dump, from_backup, past)
    return data_renewal.renewals(
        definition.loads(text), inventory.Inventory(staying), slots, known, find, answers
    )


def test_a_slot_that_never_had_data_begins_from_the_dump() -> None:
    assert renewals(memory(), missing=(1,), find=none_there) == ()


def test_a_lost_database_begins_from_its_newest_backup() -> None:
    (found,) = renewals(memory(BACKED_UP, database()), missing=(1,))
    assert (found.service, found.slots, found.backups) == (DB, (1,), {CATALOG: STORED})


def test_so_does_a_new_server_that_a_run_started_and_did_not_fill() -> None:
    known = memory(BACKED_UP, database())
    known.begin(DB, database(instance="i-2"))
    (found,) = renewals(known, database(instance="i-2"))
    assert found.slots == (1,)
    known.end(DB, database(instance="i-2"))
    assert renewals(known, database(instance="i-2")) == ()


def test_what_the_triggerer_has_seen_to_its_end_is_noted_by_its_keys() -> None:
    known = memory(BACKED_UP, database())
    holding = known.holding(DB, [database(instance="i-2"), database(2, "i-3")])
    assert holding == {"data:db:1": "i-2", "data:db:2": "i-3"}
    data_placement.settle(known._store, holding)
    assert known.of(DB, FIRST) == data_placement.DataLocation("i-2", renewed=True)
    # Only the master of copies is filled from a dump.
    assert list(memory(COPIED).holding(DB, [database(), database(2, "i-2")])) == ["data:db:1"]


def test_without_a_backup_it_is_refused_and_told_what_to_do() -> None:
    known = memory(BACKED_UP, database())
    with pytest.raises(
        data_renewal.DataLostError, match=r"db\.catalog: no backup at all in s3://.*"
    ) as refused:
        renewals(known, missing=(1,), find=none_there)
    assert "--from-dump db.catalog" in str(refused.value)
    with pytest.raises(data_renewal.DataLostError, match="the definition's `backups` do not name it"):
        renewals(memory(DEFINITION, database()), missing=(1,), text=DEFINITION)


def test_somebody_may_say_that_it_begins_anew_whatever_backups_there_are() -> None:
    known = memory(BACKED_UP, database())
    (found,) = renewals(known, missing=(1,), from_dump=("db.catalog",))
    assert (found.slots, found.backups) == ((1,), {})


def test_a_master_with_replicants_is_a_persons_matter() -> None:
    known = memory(COPIED, database(), database(2, "i-2"))
    with pytest.raises(data_renewal.ReplicantsLeftError, match="bookshop-database-2"):
        renewals(known, database(2, "i-2"), missing=(1,), text=COPIED)
    # All of them together: there is nobody whose data would be thrown away unasked.
    with pytest.raises(data_renewal.DataLostError):
        renewals(known, missing=(1, 2, 3), text=COPIED)
    # A replicant alone copies from its master.
    assert renewals(known, database(), missing=(2,), text=COPIED) == ()


def test_a_termination_forgets_and_so_does_a_run_that_takes_its_own_servers_back() -> None:
    known = memory(BACKED_UP, database())
    known.forget_all()
    assert known.of(DB, FIRST) is None
    known.begin(DB, database())
    known.forget({"i-1"})
    assert known.of(DB, FIRST) is None


def test_an_answer_is_of_each_datasource_until_the_data_is_there() -> None:
    text = DEFINITION.replace(
        "    datasources:\n", "    datasources:\n      more: {dump: s3://shop/more.sql, connection: c}\n"
    )
    assert text != DEFINITION
    text += "backups: {of: {rows: db.catalog, others: db.more}, to: s3://bookshop/backups/}\n"
    known = memory(text)
    known.expect(DB, FIRST, [names.DatasourceName("more")])
    (found,) = renewals(known, missing=(1,), text=text, find=lambda _: STORED)
    assert list(found.backups) == ["catalog"]
    # What is lost later is restored from its backup as ever.
    known.end(DB, database())
    (found,) = renewals(known, missing=(1,), text=text, find=lambda _: STORED)
    assert set(found.backups) == {"catalog", "more"}


def test_a_run_that_takes_back_what_began_from_a_dump_leaves_the_question_open() -> None:
    known = memory()
    known.expect(DB, FIRST, [CATALOG])
    known.end(DB, database())
    known.forget({"i-1"})
    assert known.of(DB, FIRST) is None
    with pytest.raises(data_renewal.UnknownDataError):
        renewals(known, missing=(1,), past=data_renewal.DeploymentPast())


def test_what_was_lost_before_a_run_stays_lost_when_the_run_takes_its_server_back() -> None:
    known = memory(BACKED_UP, database())
    known.end(DB, database(instance="i-2"))
    known.forget({"i-2"})
    (found,) = renewals(known, missing=(1,))
    assert found.slots == (1,)


# --- on the server -------------------------------------------------------------------------------------------


def download(url: str, version: str) -> downloads.Download:
    return downloads.Download(url, version, None)


DUMPS = {CATALOG: download("s3://bookshop/datasource.sql", "d1")}
BACKUPS = {CATALOG: download(STORED.url, "b1")}


def load(marks: dict[str, str]) -> fan_out.Work:
    world = World()
    server = world.server("database-1")
    return datasource_work.install_datasources(world.facts(), DB, server, DUMPS, marks, BACKUPS)


def test_a_backup_takes_the_dumps_place_and_counts_as_the_dump_from_then_on() -> None:
    (job,) = load({}).jobs
    assert job.mark == ("a1001/datasource.catalog", "d1")
    assert job.name == f"datasource-a1001-catalog-{downloads.short('b1')}"
    assert load({"a1001/datasource.catalog": "d1"}).jobs == ()


def test_a_dump_that_changes_later_is_not_loaded_and_neither_is_the_backup() -> None:
    found = load({"a1001/datasource.catalog": "d0"})
    assert (found.jobs, len(found.held)) == ((), 1)
