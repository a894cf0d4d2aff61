"""What buckets may be like: with versions, under keys of KMS, filled in parts, archived, in every region."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from gantry.cloud import archived, errors, objects

from . import strict

REGIONS = ("us-east-1", "eu-west-1", "eu-central-1", "ap-east-1")
URL = "s3://shelf/app.tar.gz"
HERE = {"Bucket": "shelf", "Key": "app.tar.gz"}
WANTED_BY = "the archive of service 'app'"
PART = 5 * 2**20
"""Bytes: the least that S3 takes as a part, but for the last one."""


@pytest.fixture(scope="module")
def running() -> Iterator[strict.Cloud]:
    with strict.running() as found:
        yield found


@pytest.fixture
def cloud(running: strict.Cloud) -> strict.Cloud:
    running.empty()
    running.bucket("shelf")
    return running


def fetched(found: objects.Objects, url: str = URL) -> bytes:
    """What a server gets by a link."""
    return httpx.get(found.link(url)).raise_for_status().content


# --- regions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("region", REGIONS)
def test_a_project_in_any_region_finds_fetches_and_puts_what_it_has(
    cloud: strict.Cloud, monkeypatch: pytest.MonkeyPatch, region: str
) -> None:
    found = cloud.connect(monkeypatch, region=region)
    assert found.make_bucket("s3://here/app.tar.gz")
    for url in ("s3://here/app.tar.gz", URL):
        # The second bucket is in eu-central-1, wherever the project is.
        found.write(url, b"archive")
        assert found.facts(url, WANTED_BY).size == len(b"archive")
        found.try_link(url)
        assert fetched(found, url) == b"archive"
        sent = httpx.put(
            found.link(url, upload=True), content=b"dump", headers={"Content-Type": objects.UPLOAD_TYPE}
        )
        assert (sent.status_code, found.read(url, WANTED_BY)) == (200, b"dump")
    assert (found.region("s3://here/app.tar.gz"), found.region(URL)) == (region, "eu-central-1")


# --- versions --------------------------------------------------------------------------------------------------


@pytest.fixture
def versions(cloud: strict.Cloud) -> Any:
    """A client, and a bucket that keeps versions, with two of an object."""
    s3 = cloud.client("s3")
    s3.put_bucket_versioning(Bucket="shelf", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"old", b"newest"):
        s3.put_object(**HERE, Body=body)
    return s3


def test_of_a_bucket_with_versions_the_newest_one_is_taken(
    cloud: strict.Cloud, versions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cloud.connect(monkeypatch)
    assert found.facts(URL, WANTED_BY).size == len(b"newest")
    assert fetched(found) == b"newest"


def test_what_was_removed_from_a_bucket_with_versions_is_missing_and_its_versions_stay(
    cloud: strict.Cloud, versions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cloud.connect(monkeypatch)
    found.remove(URL)
    with pytest.raises(objects.MissingObjectError):
        found.facts(URL, WANTED_BY)
    assert found.names_in("s3://shelf/") == ()
    assert len(versions.list_object_versions(Bucket="shelf")["Versions"]) == 2


def test_a_version_that_is_named_is_said_to_be_none_of_the_language(
    cloud: strict.Cloud, versions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = versions.list_object_versions(Bucket="shelf")["Versions"][-1]["VersionId"]
    with pytest.raises(objects.MissingObjectError, match="A version cannot be given: the newest one is used"):
        cloud.connect(monkeypatch).facts(f"{URL}?versionId={old}", WANTED_BY)


def test_an_older_version_is_a_right_of_its_own(cloud: strict.Cloud, versions: Any) -> None:
    every = versions.list_object_versions(Bucket="shelf")["Versions"]
    old = next(each["VersionId"] for each in every if not each["IsLatest"])
    reader = cloud.client("s3", **cloud.session(granted("s3:GetObject", "arn:aws:s3:::shelf/*")))
    assert reader.get_object(**HERE)["Body"].read() == b"newest"
    with pytest.raises(reader.exceptions.ClientError, match="s3:GetObjectVersion"):
        reader.get_object(**HERE, VersionId=old)


# --- keys of KMS -----------------------------------------------------------------------------------------------


@pytest.fixture
def key(cloud: strict.Cloud) -> str:
    """The key of the customer's own that the bucket encrypts with."""
    arn: str = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn}
    cloud.client("s3").put_bucket_encryption(
        Bucket="shelf",
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]},
    )
    cloud.client("s3").put_object(**HERE, Body=b"archive")
    return arn


def granted(action: str, resource: str) -> dict[str, Any]:
    """A policy of one statement."""
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}],
    }


