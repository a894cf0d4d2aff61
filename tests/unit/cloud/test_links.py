"""Links for servers: signed as every region takes them, with credentials that hold, for wherever the bucket is."""

from __future__ import annotations

import http.server
import io
import json
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import moto
import pytest
import urllib3
from botocore import awsrequest, compat

from gantry import names
from gantry.cloud import clients, errors, objects, sources
from gantry.definition import models

AWS = names.ConnectionId("aws_shop")
HOME = "eu-central-1"
WANTED_BY = "the archive of service 'app'"
REGIONS = ("us-east-1", "eu-west-1", "eu-central-1", "us-west-2", "ap-east-1")
Connect = Callable[..., sources.S3Access]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Makes an Airflow connection, and what it opens."""

    def connection(region: str | None = HOME, **extra: Any) -> sources.S3Access:
        given = {"conn_type": "aws", "login": "AKIAEXAMPLE", "password": "secret", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_SHOP", json.dumps(given))
        return sources.S3Access(AWS, region)

    with moto.mock_aws():
        yield connection


def bucket(name: str, region: str) -> None:
    s3 = boto3.client("s3", region_name=region, aws_access_key_id="a", aws_secret_access_key="b")
    if region == "us-east-1":
        s3.create_bucket(Bucket=name)
    else:
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})  # type: ignore[typeddict-item]


def test_a_link_is_of_version_4_and_of_the_buckets_own_region_and_host(connect: Connect) -> None:
    found = objects.Objects.of(connect())
    for region in REGIONS:
        bucket(f"archives-{region}", region)
        for upload in (False, True):
            link = urlsplit(found.link(f"s3://archives-{region}/a b/ö.tar.gz", upload=upload))
            assert (link.scheme, link.netloc) == ("https", f"archives-{region}.s3.{region}.amazonaws.com")
            assert link.path == "/a%20b/%C3%B6.tar.gz"
            query = parse_qs(link.query)
            assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
            assert query["X-Amz-Credential"][0].split("/")[2:] == [region, "s3", "aws4_request"]
            assert query["X-Amz-SignedHeaders"] == ["content-type;host" if upload else "host"]
            assert query["X-Amz-Expires"] == ["3600"]


def test_a_bucket_whose_name_fits_no_certificate_is_named_in_the_path(connect: Connect) -> None:
    bucket("archives.example.com", "us-east-1")
    link = urlsplit(objects.Objects.of(connect()).link("s3://archives.example.com/x"))
    assert (link.netloc, link.path) == ("s3.us-east-1.amazonaws.com", "/archives.example.com/x")


@pytest.mark.parametrize(
    ("extra", "host", "path"),
    [
        (
            {"config_kwargs": {"s3": {"addressing_style": "path"}}},
            "s3.us-east-1.amazonaws.com",
            "/archives/x",
        ),
        (
            {"config_kwargs": {"s3": {"use_dualstack_endpoint": True}}},
            "archives.s3.dualstack.us-east-1.amazonaws.com",
            "/x",
        ),
        ({"endpoint_url": "http://10.0.0.1:4566"}, "10.0.0.1:4566", "/archives/x"),
        (
            {"service_config": {"s3": {"endpoint_url": "https://s3.example.com"}}},
            "s3.example.com",
            "/archives/x",
        ),
        (
            {
                "endpoint_url": "https://s3.example.com",
                "config_kwargs": {"s3": {"addressing_style": "virtual"}},
            },
            "archives.s3.example.com",
            "/x",
        ),
    ],
)
def test_what_the_connection_says_about_endpoint_and_style_is_kept(
    connect: Connect, extra: dict[str, Any], host: str, path: str
) -> None:
    link = urlsplit(
        connect(**extra)
        .linking("us-east-1")
        .generate_presigned_url("get_object", Params={"Bucket": "archives", "Key": "x"})
    )
    assert (link.netloc, link.path) == (host, path)
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in link.query


def test_what_the_connection_configures_holds_for_every_client(connect: Connect) -> None:
    source = connect(config_kwargs={"proxies": {"https": "http://proxy:3128"}, "user_agent_extra": "acme"})
    cloud = models.Cloud(region=HOME, connection=AWS)
    for client in (source.client, source.linking("us-east-1"), clients.ec2(cloud)):
        assert client.meta.config.proxies == {"https": "http://proxy:3128"}  # type: ignore[attr-defined]
    impatient = clients.impatient_ec2(cloud).meta.config
    assert impatient.proxies == {"https": "http://proxy:3128"}  # type: ignore[attr-defined]
    assert impatient.connect_timeout == 5  # type: ignore[attr-defined]
    assert impatient.retries["total_max_attempts"] == 2  # type: ignore[attr-defined]


def test_a_bucket_that_is_not_there_gets_no_link(connect: Connect) -> None:
    with pytest.raises(objects.MissingBucketError, match="no bucket 'archives'"):
        objects.Objects.of(connect()).link("s3://archives/x")


def test_where_a_bucket_is_is_asked_once(connect: Connect) -> None:
    bucket("archives", "eu-west-1")
    source, asked = connect(), []
    source.client.meta.events.register("before-call.s3", lambda model, **_: asked.append(model.name))
    found = objects.Objects.of(source)
    hosts = {urlsplit(found.link(f"s3://archives/{n}")).netloc for n in range(3)}
    assert (hosts, asked) == ({"archives.s3.eu-west-1.amazonaws.com"}, ["HeadBucket"])


# --- credentials that end --------------------------------------------------------------------------------------


def test_a_roles_session_is_named_with_its_end(connect: Connect) -> None:
    role = "arn:aws:iam::123456789012:role/launcher"
    source = connect(role_arn=role, assume_role_kwargs={"RoleSessionName": "night"})
    assert source.whose.startswith(
        f"the session 'night' of the role {role} that the Airflow connection 'aws_shop' assumes, good until 20"
    )
    assert "the credentials of the Airflow connection 'aws_shop'" in connect().whose
    assert connect(aws_session_token="t0ken").whose == (
        "the session token that is stored in the Airflow connection 'aws_shop'"
    )


def refuse(client: Any, code: str, *operations: str, status: int = 400) -> None:
    """Have S3 refuse operations, as it does: a HEAD request gets no body."""

    def answer(request: awsrequest.AWSPreparedRequest, event_name: str, **_: Any) -> Any:
        if event_name.rpartition(".")[2] not in operations:
            return None
        body = b"" if request.method == "HEAD" else f"<Error><Code>{code}</Code></Error>".encode()
        raw = urllib3.HTTPResponse(io.BytesIO(body), preload_content=False)
        return awsrequest.AWSResponse(request.url, status, compat.HTTPHeaders(), raw)

    client.meta.events.register_first("before-send.s3", answer)


@pytest.mark.parametrize("operation", ["HeadObject", "HeadBucket", "ListObjectsV2"])
def test_credentials_that_have_ended_are_read_again_once(connect: Connect, operation: str) -> None:
    bucket("archives", HOME)
    source = connect()
    source.client.put_object(Bucket="archives", Key="x", Body=b"one")
    refuse(source.client, "ExpiredToken", operation, "GetObject", "GetBucketLocation")
    found = objects.Objects.of(source)
    # As the person does who replaces the token.
    connect(aws_session_token="other")
    match operation:
        case "HeadObject":
            assert found.facts("s3://archives/x", WANTED_BY).size == 3
        case "HeadBucket":
            assert "X-Amz-Security-Token=other" in found.link("s3://archives/x")
        case _:
            assert found.names_in("s3://archives/") == ("x",)


def test_what_has_ended_twice_says_whose_it_was(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    source = connect(aws_session_token="t0ken")
    refuse(source.client, "ExpiredToken", "HeadObject", "GetObject")
    monkeypatch.setattr(source, "renewed", lambda: source)
    with pytest.raises(errors.CloudError) as refused:
        objects.Objects.of(source).facts("s3://archives/x", WANTED_BY)
    assert refused.value.code == "ExpiredToken"
    assert "Expired: the session token that is stored in the Airflow connection 'aws_shop'." in str(
        refused.value
    )
    assert "t0ken" not in str(refused.value)


# --- rights ----------------------------------------------------------------------------------------------------


def test_a_403_names_both_of_its_causes(connect: Connect) -> None:
    source = connect()
    refuse(source.client, "AccessDenied", "HeadObject", "GetObject", status=403)
    with pytest.raises(objects.ForbiddenObjectError) as refused:
        objects.Objects.of(source).facts("s3://archives/ap.tar.gz", WANTED_BY)
    said = str(refused.value)
    assert said.startswith(f"s3://archives/ap.tar.gz ({WANTED_BY}): S3 answered 403 Forbidden")
    assert "no such object" in said
    assert "s3:GetObject" in said
    assert "s3:ListBucket on the bucket 'archives'" in said


# --- tried before a server needs it ----------------------------------------------------------------------------


class Store(http.server.ThreadingHTTPServer):
    """Says where a bucket is, and then what it is told to."""

    status: int
    ranges: list[str | None]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Store

    def do_HEAD(self) -> None:
        self.answer(200)

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers["Range"])
        self.answer(
            self.server.status, b"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>"
        )

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("x-amz-bucket-region", "eu-west-1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""


def test_a_link_is_tried_for_one_byte_and_its_refusal_shown(connect: Connect) -> None:
    with Store(("127.0.0.1", 0), Handler) as store:
        store.status, store.ranges = 206, []
        threading.Thread(target=store.serve_forever, daemon=True).start()
        found = objects.Objects.of(connect(endpoint_url=f"http://127.0.0.1:{store.server_port}"))
        found.try_link("s3://archives/x")
        assert store.ranges == ["bytes=0-0"]
        store.status = 301
        with pytest.raises(
            errors.RefusedLinkError, match="HTTP status 301 PermanentRedirect elsewhere"
        ) as refused:
            found.try_link("s3://archives/x")
        store.shutdown()
    assert f"refused by 127.0.0.1:{store.server_port}" in str(refused.value)
    assert "X-Amz" not in str(refused.value)
    with pytest.raises(errors.CloudUnreachableError) as silent:
        found.try_link("s3://archives/x")
    # botocore's own words quote the whole link.
    assert "X-Amz" not in "".join(traceback.format_exception(silent.value))
