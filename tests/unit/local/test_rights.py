"""The documented rights are enough for each kind of work, and nothing of them is too much."""

from __future__ import annotations

import ast
import copy
import dataclasses
import datetime
import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import boto3
import httpx
import pytest

from gantry import definition, inventory, names, preflight
from gantry.cloud import backups, clients, errors, health, instance_start, objects, pace, servers, tags
from gantry.definition import models
from gantry.local.cloud import iam

from . import strict

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "rights.md"
DEFINITION = """\
deployment: {deployment}
cloud: {{connection: aws_shop, region: eu-central-1}}
launch_configurations:
  debian:
    image: gantry-debian-12
    ssh: {{connection: shop_ssh}}
    network: {{subnets: [{subnet}], security_groups: [{group}]}}
    volumes: [{{device: /dev/sdf, size: 20}}]
tiers:
  web: {{launch_configuration: debian, servers: {{min: 1, max: 9}}}}
services:
  page: {{id: a9001, tier: web, archive: 's3://bookshop/page.tar.gz'}}
backups: {{of: {{page: page}}, to: 's3://bookshop-backups/daily/', keep: 1}}
"""
WEB = names.TierName("web")
SHOP = names.DeploymentName("bookshop")
DRILL = names.of_drill(SHOP)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMIyA7C7cS2dJ4eS1v9bG5d0u1LxDE5j5V1f5k6l7m8n"
LOG = logging.getLogger("gantry")
ARCHIVE = b"\x1f\x8b\x08"
NOW = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
Document = dict[str, Any]


def documents() -> dict[str, Document]:
    """The policy documents of the page, by their headings."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(), flags=re.MULTILINE)[1:]
    found = {
        heading: re.findall(r"```json\n(.*?)```", text, re.DOTALL)
        for heading, text in zip(parts[::2], parts[1::2], strict=True)
    }
    return {heading: json.loads(only) for heading, (only,) in ((k, v) for k, v in found.items() if v)}


def uses() -> dict[str, tuple[str, ...]]:
    """What can be used, and the documents that it needs, as the page's first table has them."""
    table = PAGE.read_text().partition("| what you use |")[2].partition("\n\n")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines()[2:]]
    return {
        re.sub(r"\[(.*?)\]\(.*?\)", r"\1", use).strip(): tuple(
            anchor.replace("-", " ").capitalize() for anchor in re.findall(r"\(#([a-z-]+)\)", needed)
        )
        for use, needed in rows
    }


@dataclasses.dataclass
class Desk:
    """A deployment and its drill, and what the product does with them by somebody's rights."""

    cloud: strict.Cloud
    monkeypatch: pytest.MonkeyPatch
    s3: objects.Objects = dataclasses.field(init=False)
    ec2: Any = dataclasses.field(init=False)

    def definition(self, deployment: str = SHOP) -> models.Definition:
        # No definition has a drill's name: it is made from one.
        text = DEFINITION.format(deployment=SHOP, subnet=self.cloud.subnet, group=self.cloud.group)
        return definition.loads(text).model_copy(update={"deployment": deployment})

    def be(self, *granted: Document) -> None:
        """From now on, have the rights of these documents."""
        self._connect(self.cloud.session(*granted))
        self.cloud.asked.clear()

    def be_root(self) -> None:
        """From now on, have all rights."""
        self._connect(None)

    def _connect(self, keys: dict[str, str] | None) -> None:
        self.s3 = self.cloud.connect(self.monkeypatch, keys)
        self.ec2 = clients.ec2(self.definition().cloud)

    def servers(self, deployment: str = SHOP) -> servers.Servers:
        found = self.definition(deployment)
        return servers.Servers(self.ec2, found, LOG)

    def health(self) -> health.Health:
        return health.Health(self.ec2, strict.AWS)

    def scale_up(self, wanted: int, deployment: str = SHOP) -> tuple[inventory.Server, ...]:
        order = instance_start.StartOrder(f"run-{wanted}", deployment)
        return self.servers(deployment).scale_up(WEB, wanted, KEY, "deploy", order).servers

    def shelf(self) -> backups.Shelf:
        found = self.definition()
        assert found.backups is not None
        return backups.Shelf(self.s3, found.backups, SHOP, names.BackupName("page"))

    def wrong(self, *allowed: str) -> dict[str, str]:
        """What `gantry doctor` finds wrong, but for what begins with these words."""
        known = self.definition()
        return {
            each.what: each.said
            for each in preflight.examine(known, preflight.of_launch(known))
            if each.standing is not preflight.CheckOutcome.WELL and not each.what.startswith(allowed)
        }


