"""Backups in a real S3 client's hands: complete or not there, the oldest go, and nothing from elsewhere."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator

import boto3
import moto
import pytest
from botocore import config

from gantry import names
from gantry.cloud import backups
from gantry.cloud.objects import MissingBucketError, MissingObjectError, Objects
from gantry.definition import models

BUCKET = "vault"
SHOP, CATALOG = names.DeploymentName("shop"), names.BackupName("catalog")
SETTINGS = models.Backups.model_validate(
    {
        "of": {"catalog": "db.main"},
        "to": f"s3://{BUCKET}/",
        "keep": 2,
        "restore_from": [f"s3://{BUCKET}/other/"],
    }
)
FOLDER = "shop/catalog/"


class Store:
    """A bucket, and a shelf in it."""

    def __init__(self) -> None:
        self.s3 = boto3.client(
            "s3",
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="secret",
            config=config.Config(signature_version="s3v4"),
        )
        self.s3.create_bucket(Bucket=BUCKET)
        self.objects = Objects(self.s3, names.ConnectionId("aws"))
        self.shelf = backups.Shelf(self.objects, SETTINGS, SHOP, CATALOG)

    def upload(self, name: str, content: bytes = b"dump", folder: str = FOLDER) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=f"{folder}{name}", Body=content)

    def names(self) -> tuple[str, ...]:
        return self.objects.names_in(self.shelf.folder)

    def keep(self, day: int) -> str:
        name = name_of(day)
        self.upload(name)
        self.shelf.keep(manifest(name))
        return name


@pytest.fixture
def store() -> Iterator[Store]:
    with moto.mock_aws():
        yield Store()


def name_of(day: int, run: str = "run", suffix: str = ".sql") -> str:
    return backups.object_name(datetime.datetime(2026, 3, day, 2, tzinfo=datetime.UTC), run, suffix)


def manifest(name: str, size: int = 4) -> backups.Manifest:
    return backups.Manifest(
        object=name,
        deployment=SHOP,
        backup=CATALOG,
        service=names.ServiceName("db"),
        datasource=names.DatasourceName("main"),
        size=size,
        sha256="ab" * 32,
        time=datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC),
        archive="one",
    )


def test_a_runs_object_has_the_same_name_at_each_try_and_names_sort_by_time() -> None:
    assert name_of(1) == name_of(1)
    assert name_of(1) != name_of(1, "another run of the same second")
    assert name_of(1).startswith("20260301T020000Z-")
    assert name_of(1) < name_of(2)
    berlin = datetime.datetime(2026, 3, 1, 3, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    assert backups.object_name(berlin, "run", ".sql") == name_of(1)


def test_the_newest_complete_one_is_found_by_default_and_others_by_their_name(store: Store) -> None:
    first, second = store.keep(1), store.keep(2)
    store.upload(name_of(3))
    assert store.shelf.find("").url == f"s3://{BUCKET}/{FOLDER}{second}"
    assert store.shelf.find(first).manifest.object == first
    assert store.shelf.find(f"s3://{BUCKET}/{FOLDER}{first}.json").manifest.object == first
    with pytest.raises(backups.NoBackupError, match=f"the newest are {second}, {first}"):
        store.shelf.find(name_of(3))


def test_where_nothing_is_nothing_is_found(store: Store) -> None:
    with pytest.raises(backups.NoBackupError, match="there is none at all"):
        store.shelf.find("")
    with pytest.raises(MissingBucketError):
        store.objects.names_in("s3://no-such-bucket/x/")


def test_a_backup_from_elsewhere_needs_its_folder_named(store: Store) -> None:
    name = store.keep(1)
    for folder in ("other/shop/", "strange/", "shop/catalogue/"):
        for each in (name, f"{name}.json"):
            store.upload(each, store.objects.read(f"s3://{BUCKET}/{FOLDER}{each}", "test"), folder)
    assert store.shelf.find(f"s3://{BUCKET}/other/shop/{name}").url == f"s3://{BUCKET}/other/shop/{name}"
    for strange in (f"s3://{BUCKET}/strange/{name}", f"s3://{BUCKET}/shop/catalogue/{name}"):
        with pytest.raises(backups.StrangeBackupError, match="restore_from"):
            store.shelf.find(strange)
    with pytest.raises(MissingObjectError):
        store.shelf.find(f"s3://{BUCKET}/other/shop/absent.sql")


def test_a_manifest_that_does_not_fit_its_object_is_refused(store: Store) -> None:
    name = store.keep(1)
    store.upload(name, b"longer than it was")
    with pytest.raises(backups.ManifestError, match="18 bytes, and its manifest says 4"):
        store.shelf.find("")
    store.upload(f"{name}.json", b"{}")
    with pytest.raises(backups.ManifestError, match="its manifest is not valid"):
        store.shelf.find("")


def test_what_was_not_wholly_uploaded_gets_no_manifest_and_removes_nothing(store: Store) -> None:
    first, second = store.keep(1), store.keep(2)
    store.upload(name_of(3), b"half")
    with pytest.raises(backups.IncompleteBackupError, match="4 bytes, and the server sent 8"):
        store.shelf.keep(manifest(name_of(3), size=8))
    with pytest.raises(MissingObjectError):
        store.shelf.keep(manifest(name_of(4)))
    assert store.names() == tuple(sorted([first, f"{first}.json", second, f"{second}.json", name_of(3)]))


def test_the_oldest_go_and_what_was_never_completed_and_nothing_else(store: Store) -> None:
    store.upload("notes.txt")
    store.upload("20250101T000000Z-aaaaaa.sql", folder=f"{FOLDER}deeper/")
    store.keep(1)
    store.upload(name_of(2))
    third, fourth = store.keep(3), store.keep(4)
    kept = [each for name in (third, fourth) for each in (name, f"{name}.json")]
    assert store.names() == tuple(sorted([*kept, "notes.txt"]))
    # Made again by somebody who cleared an old run: what is newer stays.
    store.keep(2)
    assert {third, fourth} <= set(store.names())


def test_the_manifest_is_for_people_and_programs(store: Store) -> None:
    name = store.keep(1)
    found = json.loads(store.objects.read(f"s3://{BUCKET}/{FOLDER}{name}.json", "test"))
    assert (found["size"], found["datasource"], found["archive"]) == (4, "main", "one")
    assert found["time"] == "2026-03-01T00:00:00Z"
