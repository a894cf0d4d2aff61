"""The bookshop made ready for an embedded cloud: archives, dump, Chef repository, keys, Airflow's connections."""

from __future__ import annotations

import dataclasses
import json
import secrets
import subprocess
import sys
from pathlib import Path

import asyncssh

from gantry import archive
from gantry.configuration_management import chef_repository
from gantry.local import state

BUCKET = "bookshop"
DATABASE = "catalog"
SSH_USER = "launcher"
SERVICES = {"db": "dbService.tar.gz", "app": "appService.tar.gz"}


@dataclasses.dataclass(frozen=True)
class Example:
    """What a launch of the bookshop needs.

    Attributes:
        private_key: of the SSH user `launcher`, OpenSSH format.
        password: of the database account `bookshop`.
        environment: Airflow's connections.
    """

    folder: Path
    private_key: str = dataclasses.field(repr=False)
    password: str = dataclasses.field(repr=False)
    environment: dict[str, str] = dataclasses.field(repr=False)


def prepare(cloud: state.EmbeddedCloud, include: Path, folder: Path) -> Example:
    """Build the archives from their sources, make the dump, upload both and the cookbooks; make keys and connections.

    Args:
        cloud: where archives and dump go, and whose Chef server gets roles and cookbooks.
        include: the project's `include/` folder.
        folder: for what is built.
    """
    folder.mkdir(parents=True, exist_ok=True)
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    for service, file in SERVICES.items():
        archive.build_archive(include / "bookshop" / "services" / service, folder / file)
        s3.upload_file(str(folder / file), BUCKET, file)
    dump = folder / "datasource.sql"
    make = include / "bookshop" / "datasources" / "make_catalog.py"
    subprocess.run([sys.executable, str(make), str(dump)], check=True)  # noqa: S603 - our own script
    s3.upload_file(str(dump), BUCKET, dump.name)
    chef_repository.upload(include / "chef", cloud.chef_server())
    private_key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    password = secrets.token_urlsafe(18)
    return Example(
        folder=folder,
        private_key=private_key,
        password=password,
        environment={
            "AIRFLOW_CONN_AWS_DEFAULT": cloud.aws_connection_json(),
            "AIRFLOW_CONN_CHEF_DEFAULT": json.dumps(cloud.chef_connection()),
            "AIRFLOW_CONN_BOOKSHOP_SSH": json.dumps(
                {"conn_type": "ssh", "login": SSH_USER, "extra": {"private_key": private_key}}
            ),
            "AIRFLOW_CONN_BOOKSHOP_CATALOG": json.dumps(
                {"conn_type": "mysql", "login": "bookshop", "password": password, "schema": DATABASE}
            ),
        },
    )
