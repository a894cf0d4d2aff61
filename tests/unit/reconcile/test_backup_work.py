"""What a backup and a restore do on one server: files, jobs, marks."""

from __future__ import annotations

import dataclasses

import pytest

from gantry import names
from gantry.agent import downloads, jobs
from gantry.agent.fan_out import Applied, Work
from gantry.definition import models
from gantry.reconcile import backup_work, service_work
from tests.unit.agent.world import World

DB, APP, CATALOG = names.ServiceName("db"), names.ServiceName("app"), names.DatasourceName("catalog")
URL = "s3://bookshop/backups/bookshop/catalog/20260301T020000Z-1a2b3c.sql"
SUM = "ab" * 32
MARKS = {"a1001/archive": "one", "a1002/archive": "one", "a1001/datasource.catalog": "dump"}


def part(text: str) -> models.Dependency:
    return models.Dependency.model_validate(text)


def backup(url: str = URL) -> downloads.Download:
    return downloads.Download(url, SUM, SUM)


def calls(found: Work) -> list[str]:
    return [job.call for job in found.jobs]


def texts(found: Work) -> str:
    return "\n".join(file.content.decode() for file in found.files)


def every_secret_goes(found: Work) -> None:
    """What was put on the server is removed by some job, and stands in no call."""
    removed = {path for job in found.jobs for path in job.remove}
    assert {file.path for file in found.files} <= removed
    assert all(file.mode == 0o600 for file in found.files)
    # No link is made before its job's turn has come.
    assert "X-Amz" not in "\n".join(calls(found)) + texts(found)
    assert all(job.link.path in job.remove for job in found.jobs if job.link is not None)


def test_a_datasource_is_written_by_the_services_script_and_uploaded(world: World) -> None:
    found = backup_work.back_up(world.facts(), part("db.catalog"), world.server("database-1"), URL, MARKS)
    asks, makes, puts = found.jobs
    assert asks.call == "marks a1001/archive"
    assert makes.script == "backupDataSource"
    assert makes.arguments[:2] == ("a1001", "catalog")
    config, file = makes.arguments[2:]
    assert (makes.remove, makes.link) == ((config,), None)
    assert (puts.script, puts.remove, puts.kept) == ("uploadBackup", (puts.arguments[0],), (file,))
    assert puts.link == jobs.PresignedLink(puts.arguments[0], URL, upload=True)
    assert puts.arguments[1] == file
    # Whoever tries again needs the file anew.
    assert puts.conclusive
    assert "dataSource=catalog\ndatabase=bookshop\n" in texts(found)
    every_secret_goes(found)


@pytest.mark.parametrize(
    ("url", "ending"), [("s3://b/x.sql.gz", ".sql.gz"), ("s3://b/x.sql", ".sql"), ("s3://b/x", ".file")]
)
def test_a_backups_file_ends_as_its_object_does_so_that_it_is_packed_as_that_says(
    world: World, url: str, ending: str
) -> None:
    found = backup_work.back_up(world.facts(), part("db.catalog"), world.server("database-1"), url, MARKS)
    assert found.jobs[1].arguments[-1].endswith(ending)


def test_a_service_is_packed(world: World) -> None:
    found = backup_work.back_up(world.facts(), part("app"), world.server("application-1"), URL, MARKS)
    makes, puts = found.jobs[1:]
    assert (makes.script, makes.arguments) == ("backupService", ("a1002", puts.arguments[1]))
    every_secret_goes(found)


def test_what_is_not_installed_is_neither_backed_up_nor_restored(world: World) -> None:
    with pytest.raises(
        backup_work.NotInstalledError, match=r"bookshop-database-1: service db is not installed"
    ):
        backup_work.back_up(world.facts(), part("db.catalog"), world.server("database-1"), URL, {})
    with pytest.raises(backup_work.NotInstalledError):
        backup_work.restore_datasource(world.facts(), DB, CATALOG, world.server("database-1"), backup(), {})


