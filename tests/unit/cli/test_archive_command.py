"""`gantry archive`: a folder to a file, or to S3 through an Airflow connection."""

from __future__ import annotations

import hashlib
import json
import pathlib
import tarfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.unit.cli.conftest import Gantry

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


@pytest.fixture
def service(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "page"
    (folder / "bin").mkdir(parents=True)
    for name in ("configure", "start", "stop"):
        (folder / "bin" / f"enstratus-{name}").write_text("#!/bin/sh\n")
    return folder


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def connection(endpoint: str, **extra: object) -> str:
    keys = {"login": "key", "password": "secret"}
    return json.dumps({"conn_type": "aws", **keys, "extra": {"endpoint_url": endpoint, **extra}})


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """An S3 that is empty, and the Airflow connection that leads there."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(endpoint))
    # The command sets it for its process, which is a test's here.
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    client: Any = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="eu-central-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    yield client
    for bucket in client.list_buckets()["Buckets"]:
        for each in client.list_objects_v2(Bucket=bucket["Name"]).get("Contents", []):
            client.delete_object(Bucket=bucket["Name"], Key=each["Key"])
        client.delete_bucket(Bucket=bucket["Name"])


def make(s3: S3Client, bucket: str) -> None:
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})


def test_a_folder_becomes_an_archive_beside_it(
    gantry: Gantry, service: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    answer = gantry("archive", service, tmp_path / "page.tar.gz", "--json")
    content = (tmp_path / "page.tar.gz").read_bytes()
    assert answer.code == 0
    assert answer.json["sha256"] == hashlib.sha256(content).hexdigest()
    with tarfile.open(tmp_path / "page.tar.gz") as packed:
        assert "bin/enstratus-start" in packed.getnames()


def test_what_is_no_service_is_refused(gantry: Gantry, tmp_path: pathlib.Path) -> None:
    answer = gantry("archive", tmp_path, tmp_path.parent / "page.tar.gz")
    assert answer.code == 1
    assert "bin/enstratus-configure, bin/enstratus-start, bin/enstratus-stop missing" in answer.err


def test_a_name_by_which_no_server_could_unpack_is_refused(gantry: Gantry, service: pathlib.Path) -> None:
    answer = gantry("archive", service, "page.zip")
    assert (answer.code, answer.err) == (1, "page.zip: the name of an archive ends with .tar.gz or .tgz\n")


@pytest.mark.parametrize("wrong", ["s3://page.tar.gz", "s3:///page.tar.gz", "s3://Shop/page.tar.gz"])
def test_what_is_no_url_is_refused_before_anything_is_asked(
    wrong: str, gantry: Gantry, service: pathlib.Path
) -> None:
    answer = gantry("archive", service, wrong)
    assert (answer.code, answer.err.partition(".")[0]) == (
        1,
        f"{wrong} is not s3://BUCKET/KEY".partition(".")[0],
    )


def test_it_is_uploaded_once_and_again_when_it_has_changed(
    gantry: Gantry, service: pathlib.Path, s3: S3Client
) -> None:
    make(s3, "shop")
    url = "s3://shop/services/page.tar.gz"

    first = gantry("archive", service, url, "--region", "eu-central-1")
    again = gantry("archive", service, url, "--region", "eu-central-1")
    (service / "index.html").write_text("new")
    changed = gantry("archive", service, url, "--region", "eu-central-1", "--json")

    assert [each.out.split()[0] for each in (first, again)] == ["uploaded", "unchanged"], first.err
    assert changed.json["done"] == "uploaded"
    content = s3.get_object(Bucket="shop", Key="services/page.tar.gz")["Body"].read()
    assert hashlib.sha256(content).hexdigest() == changed.json["sha256"]


def test_a_bucket_is_made_only_if_asked_for(gantry: Gantry, service: pathlib.Path, s3: S3Client) -> None:
    url, region = "s3://fresh/page.tar.gz", ("--region", "eu-central-1")

    refused = gantry("archive", service, url, *region)
    assert refused.code == 1
    assert "there is no bucket 'fresh' for the Airflow connection 'aws_default'" in refused.err
    assert "--create-bucket" in refused.err
    assert s3.list_buckets()["Buckets"] == []

    made = gantry("archive", service, url, *region, "--create-bucket")
    assert (made.code, made.err) == (0, "made the bucket fresh\n")
    assert s3.get_bucket_location(Bucket="fresh")["LocationConstraint"] == "eu-central-1"
    assert gantry("archive", service, url, *region, "--create-bucket").err == ""


def test_a_definition_says_which_connection_and_region(
    gantry: Gantry,
    service: pathlib.Path,
    s3: S3Client,
    bookshop_text: str,
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    definition = service.parent / "bookshop.yaml"
    definition.write_text(
        bookshop_text.replace(
            "connection: aws_default, region: eu-central-1", "connection: aws_shop, region: eu-west-1"
        )
    )
    monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_SHOP", connection(endpoint))

    answer = gantry("archive", service, "s3://west/page.tgz", "-d", definition, "--create-bucket")

    assert answer.code == 0, answer.err
    assert s3.get_bucket_location(Bucket="west")["LocationConstraint"] == "eu-west-1"


def test_a_connection_that_is_not_there_is_named(gantry: Gantry, service: pathlib.Path, s3: S3Client) -> None:
    answer = gantry("archive", service, "s3://shop/page.tgz", "--connection", "aws_nowhere")
    assert answer.code == 1
    assert "Airflow connection 'aws_nowhere' cannot be read" in answer.err
