"""The look before a launch: everything that is wrong at once, each where the definition names it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import json
import pathlib
import tarfile
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import asyncssh
import boto3
import botocore.client
import moto
import pytest

from gantry import definition, errors, names, preflight
from gantry.agent import file_kinds, jobs, ssh
from gantry.cloud import sources
from gantry.cloud.errors import CloudError
from gantry.operators import wait_for_turn
from gantry.plan import StepKind, plan_of
from gantry.preflight import storage
from gantry.preflight.findings import PreflightCheck, may_look
from gantry.reconcile import step_run
from tests.certificates import sign

REGION = "eu-central-1"
KEYS = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
TEXT = """\
deployment: shop
cloud: {region: eu-central-1}
launch_configurations:
  debian:
    image: IMAGE
    network: {subnets: [SUBNET]}
    ssh: {connection: shop_ssh}
tiers:
  database: {launch_configuration: debian, servers: 1}
  web: {launch_configuration: debian, servers: 2}
services:
  db:
    id: a1001
    tier: database
    archive: s3://shop/db.tar.gz
    datasources:
      catalog: {dump: s3://shop/catalog.sql, connection: shop_catalog}
  app:
    id: a1002
    tier: web
    archive: s3://shop/app.tar.gz
    port: 8000
    depends_on: [db.catalog]
load_balancers:
  front: {tier: web, service: app, port: 443, tls: {connection: shop_tls}, name: shop.example.com}
"""


def tarball() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("bin/enstratus-start"))
    return packed.getvalue()


@dataclasses.dataclass
class World:
    """An account in order, and a definition that fits it."""

    folder: pathlib.Path
    ec2: Any
    s3: Any
    text: str
    calls: list[str] = dataclasses.field(default_factory=list)

    def put(self, key: str, content: bytes) -> None:
        self.s3.put_object(Bucket="shop", Key=key, Body=content)

    def loaded(self) -> definition.Loaded:
        path = self.folder / "shop.yaml"
        path.write_text(self.text)
        return definition.read(path)

    def found(self) -> list[preflight.PreflightFinding]:
        known = self.loaded().definition
        self.calls.clear()
        return list(preflight.examine(known, preflight.of_launch(known)))

    def wrong(self) -> dict[str, str]:
        return {each.what: each.said for each in self.found() if each.is_wrong}

    def at(self, text: str) -> str:
        """The place of a text, as messages say it."""
        lines = self.text.splitlines()
        line = next(number for number, each in enumerate(lines) if text in each)
        return f"shop.yaml:{line + 1}:{lines[line].index(text) + 1}: "


def connect(monkeypatch: pytest.MonkeyPatch, name: str, **connection: object) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))


def private_key(kind: str = "ssh-ed25519") -> str:
    return asyncssh.generate_private_key(kind).export_private_key().decode()


@pytest.fixture
def world(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    connect(monkeypatch, "aws_default", conn_type="aws", login="AKIAEXAMPLE", password="secret")
    connect(monkeypatch, "shop_ssh", conn_type="ssh", login="admin", extra={"private_key": private_key()})
    connect(
        monkeypatch, "shop_catalog", conn_type="mysql", login="shop", password="pa$$word", schema="catalog"
    )
    made = sign("shop.example.com")
    connect(monkeypatch, "shop_tls", conn_type="tls", password=made.key_pem, extra={"certificate": made.pem})
    # Hundreds of images of its own, made for each test.
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    call = cast("Any", botocore.client.BaseClient)._make_api_call
    with moto.mock_aws():
        ec2 = cast("Any", boto3.client)("ec2", region_name=REGION, **KEYS)
        s3 = cast("Any", boto3.client)("s3", region_name=REGION, **KEYS)
        s3.create_bucket(Bucket="shop", CreateBucketConfiguration={"LocationConstraint": REGION})
        subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        image = ec2.register_image(Name="golden-2026", RootDeviceName="/dev/sda1")["ImageId"]
        found = World(tmp_path, ec2, s3, TEXT.replace("IMAGE", image).replace("SUBNET", subnet))
        for each in ("db.tar.gz", "app.tar.gz"):
            found.put(each, tarball())
        found.put("catalog.sql", b"CREATE TABLE books (title TEXT);\n")

        def counted(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
            found.calls.append(operation)
            return call(client, operation, arguments)

        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", counted)
        # Links are tried with the embedded cloud, which has a host of its own.
        monkeypatch.setattr(sources.S3Access, "first_byte", lambda *_: (206, ""))
        yield found


def test_what_is_in_order_is_well_nothing_is_started_and_each_object_is_asked_for_once(world: World) -> None:
    found = world.found()
    assert {each.what: each.said for each in found if each.standing is not preflight.CheckOutcome.WELL} == {}
    assert not world.ec2.describe_instances()["Reservations"]
    assert [each.what for each in found].count("connection shop_catalog") == 1
    assert world.calls.count("GetObject") == 3
    assert "HeadObject" not in world.calls


def test_everything_that_is_wrong_is_told_at_once_and_each_in_its_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    subnet = world.text.partition("subnets: [")[2].partition("]")[0]
    world.text = world.text.replace(subnet, "subnet-0123456789abcdef0")
    world.s3.delete_object(Bucket="shop", Key="catalog.sql")
    world.put("app.tar.gz", b"<html>not found</html>")
    world.put("db.tar.gz", b"")
    connect(monkeypatch, "shop_ssh", conn_type="ssh", login="admin", extra={"private_key": "no key"})
    monkeypatch.delenv("AIRFLOW_CONN_SHOP_CATALOG")
    connect(monkeypatch, "shop_tls", conn_type="tls", password="", extra={})
    loaded = world.loaded()
    found = list(preflight.examine(loaded.definition, preflight.of_launch(loaded.definition)))
    with pytest.raises(preflight.NotReadyError) as refused:
        preflight.refuse(found, loaded.source)
    said = str(refused.value)
    for place, words in (
        ("shop_ssh", "is unusable"),
        ("shop_catalog", "cannot be read"),
        ("shop_tls", "certificate"),
        ("subnet-0123456789abcdef0", "InvalidSubnetID.NotFound"),
        ("s3://shop/catalog.sql", "does not exist"),
        ("s3://shop/app.tar.gz", "no archive: its first bytes are a page"),
        ("s3://shop/db.tar.gz", "0 bytes, and no archive: its first bytes are empty"),
    ):
        told = [each for each in said.split("shop.yaml:") if f"shop.yaml:{each}".startswith(world.at(place))]
        assert any(words in each for each in told), (place, told)
    assert not refused.value.transient


@pytest.mark.parametrize(
    ("name", "content", "really"),
    [
        ("app.tar.gz", b"<html>not found</html>", "a page or an error document (HTML or XML)"),
        ("app.tar.gz", b"", "empty"),
        ("app.zip", bytes(512), "only zeros"),
        ("app.zip", b"Rar!\x1a\x07", "RAR"),
        ("app.tar", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        ("app.zip", b"hello", "text"),
        ("app.tar.gz", b"PK\x03\x04" + bytes(40), None),
        ("App.TGZ", b"\x1f\x8b\x08", None),
        ("old.tar", b"bin/" + bytes(508), None),
    ],
    ids=["page", "nothing", "zeros", "RAR", "Git LFS", "text", "zip", "in capitals", "an old tar"],
)
def test_what_is_no_archive_at_all_is_refused(name: str, content: bytes, really: str | None) -> None:
    judged = storage.of_archive(f"s3://shop/{name}", content)
    if really is None:
        assert judged is None
    else:
        assert judged is not None
        assert judged[0] is preflight.CheckOutcome.WRONG
        assert f"and no archive: its first bytes are {really}" in judged[1]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\x1f\x8b\x08", "gzip"), ("CREATE TABLE".encode("utf-16"), "text in UTF-16")],
    ids=["gzip", "UTF-16"],
)
def test_a_dump_of_another_kind_is_a_remark_since_the_services_script_may_know_it(
    content: bytes, said: str
) -> None:
    judged = storage.of_dump("s3://shop/catalog.sql", content)
    assert judged is not None
    assert judged[0] is preflight.CheckOutcome.UNKNOWN
    assert said in judged[1]
    assert storage.of_dump("s3://shop/catalog.sql", b"CREATE TABLE") is None
    assert storage.of_dump("s3://shop/catalog.SQL.gz", b"\x1f\x8b\x08") is None


def test_a_program_that_linux_cannot_start_is_refused() -> None:
    judged = storage.of_program("s3://shop/converge.sh", b"#!/bin/sh\r\necho hello\r\n")
    assert judged is not None
    assert "Windows" in judged[1]
    assert storage.of_program("s3://shop/converge.sh", b"#!/bin/sh\necho hello\n") is None
    assert storage.of_program("s3://shop/converge", b"\x7fELF") is None
    assert storage.of_program("s3://shop/converge", b"") is not None


def test_an_image_that_nobody_has_is_named_and_no_server_is_tried_with_it(world: World) -> None:
    image = world.text.partition("image: ")[2].partition("\n")[0]
    world.text = world.text.replace(image, "golden-2027")
    wrong = world.wrong()
    assert set(wrong) == {"tier database: image golden-2027", "tier web: image golden-2027"}
    assert "RunInstances" not in world.calls


def test_an_image_that_is_a_parameter_which_is_not_there_is_named(world: World) -> None:
    image = world.text.partition("image: ")[2].partition("\n")[0]
    world.text = world.text.replace(image, "'resolve:ssm:/no/such'")
    said = world.wrong()["tier web: image resolve:ssm:/no/such"]
    assert "there is no such parameter in eu-central-1" in said


def test_without_the_clouds_connection_nothing_else_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
    assert list(world.wrong()) == ["connection aws_default"]
    assert world.calls == []


def test_what_new_servers_are_made_from_is_not_looked_at_where_none_is_missing(world: World) -> None:
    known = world.loaded().definition
    found = list(preflight.examine(known, preflight.of_launch(known), {"database": 0, "web": 0}))
    assert not any("image" in each.what for each in found)
    assert "RunInstances" not in world.calls
    assert "s3://shop/app.tar.gz" in {each.what for each in found}


def test_no_right_to_look_and_what_may_pass_are_remarks() -> None:
    def asks(code: str) -> Any:
        def ask() -> str:
            raise CloudError("looking", code, "no", names.ConnectionId("aws_default"))

        return ask

    look = PreflightCheck("subnet", (), may_look)
    assert look.of(asks("UnauthorizedOperation")).standing is preflight.CheckOutcome.UNKNOWN
    assert look.of(asks("RequestLimitExceeded")).standing is preflight.CheckOutcome.UNKNOWN
    assert look.of(asks("InvalidSubnetID.NotFound")).is_wrong
    # A launch needs this right itself.
    assert PreflightCheck("a server", ()).of(asks("UnauthorizedOperation")).is_wrong


def run(world: World, operation: names.Operation) -> step_run.StepRun:
    loaded = world.loaded()
    known = loaded.definition
    plan = plan_of(known, operation)
    return step_run.StepRun(
        definition=known,
        plan=plan,
        step=next(step for step in plan if step.kind is StepKind.TURN),
        id="run-1",
        key=jobs.StepKey(step="x.turn", epoch="0", attempt="1"),
        wanted={"database": 1, "web": 2},
        source=loaded.source,
    )


def test_the_first_step_of_a_launch_refuses_and_a_termination_only_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = wait_for_turn.TurnOperator(task_id="turn")
    operator._look(run(world, names.Operation.LAUNCH))
    world.s3.delete_object(Bucket="shop", Key="app.tar.gz")
    with pytest.raises(preflight.NotReadyError, match=r"shop\.yaml:\d+:\d+: s3://shop/app.tar.gz"):
        operator._look(run(world, names.Operation.LAUNCH))
    monkeypatch.delenv("AIRFLOW_CONN_SHOP_SSH")
    capsys.readouterr()
    operator._look(run(world, names.Operation.TERMINATE))
    said = capsys.readouterr().out
    assert "connection shop_ssh: Airflow connection 'shop_ssh' cannot be read" in said
    # It fetches no archive, so that one does not even come up.
    assert "app.tar.gz" not in said


@contextlib.asynccontextmanager
async def jump_host(host_key: str, login: str) -> AsyncIterator[int]:
    """A real SSH server that lets in whoever has the key `login`."""

    class Server(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - asyncssh's
            return True

        def public_key_auth_supported(self) -> bool:
            return True

        def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002
            return key == asyncssh.import_private_key(login).convert_to_public()

    async with await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Server, server_host_keys=[asyncssh.import_private_key(host_key)]
    ) as listening:
        yield listening.get_port()


HOST_KEY, LOGIN = private_key(), private_key()


@pytest.mark.parametrize(
    ("trusted", "login", "said"),
    [
        (HOST_KEY, LOGIN, None),
        (private_key(), LOGIN, "is not the one pinned in the extra field host_key"),
        (private_key("ecdsa-sha2-nistp256"), LOGIN, "ssh-ed25519"),
        (
            HOST_KEY,
            private_key(),
            "refuses the user 'admin' with the key of the Airflow connection 'bastion'",
        ),
    ],
    ids=["right", "another host key", "another kind of host key", "another login"],
)
def test_a_jump_host_is_logged_in_to_with_a_trusted_key(trusted: str, login: str, said: str | None) -> None:
    async def greet() -> None:
        async with jump_host(HOST_KEY, LOGIN) as port:
            public = asyncssh.import_private_key(trusted).export_public_key().decode()
            user = ssh.Login("admin", login, port=port, connection="bastion")
            await ssh.greet_jump_host(ssh.Access(user, ssh.JumpHost("127.0.0.1", public, user)))

    if said is None:
        asyncio.run(greet())
        return
    with pytest.raises(errors.GantryError, match=said):
        asyncio.run(greet())


def test_a_jump_host_that_does_not_answer_is_named_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = asyncssh.import_private_key(HOST_KEY).export_public_key().decode()
    connect(
        monkeypatch,
        "bastion",
        conn_type="ssh",
        host="127.0.0.1",
        port=1,
        login="admin",
        extra={"private_key": LOGIN, "host_key": public},
    )
    world.text = world.text.replace(
        "{connection: shop_ssh}", "{connection: shop_ssh, jump_connection: bastion}"
    )
    found = world.found()
    (wrong,) = (each for each in found if each.is_wrong)
    assert wrong.what == "connection bastion"
    assert wrong.said.startswith("no SSH connection to 127.0.0.1")
    loaded = world.loaded()
    with pytest.raises(preflight.NotReadyError, match=world.at("bastion").strip()) as refused:
        preflight.refuse(found, loaded.source)
    assert refused.value.transient


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", file_kinds.FileKind.EMPTY),
        (b"\x1f\x8b\x08", file_kinds.FileKind.GZIP),
        (b"\xfd7zXZ\x00", file_kinds.FileKind.XZ),
        (b"\x28\xb5\x2f\xfd", file_kinds.FileKind.ZSTD),
        (bytes(257) + b"ustar  ", file_kinds.FileKind.TAR),
        ("å".encode("utf-16"), file_kinds.FileKind.UTF_16),
        ("CREATE".encode("utf-16-be"), file_kinds.FileKind.UTF_16),
        (b"\xef\xbb\xbfCREATE", file_kinds.FileKind.TEXT),
        (b"\xef\xbb\xbf<?xml", file_kinds.FileKind.HTML),
        (b"\x00\x01\x02\x03", file_kinds.FileKind.BINARY),
        (bytes(8), file_kinds.FileKind.ZEROS),
        (b"\x5a\x2a\x4d\x18", file_kinds.FileKind.ZSTD),
    ],
    ids=str,
)
def test_first_bytes_tell_a_kind(head: bytes, kind: file_kinds.FileKind) -> None:
    assert file_kinds.of(head) is kind