def test_a_datasource_is_restored_as_a_dump_is_loaded_and_its_mark_stays(world: World) -> None:
    found = backup_work.restore_datasource(
        world.facts(), DB, CATALOG, world.server("database-1"), backup(), MARKS
    )
    loads, waits = found.jobs
    _, target, sha256, script, service, config, dump = loads.arguments
    assert (sha256, script, service, dump) == (SUM, "installDataSource", "a1001", target)
    assert target.endswith(".sql")
    assert config in loads.remove
    assert "restore=yes" in texts(found)
    assert "restore=" not in world.facts().datasource_file(DB, CATALOG, world.server("database-1")).decode()
    # The next launch must not load the definition's dump over it.
    assert (loads.mark, loads.unmark, waits.script) == (None, (), "awaitService")
    every_secret_goes(found)


def test_a_services_folder_is_checked_before_the_service_is_stopped(world: World) -> None:
    applied = Applied({**MARKS, "a1002/applied": "x", "a1002/configured": "x"}, healthy=True)
    found = backup_work.restore_service(
        world.facts(), APP, world.server("application-1"), backup("s3://b/x.tar.gz"), "older", applied
    )
    assert [job.script for job in found.jobs] == [
        "withDownload", "putConfig", "configureService", "stopService", "startService", "awaitService",
    ]  # fmt: skip
    install = found.jobs[0]
    assert install.arguments[2:6] == (SUM, "restoreService", "a1002", "c100")
    # Not by the job itself, before the backup is fetched and checked: until then the service runs, and is known to.
    assert install.unmark == ()
    assert (
        set(install.arguments[-1].split(","))
        == set(install.forgets)
        == set(service_work.installed_marks(world.facts().definition.services[APP]))
    )
    # As it was when the backup was made: a launch with a newer archive installs that.
    assert install.mark == ("a1002/archive", "older")
    every_secret_goes(found)
    # What a launch finds afterwards is what it would have done itself.
    marks = {**applied.marks}
    for job in found.jobs:
        for key in (*job.unmark, *job.forgets):
            marks.pop(key, None)
        if job.mark:
            marks[job.mark[0]] = job.mark[1]
    after = dataclasses.replace(applied, marks=marks)
    assert service_work.configure(world.facts(), APP, world.server("application-1"), after) == Work()


def test_a_check_travels_as_a_file_and_only_to_where_its_service_is(world: World) -> None:
    script = "bin/count-books --at-least 100"
    found = backup_work.check_backup(world.facts(), DB, world.server("database-1"), script, 90.0, MARKS)
    (job,), (file,) = found.jobs, found.files
    assert job.call == f"checkBackup a1001 {file.path}"
    assert (job.remove, job.timeout) == ((file.path,), 90.0)
    assert (file.content, file.mode) == (f"{script}\n".encode(), 0o600)
    with pytest.raises(backup_work.NotInstalledError):
        backup_work.check_backup(world.facts(), DB, world.server("database-1"), script, 90.0, {})


def test_the_last_line_that_says_something_is_what_a_check_has_said() -> None:
    reader = backup_work.CheckReader()
    kept = [each for each in ("counting", "  231 books ", "   ") if reader.keeps(each, [])]
    assert reader.summary(kept) == backup_work.Said("231 books")
    assert reader.summary([]) is None


def test_the_last_words_of_the_scripts_are_what_the_manifest_says() -> None:
    reader = backup_work.BackupReader()
    lines = [
        "a1001/archive v1",
        "12 bytes",
        f"uploadBackup: 12 bytes, SHA-256 {SUM}",
        "uploadBackup: 12 bytes",
    ]
    kept = [each for each in lines if reader.keeps(each, [])]
    assert kept == [lines[0], lines[2]]
    assert reader.summary(kept) == backup_work.UploadedBackup(12, SUM, "v1")
    assert reader.summary(kept[:1]) is None
