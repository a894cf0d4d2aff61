"""EC2's and S3's models are read from files once in a process, whatever sessions are made in it."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import botocore
import pytest
from botocore import loaders

from gantry import names
from gantry.cloud import clients, service_models, sources
from gantry.definition import models

AWS = names.ConnectionId("aws_shop")
CLOUD = models.Cloud(region="eu-central-1", connection=AWS)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that botocore has read, without their folders."""
    found: list[str] = []
    real = loaders.JSONFileLoader.load_file

    def load_file(self: loaders.JSONFileLoader, file_path: str) -> Any:
        if (data := real(self, file_path)) is not None:
            found.append("/".join(pathlib.Path(file_path).parts[-3:]))
        return data

    monkeypatch.setattr(loaders.JSONFileLoader, "load_file", load_file)
    monkeypatch.setenv(
        f"AIRFLOW_CONN_{AWS}".upper(), json.dumps({"conn_type": "aws", "login": "AKIA", "password": "secret"})
    )
    # As in a process that has just begun.
    service_models._loader.cache_clear()
    return found


def test_the_second_client_reads_nothing(read: list[str]) -> None:
    clients.ec2(CLOUD)
    assert [file for file in read if file.endswith("service-2")]
    read.clear()
    again = clients.ec2(CLOUD)
    assert again.meta.service_model.service_name == "ec2"
    assert clients.impatient_ec2(CLOUD).meta.region_name == CLOUD.region
    assert read == []


def test_what_is_loaded_beforehand_is_enough_for_ec2_and_s3(read: list[str]) -> None:
    service_models.load()
    read.clear()
    clients.ec2(CLOUD).get_paginator("describe_instances")
    source = sources.S3Access(AWS, CLOUD.region)
    assert source.client.meta.service_model.service_name == "s3"
    source.client.get_paginator("list_objects_v2")
    source.linking("us-east-1")
    assert read == []


def test_models_of_somebodys_own_are_found_where_botocore_finds_them(
    read: list[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients.ec2(CLOUD)
    own = tmp_path / "ec2" / "2099-01-01"
    shipped = max((pathlib.Path(botocore.__file__).parent / "data" / "ec2").iterdir())
    shutil.copytree(shipped, own)
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    clients.ec2(CLOUD)
    assert "ec2/2099-01-01/service-2" in read