@pytest.fixture(scope="module")
def cloud() -> Iterator[strict.Cloud]:
    with strict.running() as found:
        yield found


@pytest.fixture
def desk(cloud: strict.Cloud, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """With two servers of the deployment and of its drill, an archive and a backup, made by the account itself."""
    # This cloud refuses nobody for asking often.
    monkeypatch.setattr(pace, "_PER_SECOND", 1e6)
    cloud.empty()
    found = Desk(cloud, monkeypatch)
    found.be_root()
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    login = {"conn_type": "ssh", "login": "launcher", "extra": {"private_key": key}}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_SSH", json.dumps(login))
    for name in ("bookshop", "bookshop-backups"):
        cloud.bucket(name)
    found.s3.write("s3://bookshop/page.tar.gz", ARCHIVE)
    found.scale_up(2)
    found.scale_up(2, DRILL)
    _back_up(found, 1)
    return found


# --- each kind of work, by the product's own functions ---------------------------------------------------------


def pages(desk: Desk) -> None:
    ec2 = clients.impatient_ec2(desk.definition().cloud)
    assert len(servers.Servers(ec2, desk.definition(), LOG).find().servers) == 2


def see(desk: Desk) -> None:
    assert len(desk.servers().find().servers) >= 1
    for deployment in (SHOP, DRILL):
        found = desk.servers(deployment)
        for server in found.everything().everything:
            found.console_host_key(server)
        assert found.image_id("gantry-debian-12").startswith("ami-")
        assert set(found.ending(WEB)) == set(found.living(found.ending(WEB)))
        assert desk.health().impaired(found.find().servers) == {}
    desk.s3.try_link("s3://bookshop/page.tar.gz")
    assert desk.s3.facts("s3://bookshop/page.tar.gz", "test").size == len(ARCHIVE)
    with pytest.raises(objects.MissingObjectError):
        desk.s3.facts("s3://bookshop/pag.tar.gz", "test")


def look(desk: Desk) -> None:
    see(desk)
    assert not desk.wrong("tier web: a server", "backups in")


def examine(desk: Desk) -> None:
    see(desk)
    desk.shelf().find("")
    assert not desk.wrong("tier web: a server")


def note(desk: Desk) -> None:
    for deployment in (SHOP, DRILL):
        found, checks = desk.servers(deployment), desk.health()
        every = found.find().servers
        found.pin_host_key(every[0], KEY)
        found.remember_wanted(every, 2)
        checks.note_ailing(every, inventory.Ailing(NOW, NOW))
        found.note_well(found.find().servers[0])
        found.note_arrived(every)
        found.let_leave(every[:1])
        found.give_up(every[1], "silent")


def launch(desk: Desk) -> None:
    for deployment in (SHOP, DRILL):
        found = desk.servers(deployment)
        ids = [each.instance_id for each in found.find().servers][:1]
        # Somebody has stopped one.
        desk.cloud.client("ec2").stop_instances(InstanceIds=ids)
        assert len(desk.scale_up(3, deployment)) == 3
    assert not desk.wrong("backups in")


def terminate(desk: Desk) -> None:
    for deployment in (SHOP, DRILL):
        found = desk.servers(deployment)
        found.terminate(found.everything().everything)
        assert not found.find().servers


def back_up(desk: Desk) -> None:
    assert len(_back_up(desk, 2)) == 1
    assert desk.shelf().find("").manifest.time.day == 2


def restore(desk: Desk) -> None:
    stored = desk.shelf().find("")
    assert httpx.get(desk.s3.link(stored.url)).content == b"dump"


def upload(desk: Desk) -> None:
    digest = hashlib.sha256(PAGE.read_bytes()).hexdigest()
    assert not desk.s3.make_bucket("s3://bookshop/new.tar.gz")
    assert desk.s3.put(PAGE, "s3://bookshop/new.tar.gz", digest)
    desk.cloud.client("s3").delete_object(Bucket="bookshop", Key="new.tar.gz")
    desk.cloud.client("s3").delete_object(Bucket="bookshop", Key="page.tar.gz")
    desk.cloud.client("s3").delete_bucket(Bucket="bookshop")
    assert desk.s3.make_bucket("s3://bookshop/new.tar.gz")


def _back_up(desk: Desk, day: int) -> tuple[str, ...]:
    moment = datetime.datetime(2026, 3, day, tzinfo=datetime.UTC)
    name = backups.object_name(moment, "run", ".tar.gz")
    link = desk.s3.link(desk.shelf().url(name), upload=True)
    sent = httpx.put(link, content=b"dump", headers={"Content-Type": objects.UPLOAD_TYPE})
    assert sent.status_code == 200
    return desk.shelf().keep(
        backups.Manifest(
            object=name,
            deployment=SHOP,
            backup=names.BackupName("page"),
            service=names.ServiceName("page"),
            datasource=None,
            size=4,
            sha256="ab" * 32,
            time=moment,
            archive="1",
        )
    )


Work = Callable[[Desk], None]

OF_DOCUMENTS: dict[str, tuple[Work, tuple[str, ...]]] = {
    "Look": (look, ()),
    "Note": (note, ("Look",)),
    "Launch": (launch, ("Look", "Note")),
    "Terminate": (terminate, ("Look",)),
    "Back up": (back_up, ()),
    "Restore": (restore, ()),
    "Upload": (upload, ()),
}
"""What each document is for, and which others have to be there to do only that."""

OF_USES: dict[str, tuple[Work, ...]] = {
    "gantry plan, gantry doctor": (examine,),
    "launches": (see, launch, note, restore),
    "on_failure: remove_new": (terminate,),
    "scaling, recovering": (see, launch, note, terminate),
    "watching": (see, note),
    "termination": (see, note, terminate, back_up),
    "backups": (see, note, back_up),
    "restoring": (see, restore, note),
    "drills": (restore, see, launch, note, terminate),
    "gantry archive to S3": (upload,),
}


def test_the_page_and_this_test_know_the_same_documents_and_uses() -> None:
    assert documents().keys() == OF_DOCUMENTS.keys()
    first, *others = (use.replace("`", "") for use in uses())
    assert first == "the pages and gantry status --from cloud"
    assert others == list(OF_USES)


def test_the_pages_need_one_right(desk: Desk) -> None:
    desk.be(_policy({"Action": "ec2:DescribeInstances", "Resource": "*"}))
    pages(desk)


@pytest.mark.parametrize("use", OF_USES)
def test_with_exactly_the_documented_rights_all_of_it_works(desk: Desk, use: str) -> None:
    (needed,) = (needed for row, needed in uses().items() if row.replace("`", "") == use)
    if needed == ("Terminate",) or "launches" in PAGE.read_text().partition(f"| {use}")[2].partition("\n")[0]:
        # The row says what comes on top of a launch's.
        needed = (*uses()["launches"], *needed)
    every = documents()
    desk.be(*(every[name] for name in dict.fromkeys(needed)))
    for work in OF_USES[use]:
        work(desk)


@pytest.mark.parametrize("name", OF_DOCUMENTS)
def test_of_each_document_every_word_is_needed(desk: Desk, name: str) -> None:
    work, others = OF_DOCUMENTS[name]
    every = documents()
    desk.be(every[name], *(every[other] for other in others))
    work(desk)
    asked, fixed = list(desk.cloud.asked), [json.dumps(every[other]) for other in others]
    # What was refused could be done without.
    allowed = [ask for ask in asked if iam.allows([json.dumps(every[name]), *fixed], ask)]
    reduced = list(_reductions(every[name]))
    assert len(reduced) >= len(every[name]["Statement"])
    for what, less in reduced:
        assert not _all_allowed([json.dumps(less), *fixed], allowed), f"{name}: {what} is not needed"


def _all_allowed(granted: list[str], asked: list[iam.Ask]) -> bool:
    return all(iam.allows(granted, ask) for ask in asked)


def _reductions(document: Document) -> Iterator[tuple[str, Document]]:
    """The document without one word: each action, resource and value of a condition, and each whole statement."""
    for number, statement in enumerate(document["Statement"]):
        less = copy.deepcopy(document)
        del less["Statement"][number]
        yield f"statement {number + 1}", less
        for path in _lists(statement):
            for place in range(len(_at(statement, path))):
                less = copy.deepcopy(document)
                word = _at(less["Statement"][number], path).pop(place)
                yield f"{word} in statement {number + 1}", less


def _lists(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, list):
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _lists(inner, (*path, key))


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _policy(*statements: Document) -> Document:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]}


