"""Preparation of the bookshop for an embedded cloud: archives, dump, Chef repository, keys, Airflow's connections."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

from gantry import archive, definition, names
from gantry.local.cloud import chef_repository, state
from gantry.local.demo import connections

BUCKET = "bookshop"
SERVICES = {"db": "dbService.tar.gz", "app": "appService.tar.gz"}


@dataclasses.dataclass(frozen=True)
class Example:
    """The inputs of a launch of the bookshop.

    Attributes:
        private_key: the key of the SSH user `launcher`, OpenSSH format.
        password: the password of the database account `bookshop`.
        environment: Airflow's connections.
    """

    folder: Path
    private_key: str = dataclasses.field(repr=False)
    password: str = dataclasses.field(repr=False)
    environment: dict[str, str] = dataclasses.field(repr=False)


def prepare(cloud: state.EmbeddedCloud, include: Path, folder: Path) -> Example:
    """Upload what the bookshop needs, and generate its keys and connections.

    Args:
        cloud: the target of archives and dump, whose Chef server gets roles and cookbooks.
        include: the project's `include/` folder.
        folder: the folder for build results.
    """
    upload(cloud, include, folder)
    private_key = connections.private_key(folder / "ssh-key")
    bookshop = definition.load(include / "bookshop" / "bookshop.yaml")
    made = connections.make(cloud, [bookshop], private_key)
    catalog = (
        bookshop.services[names.ServiceName("db")].datasources[names.DatasourceName("catalog")].connection
    )
    return Example(
        folder=folder,
        private_key=private_key,
        password=made.connections[catalog]["password"],
        environment=made.environment,
    )


def upload(cloud: state.EmbeddedCloud, include: Path, folder: Path) -> None:
    """Build the archives from their sources, create the dump, upload both and the cookbooks. May be repeated."""
    folder.mkdir(parents=True, exist_ok=True)
    s3 = cloud.client("s3")
    cloud.make_bucket(BUCKET)
    for service, file in SERVICES.items():
        archive.build_archive(include / "bookshop" / "services" / service, folder / file)
        s3.upload_file(str(folder / file), BUCKET, file)
    dump = folder / "datasource.sql"
    make = include / "bookshop" / "datasources" / "make_catalog.py"
    subprocess.run([sys.executable, str(make), str(dump)], check=True)  # noqa: S603 - our own script
    s3.upload_file(str(dump), BUCKET, dump.name)
    chef_repository.upload(include / "chef", cloud.chef_server())
