"""The embedded cloud answers only requests that its access key has signed."""

from __future__ import annotations

import dataclasses
import time
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from gantry import local

from .conftest import Account

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def archive(cloud: local.EmbeddedCloud) -> str:
    """A presigned URL of an object whose name needs escaping."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="bookshop", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_object(
        Bucket="bookshop", Key="a dir/größe+1.txt", Body=b"the catalog", Metadata={"made-by": "gantry"}
    )
    return s3.generate_presigned_url(
        "get_object", Params={"Bucket": "bookshop", "Key": "a dir/größe+1.txt"}, ExpiresIn=60
    )


def test_an_unknown_access_key_is_refused(cloud: local.EmbeddedCloud) -> None:
    stranger = dataclasses.replace(cloud, access_key_id="AKIAAAAAAAAAAAAAAAAA")
    with pytest.raises(ClientError, match="AuthFailure") as refusal:
        stranger.client("ec2").describe_instances()
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 401
    with pytest.raises(ClientError, match="InvalidAccessKeyId") as refusal:
        stranger.client("s3").list_objects_v2(Bucket="bookshop")
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_wrong_secret_is_refused(cloud: local.EmbeddedCloud) -> None:
    stranger = dataclasses.replace(cloud, secret_access_key="guessed")
    with pytest.raises(ClientError, match="AuthFailure"):
        stranger.client("ec2").describe_instances()
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        stranger.client("s3").list_buckets()


def test_secrets_are_kept_for_who_has_the_key(cloud: local.EmbeddedCloud) -> None:
    cloud.client("secretsmanager").create_secret(Name="airflow/connections/x", SecretString="words")
    answer = cloud.client("secretsmanager").get_secret_value(SecretId="airflow/connections/x")
    assert answer["SecretString"] == "words"
    stranger = dataclasses.replace(cloud, access_key_id="AKIAAAAAAAAAAAAAAAAA").client("secretsmanager")
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        stranger.get_secret_value(SecretId="airflow/connections/x")
    stranger = dataclasses.replace(cloud, secret_access_key="guessed").client("secretsmanager")
    with pytest.raises(ClientError, match="InvalidSignatureException"):
        stranger.get_secret_value(SecretId="airflow/connections/x")


@pytest.mark.parametrize("path", ["", "/bookshop", "/moto-api/data.json", "/latest/meta-data/"])
def test_an_unsigned_request_is_refused(cloud: local.EmbeddedCloud, path: str) -> None:
    assert _get(cloud.endpoint_url + path)[0] == 403


def test_a_presigned_url_gives_the_object_until_it_expires(cloud: local.EmbeddedCloud, archive: str) -> None:
    assert _get(archive) == (200, "the catalog")
    assert _get(archive.replace("gr%C3%B6%C3%9Fe", "other"))[0] == 403
    short = cloud.client("s3").generate_presigned_url(
        "get_object", Params={"Bucket": "bookshop", "Key": "a dir/größe+1.txt"}, ExpiresIn=1
    )
    deadline = time.monotonic() + 120
    while (answer := _get(short))[0] == 200 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert answer[0] == 403
    assert "Request has expired" in answer[1]


def test_a_server_fetches_a_presigned_url_with_curl(account: Account, server: str, archive: str) -> None:
    assert account.run(server, f"curl -sS --fail '{archive}'") == "the catalog"
    forged = archive[:-4] + ("0000" if archive[-4:] != "0000" else "1111")
    assert "SignatureDoesNotMatch" in account.run(server, f"curl -sS '{forged}'")


def test_a_presigned_url_is_not_in_the_servers_log(cloud: local.EmbeddedCloud, archive: str) -> None:
    _get(archive)
    log = cloud.log_file.read_text()
    assert "GET /bookshop/a%20dir/" in log
    assert "X-Amz-Signature" not in log


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