# --- who has them has no power over anything else --------------------------------------------------------------


@pytest.mark.parametrize("deployed", ["another", None])
def test_what_gantry_has_not_started_for_this_deployment_is_out_of_reach(
    desk: Desk, deployed: str | None
) -> None:
    ec2 = desk.cloud.client("ec2")
    (foreign,) = ec2.run_instances(
        ImageId=desk.servers().image_id("gantry-debian-12"), MinCount=1, MaxCount=1
    )["Instances"]
    ids = [foreign["InstanceId"]]
    if deployed:
        ec2.create_tags(Resources=ids, Tags=[{"Key": tags.DEPLOYMENT, "Value": deployed}])
    holder = desk.cloud.client("ec2", **desk.cloud.session(*documents().values()))
    own = [each.instance_id for each in desk.servers().find().servers]
    take_over = [{"Key": tags.DEPLOYMENT, "Value": SHOP}]
    refusals: tuple[Callable[[], object], ...] = (
        lambda: holder.terminate_instances(InstanceIds=ids),
        lambda: holder.terminate_instances(InstanceIds=[*own, *ids]),
        lambda: holder.start_instances(InstanceIds=ids),
        lambda: holder.get_console_output(InstanceId=ids[0]),
        lambda: holder.create_tags(Resources=ids, Tags=take_over),
        lambda: holder.create_tags(Resources=ids, Tags=[{"Key": tags.NAME, "Value": "mine"}]),
        # Nor is one of its own made another deployment's.
        lambda: holder.create_tags(Resources=own, Tags=[{"Key": tags.DEPLOYMENT, "Value": "another"}]),
        lambda: holder.delete_tags(Resources=own, Tags=[{"Key": tags.DEPLOYMENT}]),
        lambda: holder.run_instances(ImageId=foreign["ImageId"], MinCount=1, MaxCount=1),
    )
    for refused in refusals:
        with pytest.raises(holder.exceptions.ClientError, match="UnauthorizedOperation"):
            refused()
    assert len(desk.servers().find().servers) == 2