def test_who_may_read_objects_but_not_use_their_key_learns_it_before_a_server_fetches_them(
    cloud: strict.Cloud, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = granted("s3:GetObject", "arn:aws:s3:::shelf/*")
    found = cloud.connect(monkeypatch, cloud.session(read))
    assert found.facts(URL, WANTED_BY).size == len(b"archive")
    with pytest.raises(errors.RefusedLinkError, match="kms:Decrypt") as refused:
        found.try_link(URL)
    assert "grant that on the key to what signs the links" in str(refused.value)
    with_key = cloud.connect(monkeypatch, cloud.session(read, granted("kms:Decrypt", key)))
    with_key.try_link(URL)
    assert fetched(with_key) == b"archive"


def test_to_put_something_under_a_key_is_a_right_too(
    cloud: strict.Cloud, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = granted("s3:PutObject", "arn:aws:s3:::shelf/*")
    with pytest.raises(errors.CloudError, match="kms:GenerateDataKey"):
        cloud.connect(monkeypatch, cloud.session(put)).write(URL, b"backup")
    cloud.connect(monkeypatch, cloud.session(put, granted("kms:GenerateDataKey", key))).write(URL, b"backup")


# --- in parts --------------------------------------------------------------------------------------------------


def test_the_same_content_in_parts_is_another_version_and_that_is_no_digest(
    cloud: strict.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, content = cloud.client("s3"), bytes(PART + 1)
    upload = s3.create_multipart_upload(**HERE)["UploadId"]
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(**HERE, UploadId=upload, PartNumber=number, Body=body)["ETag"],
        }
        for number, body in enumerate((content[:PART], content[PART:]), 1)
    ]
    s3.complete_multipart_upload(**HERE, UploadId=upload, MultipartUpload={"Parts": parts})
    found = cloud.connect(monkeypatch)
    in_parts = found.facts(URL, WANTED_BY)
    assert in_parts.version.endswith("-2")
    assert fetched(found) == content
    s3.put_object(**HERE, Body=content)
    at_once = found.facts(URL, WANTED_BY)
    assert at_once.version == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert (at_once.size, at_once.version != in_parts.version) == (in_parts.size, True)


def test_more_than_five_gibibytes_are_refused_at_once(
    cloud: strict.Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = urlsplit(cloud.connect(monkeypatch).link(URL, upload=True))
    connection = http.client.HTTPConnection(link.netloc)
    connection.putrequest("PUT", f"{link.path}?{link.query}")
    connection.putheader("Content-Type", objects.UPLOAD_TYPE)
    connection.putheader("Content-Length", str(5 * 2**30 + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, b"<Code>EntityTooLarge</Code>" in answer.read()) == (400, True)


# --- archived --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_object_is_told_from_one_that_is_missing_or_forbidden(
    cloud: strict.Cloud, monkeypatch: pytest.MonkeyPatch, storage_class: str
) -> None:
    cloud.client("s3").put_object(**HERE, Body=b"archive", StorageClass=storage_class)
    found = cloud.connect(monkeypatch)
    # What is wrong is the object, and not the link.
    found.try_link(URL)
    for ask in (lambda: found.facts(URL, WANTED_BY).fetchable(), lambda: found.read(URL, WANTED_BY)):
        with pytest.raises(archived.ArchivedObjectError, match="from which S3 returns no objects") as refused:
            ask()
        assert "aws s3api restore-object --bucket 'shelf' --key 'app.tar.gz'" in str(refused.value)
        assert not refused.value.transient
    with pytest.raises(archived.ArchivedObjectError, match=storage_class):
        found.facts(URL, WANTED_BY).fetchable()


@pytest.mark.parametrize("storage_class", ["STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "INTELLIGENT_TIERING"])
def test_other_storage_classes_are_as_good_as_any(
    cloud: strict.Cloud, monkeypatch: pytest.MonkeyPatch, storage_class: str
) -> None:
    cloud.client("s3").put_object(**HERE, Body=b"archive", StorageClass=storage_class)
    found = cloud.connect(monkeypatch)
    assert found.facts(URL, WANTED_BY).fetchable().size == len(b"archive")
    found.try_link(URL)


def test_what_was_restored_can_be_fetched(cloud: strict.Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    s3, found = cloud.client("s3"), cloud.connect(monkeypatch)
    s3.put_object(**HERE, Body=b"archive", StorageClass="GLACIER")
    s3.restore_object(**HERE, RestoreRequest={"Days": 1})
    assert found.facts(URL, WANTED_BY).fetchable().size == len(b"archive")
    assert fetched(found) == b"archive"


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ({"StorageClass": "GLACIER", "Restore": 'ongoing-request="true"'}, "S3 is restoring it"),
        (
            {"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "DEEP_ARCHIVE_ACCESS"},
            "DEEP_ARCHIVE_ACCESS",
        ),
    ],
)
def test_what_is_on_its_way_and_what_a_tier_has_archived_is_said_to_be(head: Any, said: str) -> None:
    assert said in str(archived.obstacle(URL, WANTED_BY, head))
