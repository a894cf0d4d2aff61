"""Archives and dumps in S3: what they are now, and a link for a server that has no credentials."""

from __future__ import annotations

import dataclasses
import urllib.error
import urllib.request

import pytest

from gantry import local, names
from gantry.cloud import errors, objects

pytestmark = pytest.mark.docker

AWS = names.ConnectionId("aws_shop")
WANTED_BY = "the archive of service 'app'"


@pytest.fixture(scope="module")
def bucket(cloud: local.EmbeddedCloud) -> objects.Objects:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="archives", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_object(Bucket="archives", Key="a folder/größe+1.tar.gz", Body=b"one")
    return objects.Objects(s3, AWS)


URL = "s3://archives/a folder/größe+1.tar.gz"


def test_another_content_is_another_version(cloud: local.EmbeddedCloud, bucket: objects.Objects) -> None:
    first = bucket.facts(URL, WANTED_BY)
    assert first.size == 3
    assert bucket.facts(URL, WANTED_BY) == first
    cloud.client("s3").put_object(Bucket="archives", Key="a folder/größe+1.tar.gz", Body=b"two")
    second = bucket.facts(URL, WANTED_BY)
    assert second.version != first.version
    cloud.client("s3").put_object(Bucket="archives", Key="a folder/größe+1.tar.gz", Body=b"one")
    assert bucket.facts(URL, WANTED_BY) == first


@pytest.mark.parametrize("url", ["s3://archives/nothing.tar.gz", "s3://no-such-bucket/nothing.tar.gz"])
def test_a_missing_object_or_bucket_is_named_with_what_wants_it(bucket: objects.Objects, url: str) -> None:
    with pytest.raises(objects.MissingObjectError) as missing:
        bucket.facts(url, WANTED_BY)
    assert str(missing.value).startswith(f"{url} does not exist ({WANTED_BY})\n")
    assert not missing.value.transient


def test_a_link_works_without_credentials_and_only_for_its_object(bucket: objects.Objects) -> None:
    link = bucket.link(URL)
    with urllib.request.urlopen(link, timeout=60) as answer:
        assert answer.read() == b"one"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(link.replace("gr%C3%B6%C3%9Fe", "other"), timeout=60)


def test_refused_credentials_name_the_connection(cloud: local.EmbeddedCloud) -> None:
    stranger = dataclasses.replace(cloud, secret_access_key="guessed").client("s3")
    with pytest.raises(errors.CloudError, match="Airflow connection 'aws_shop'") as refused:
        objects.Objects(stranger, AWS).facts(URL, WANTED_BY)
    assert not refused.value.transient