def test_a_refusal_says_what_right_is_missing(desk: Desk) -> None:
    desk.be(documents()["Look"])
    with pytest.raises(errors.CloudError, match=r"UnauthorizedOperation.*ec2:RunInstances") as refused:
        desk.scale_up(3)
    assert "rights of the Airflow connection 'aws_shop'" in str(refused.value)


def test_an_instance_profile_needs_its_role_passed(desk: Desk) -> None:
    given = desk.cloud.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = given.create_role(RoleName="web", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    given.create_instance_profile(InstanceProfileName="web")
    given.add_role_to_instance_profile(InstanceProfileName="web", RoleName="web")
    every = documents()
    request: Any = {
        "ImageId": desk.servers().image_id("gantry-debian-12"),
        "MinCount": 1,
        "MaxCount": 1,
        "IamInstanceProfile": {"Name": "web"},
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": [{"Key": tags.DEPLOYMENT, "Value": SHOP}]}
            for kind in ("instance", "volume")
        ],
    }
    pass_role = {
        "Action": "iam:PassRole",
        "Resource": role,
        "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
    }
    without = desk.cloud.client("ec2", **desk.cloud.session(every["Launch"]))
    with pytest.raises(without.exceptions.ClientError, match="iam:PassRole"):
        without.run_instances(**request)
    desk.cloud.client("ec2", **desk.cloud.session(every["Launch"], _policy(pass_role))).run_instances(
        **request
    )


# --- nothing is asked of the cloud that no document speaks of --------------------------------------------------

S3_ACTIONS = {
    "CreateBucket": "CreateBucket",
    "DeleteObject": "DeleteObject",
    "GetObject": "GetObject",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "PutObject": "PutObject",
    # Of stores that are not AWS's: see `cloud/regions.py`.
    "GetBucketLocation": None,
}


def test_every_call_that_the_product_makes_is_in_a_document() -> None:
    granted = {
        action
        for document in documents().values()
        for statement in document["Statement"]
        for action in _listed(statement["Action"])
    }
    asked = set(_calls("ec2", lambda operation: f"ec2:{operation}"))
    asked |= {action for action in _calls("s3", _s3_action) if action}
    assert asked == granted


def _s3_action(operation: str) -> str | None:
    action = S3_ACTIONS[operation]
    return action and f"s3:{action}"


def _calls(service: str, action: Callable[[str], str | None]) -> Iterator[Any]:
    """The actions that the product's sources ask for: by boto3's methods, and by paginators of them."""
    make: Any = boto3.client
    methods = make(service, region_name=strict.REGION).meta.method_to_api_mapping
    product = ROOT / "plugins" / "gantry"
    for path in product.rglob("*.py"):
        if path.is_relative_to(product / "local"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(attr="get_paginator"), args=[ast.Constant(value=str(name))]):
                    found = name
                case ast.Call(func=ast.Attribute(value=ast.expr() as client, attr=name)) if ast.unparse(
                    client
                ).endswith(service):
                    found = name
                case _:
                    continue
            if found in methods:
                yield action(methods[found])


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
