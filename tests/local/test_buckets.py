"""S3 as AWS has it: by region and host, by right, with sessions that end and ETags that are no digests."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
import pytest
from botocore import config
from botocore.exceptions import ClientError

from gantry import local, names
from gantry.cloud import errors, objects, sources

from .conftest import Account

pytestmark = pytest.mark.docker

REGIONS = ("us-east-1", "eu-west-1", "eu-central-1", "ap-east-1")
AWS = names.ConnectionId("aws_shop")


@pytest.fixture(scope="module")
def shelves(cloud: local.EmbeddedCloud) -> dict[str, str]:
    """A bucket with an object in each region."""
    for region in REGIONS:
        client = dataclasses.replace(cloud, region=region).client("s3")
        place: Any = {"LocationConstraint": region}
        client.create_bucket(
            Bucket=f"shelf-{region}",
            **({} if region == "us-east-1" else {"CreateBucketConfiguration": place}),
        )
        client.put_object(Bucket=f"shelf-{region}", Key="a b.txt", Body=region.encode())
    return {region: f"shelf-{region}" for region in REGIONS}


def connect(cloud: local.EmbeddedCloud, monkeypatch: pytest.MonkeyPatch, **more: Any) -> sources.S3Access:
    """What an Airflow connection to the cloud opens."""
    given: dict[str, Any] = {
        "conn_type": "aws",
        "login": cloud.access_key_id,
        "password": cloud.secret_access_key,
        "extra": {"endpoint_url": cloud.endpoint_url},
    }
    given["extra"] |= more.pop("extra", {})
    monkeypatch.setenv("AIRFLOW_CONN_AWS_SHOP", json.dumps(given | more))
    return sources.S3Access(AWS, cloud.region)


def client(cloud: local.EmbeddedCloud, service: str, region: str | None = None, **settings: Any) -> Any:
    keys = {
        "aws_access_key_id": cloud.access_key_id,
        "aws_secret_access_key": cloud.secret_access_key,
        "endpoint_url": cloud.endpoint_url,
    }
    make: Any = boto3.client
    return make(service, region_name=region or cloud.region, **{**keys, **settings})


# --- regions and hosts -----------------------------------------------------------------------------------------


def test_a_server_fetches_and_puts_by_links_to_buckets_of_every_region(
    cloud: local.EmbeddedCloud,
    account: Account,
    server: str,
    shelves: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = objects.Objects.of(connect(cloud, monkeypatch))
    gets = [f"curl -sS --fail '{found.link(f's3://{each}/a b.txt')}'" for each in shelves.values()]
    assert account.run(server, "; echo; ".join(gets)).split() == list(REGIONS)
    puts = [
        f"curl -sS --fail --upload-file /etc/hostname --header 'Content-Type: {objects.UPLOAD_TYPE}' "
        f"'{found.link(f's3://{each}/up', upload=True)}'"
        for each in shelves.values()
    ]
    account.run(server, " && ".join(puts))
    assert all(found.facts(f"s3://{each}/up", "test").size > 0 for each in shelves.values())


def test_a_request_that_is_signed_for_another_region_is_refused_and_told_the_right_one(
    cloud: local.EmbeddedCloud, shelves: dict[str, str]
) -> None:
    elsewhere = client(cloud, "s3", "eu-west-1", config=config.Config(signature_version="s3v4"))
    link = elsewhere.generate_presigned_url(
        "get_object", Params={"Bucket": "shelf-ap-east-1", "Key": "a b.txt"}
    )
    answer = httpx.get(link)
    assert (answer.status_code, answer.headers["x-amz-bucket-region"]) == (400, "ap-east-1")
    assert "the region 'eu-west-1' is wrong; expecting 'ap-east-1'" in answer.text
    # botocore's own client understands that.
    assert elsewhere.get_object(Bucket="shelf-ap-east-1", Key="a b.txt")["Body"].read() == b"ap-east-1"
    assert elsewhere.head_object(Bucket="shelf-ap-east-1", Key="a b.txt")["ContentLength"] == 9


def test_signatures_of_version_2_are_refused(cloud: local.EmbeddedCloud, shelves: dict[str, str]) -> None:
    old = client(cloud, "s3", "us-east-1", config=config.Config(signature_version="s3"))
    link = old.generate_presigned_url("get_object", Params={"Bucket": "shelf-us-east-1", "Key": "a b.txt"})
    answer = httpx.get(link)
    assert (answer.status_code, "Please use AWS4-HMAC-SHA256" in answer.text) == (400, True)


def aws_link(cloud: local.EmbeddedCloud, bucket: str, region: str, host: str) -> tuple[str, str]:
    """A link to one of AWS's own hosts; and curl's way to have the embedded cloud answer for it."""
    signer = client(
        cloud,
        "s3",
        region,
        endpoint_url=f"http://{host}",
        config=config.Config(signature_version="s3v4", s3={"addressing_style": "virtual"}),
    )
    link = signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b.txt"})
    assert urlsplit(link).netloc == f"{bucket}.{host}"
    return link, f"--connect-to ::{urlsplit(cloud.endpoint_url).netloc}"


@pytest.mark.parametrize(
    "case",
    [
        ("eu-west-1", "eu-west-1", "s3.eu-west-1.amazonaws.com", "200 eu-west-1"),
        ("ap-east-1", "ap-east-1", "s3.ap-east-1.amazonaws.com", "200 ap-east-1"),
        ("us-east-1", "us-east-1", "s3.amazonaws.com", "200 us-east-1"),
        # Hours old, behind the global host; and where that host knows nothing.
        ("eu-central-1", "us-east-1", "s3.amazonaws.com", "307 TemporaryRedirect"),
        ("ap-east-1", "us-east-1", "s3.amazonaws.com", "400 IllegalLocationConstraintException"),
        ("eu-central-1", "eu-west-1", "s3.eu-west-1.amazonaws.com", "301 PermanentRedirect"),
        ("eu-west-1", "us-east-1", "s3.eu-west-1.amazonaws.com", "400 AuthorizationQueryParametersError"),
    ],
)
def test_awss_own_hosts_answer_for_the_buckets_of_their_region(
    cloud: local.EmbeddedCloud,
    account: Account,
    server: str,
    shelves: dict[str, str],
    case: tuple[str, str, str, str],
) -> None:
    bucket, signed_for, host, said = case
    link, way = aws_link(cloud, shelves[bucket], signed_for, host)
    answer = account.run(server, f"curl -sS {way} --write-out ' %{{http_code}}' '{link}'")
    code, _, word = said.partition(" ")
    assert answer.endswith(f" {code}")
    assert word in answer


def test_a_redirect_of_the_global_host_leads_to_one_that_was_not_signed(
    cloud: local.EmbeddedCloud, account: Account, server: str, shelves: dict[str, str]
) -> None:
    link, way = aws_link(cloud, shelves["eu-central-1"], "us-east-1", "s3.amazonaws.com")
    answer = account.run(server, f"curl -sS --location {way} --write-out ' %{{http_code}}' '{link}'")
    assert not answer.endswith(" 200")


def test_clients_of_awss_own_hosts_come_by_the_connections_proxy(
    cloud: local.EmbeddedCloud,
    account: Account,
    server: str,
    shelves: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extra = {
        "endpoint_url": "http://s3.eu-west-1.amazonaws.com",
        "config_kwargs": {"proxies": {"http": cloud.endpoint_url}, "s3": {"addressing_style": "virtual"}},
    }
    found = objects.Objects.of(
        connect(dataclasses.replace(cloud, region="eu-west-1"), monkeypatch, extra=extra)
    )
    assert found.facts("s3://shelf-eu-west-1/a b.txt", "test").size == len("eu-west-1")
    link = found.link("s3://shelf-eu-west-1/a b.txt")
    assert urlsplit(link).netloc == "shelf-eu-west-1.s3.eu-west-1.amazonaws.com"
    fetched = account.run(server, f"http_proxy={cloud.endpoint_url} curl -sS --fail '{link}'")
    assert fetched == "eu-west-1"


# --- sessions and rights ---------------------------------------------------------------------------------------


Session = Callable[..., dict[str, str]]


@pytest.fixture
def session(cloud: local.EmbeddedCloud, request: pytest.FixtureRequest) -> Session:
    """Makes a role with a policy, and the keys of a session of it."""

    def make(*statements: dict[str, Any], seconds: int = 900) -> dict[str, str]:
        iam, role = client(cloud, "iam"), f"r{zlib.crc32(request.node.name.encode())}"
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)
        document = json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]}
        )
        iam.put_role_policy(RoleName=role, PolicyName="rights", PolicyDocument=document)
        # AWS's shortest session takes 900 s, and botocore knows.
        sts = client(cloud, "sts", config=config.Config(parameter_validation=False))
        keys = sts.assume_role(
            RoleArn=f"arn:aws:iam::123456789012:role/{role}", RoleSessionName="night", DurationSeconds=seconds
        )["Credentials"]
        return {
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys["SessionToken"],
        }

    return make


READ = {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::shelf-eu-central-1/*"}
LIST = {"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::shelf-eu-central-1"}
SHELF = "s3://shelf-eu-central-1"


def with_session(
    cloud: local.EmbeddedCloud, monkeypatch: pytest.MonkeyPatch, keys: dict[str, str]
) -> objects.Objects:
    return objects.Objects.of(
        connect(
            cloud,
            monkeypatch,
            login=keys["aws_access_key_id"],
            password=keys["aws_secret_access_key"],
            extra={"aws_session_token": keys["aws_session_token"]},
        )
    )


def test_who_may_not_list_is_not_told_what_is_missing(
    cloud: local.EmbeddedCloud, shelves: dict[str, str], session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = with_session(cloud, monkeypatch, session(READ))
    assert found.facts(f"{SHELF}/a b.txt", "the archive").size == len("eu-central-1")
    with pytest.raises(objects.ForbiddenObjectError, match="no such object"):
        found.facts(f"{SHELF}/a c.txt", "the archive")
    # Without any right to list, the bucket's region is known all the same.
    assert "eu-central-1%2Fs3" in found.link(f"{SHELF}/a b.txt")
    assert httpx.get(found.link(f"{SHELF}/a c.txt")).status_code == 403


def test_who_may_list_is_told(
    cloud: local.EmbeddedCloud, shelves: dict[str, str], session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = with_session(cloud, monkeypatch, session(READ, LIST))
    with pytest.raises(objects.MissingObjectError):
        found.facts(f"{SHELF}/a c.txt", "the archive")
    with pytest.raises(errors.CloudError, match="not authorized to perform: s3:PutObject"):
        found.write(f"{SHELF}/x", b"")


def test_a_link_ends_with_the_session_that_has_signed_it(
    cloud: local.EmbeddedCloud, shelves: dict[str, str], session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = with_session(cloud, monkeypatch, session(READ, seconds=6))
    link = found.link(f"{SHELF}/a b.txt")
    assert httpx.get(link).status_code == 200
    deadline = time.monotonic() + 120
    while (answer := httpx.get(link)).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert (answer.status_code, "<Code>ExpiredToken</Code>" in answer.text) == (400, True)
    with pytest.raises(
        errors.CloudError, match="the session token that is stored in the Airflow connection"
    ) as ended:
        found.facts(f"{SHELF}/a b.txt", "the archive")
    assert ended.value.code == "ExpiredToken"


def test_a_token_belongs_to_its_key(
    cloud: local.EmbeddedCloud, session: Session, shelves: dict[str, str]
) -> None:
    keys = session(READ)
    with pytest.raises(ClientError, match="InvalidToken"):
        client(cloud, "s3", **{**keys, "aws_session_token": "another"}).get_object(
            Bucket="shelf-eu-central-1", Key="a b.txt"
        )
    with pytest.raises(ClientError, match="InvalidToken"):
        client(cloud, "s3", aws_session_token="another").list_buckets()


def test_ec2_is_asked_with_rights_too(cloud: local.EmbeddedCloud, session: Session) -> None:
    keys = session({"Action": "ec2:Describe*", "Resource": "*"})
    ec2 = client(cloud, "ec2", **keys)
    assert ec2.describe_instances()["ResponseMetadata"]["HTTPStatusCode"] == 200
    with pytest.raises(ClientError, match="UnauthorizedOperation") as refused:
        ec2.create_tags(Resources=["i-1"], Tags=[])
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


# --- ETags -----------------------------------------------------------------------------------------------------


def test_under_kms_an_etag_is_no_digest_and_the_same_content_has_another_one(
    cloud: local.EmbeddedCloud,
) -> None:
    s3 = client(cloud, "s3")
    s3.create_bucket(Bucket="sealed", CreateBucketConfiguration={"LocationConstraint": cloud.region})
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    s3.put_bucket_encryption(Bucket="sealed", ServerSideEncryptionConfiguration={"Rules": [rule]})
    tags = [s3.put_object(Bucket="sealed", Key="x", Body=b"one")["ETag"] for _ in range(2)]
    tags.append(
        s3.copy_object(Bucket="sealed", Key="y", CopySource={"Bucket": "sealed", "Key": "x"})[
            "CopyObjectResult"
        ]["ETag"]
    )
    assert len(set(tags)) == 3
    digest = hashlib.md5(b"one", usedforsecurity=False).hexdigest()
    assert f'"{digest}"' not in tags
    assert s3.head_object(Bucket="sealed", Key="x")["ETag"] == tags[1]
