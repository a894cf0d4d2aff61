"""What a drill chooses, what it says at its end, and whose servers it takes away: against moto's EC2 and S3."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import logging
from collections.abc import Iterator
from typing import Any, cast

import boto3
import moto
import pytest
from botocore import config

from gantry import definition, names, plan
from gantry.agent import jobs
from gantry.cloud import backups as stored
from gantry.cloud import clients, servers, sources
from gantry.definition import drills as throw_away
from gantry.operators import backups, drills, termination
from gantry.reconcile import step_run
from gantry.runtime import lock_holder
from tests.unit.agent.world import DEFINITION
from tests.unit.operators.world import Store

KNOWN = definition.loads(
    DEFINITION
    + "backups:\n  of: {catalog: db.catalog}\n  to: s3://vault/\n  drill: {max_age: 36h, check: {catalog: 'true'}}\n"
)
COPY = throw_away.throw_away(KNOWN)
TIER, CATALOG = names.TierName("database"), names.BackupName("catalog")
NOW = datetime.datetime.now(tz=datetime.UTC)


@dataclasses.dataclass
class Instance:
    """What a task knows of itself, and what others have reported."""

    reports: dict[str, Any] = dataclasses.field(default_factory=dict)
    start_date: datetime.datetime = NOW

    def xcom_pull(self, task_ids: list[str], key: str) -> list[Any]:  # noqa: ARG002 - Airflow's signature
        return [self.reports[each] for each in task_ids if each in self.reports]


# A session reads megabytes of API descriptions for its first client, and none for the others.
@functools.cache
def _account() -> boto3.Session:
    return boto3.Session(aws_access_key_id="a", aws_secret_access_key="secret", region_name="us-east-1")


class Cloud:
    """An account with EC2 and S3."""

    def __init__(self) -> None:
        self.ec2 = _account().client("ec2")
        self.s3 = _account().client("s3", config=config.Config(signature_version="s3v4"))
        self.s3.create_bucket(Bucket="vault")
        self.states: dict[str, Store] = {"bookshop": Store(), "bookshop--drill": Store()}
        self.image = self.ec2.describe_images()["Images"][0]["ImageId"]

    def start(self, deployment: str, tier: str = "database") -> str:
        tags = {"gantry:deployment": deployment, "gantry:tier": tier, "gantry:slots": "1"}
        answer = self.ec2.run_instances(
            ImageId=self.image,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                }
            ],
        )
        return str(answer["Instances"][0]["InstanceId"])

    def alive(self) -> set[str]:
        filters: Any = [{"Name": "instance-state-name", "Values": ["running"]}]
        found = self.ec2.describe_instances(Filters=filters)["Reservations"]
        return {each["InstanceId"] for one in found for each in one["Instances"]}

    def keep(self, age: datetime.timedelta) -> str:
        """A complete backup."""
        moment = datetime.datetime.now(tz=datetime.UTC) - age
        name = stored.object_name(moment, "run", ".sql")
        manifest = stored.Manifest(
            object=name,
            deployment=KNOWN.deployment,
            backup=CATALOG,
            service=names.ServiceName("db"),
            datasource=names.DatasourceName("catalog"),
            size=4,
            sha256="ab" * 32,
            time=moment,
            archive="one",
        )
        key = f"bookshop/catalog/{name}"
        self.s3.put_object(Bucket="vault", Key=key, Body=b"dump")
        self.s3.put_object(Bucket="vault", Key=f"{key}.json", Body=manifest.model_dump_json().encode())
        return f"s3://vault/{key}"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with moto.mock_aws():
        found = Cloud()
        monkeypatch.setattr(clients, "ec2", lambda _: found.ec2)
        monkeypatch.setattr(sources.S3Access, "client", property(lambda _: found.s3))
        monkeypatch.setattr(lock_holder, "store", found.states.setdefault)
        yield found


def trying(known: definition.Definition, steps: plan.Plan, step: str) -> step_run.StepRun:
    """A try of a step."""
    return step_run.StepRun(
        definition=known,
        plan=steps,
        step=steps.by_id[step],
        id="run",
        key=jobs.StepKey(f"abc.{step}", "0", "1"),
        wanted={},
    )


def choose() -> dict[str, Any]:
    operator = drills.ChooseBackupsOperator(task_id="choose_backups")
    context = cast("Any", {"ti": Instance()})
    return operator.perform(context, trying(COPY, plan.drill_plan(KNOWN), "choose_backups"))


def test_neither_takes_the_others_servers_for_its_own(cloud: Cloud) -> None:
    ours, theirs = cloud.start("bookshop"), cloud.start("bookshop--drill")
    log = logging.getLogger("test")
    found = {
        known.deployment: [
            each.instance_id
            for each in servers.Servers(clients.ec2(known.cloud), known, log).find().everything
        ]
        for known in (KNOWN, COPY)
    }
    assert found == {"bookshop": [ours], "bookshop--drill": [theirs]}


@pytest.mark.parametrize(("known", "step"), [(COPY, "remove_drill_servers"), (KNOWN, "finish_termination")])
def test_what_drills_have_is_taken_away_and_nothing_else(
    cloud: Cloud, known: definition.Definition, step: str
) -> None:
    ours = cloud.start("bookshop")
    cloud.start("bookshop--drill")
    # Of a tier that the definition has no more.
    cloud.start("bookshop--drill", "former")
    steps = plan.drill_plan(KNOWN) if known is COPY else plan.termination_plan(KNOWN)
    operator = drills.RemoveDrillServersOperator(task_id=step)
    context = cast("Any", {"ti": Instance()})
    gone = termination.remove_drill_servers(context, trying(known, steps, step), operator)
    assert gone == ["bookshop--drill-database-1", "bookshop--drill-former-1"]
    assert cloud.alive() == {ours}
    assert termination.remove_drill_servers(context, trying(known, steps, step), operator) == []


def test_a_drill_takes_the_newest_backup_of_its_deployment_after_what_another_one_has_left(
    cloud: Cloud,
) -> None:
    cloud.start("bookshop--drill")
    # Of a database that would count as lost.
    for state in cloud.states.values():
        state.set("data:db:1", {"instance": "i-0123456789abcdef0"})
    cloud.keep(datetime.timedelta(days=2))
    newest = cloud.keep(datetime.timedelta(hours=3))
    found = choose()
    assert found["stored"]["catalog"]["url"] == newest
    assert list(cloud.states["bookshop"]) == ["data:db:1"]
    assert not cloud.states["bookshop--drill"]
    assert cloud.alive() == set()


def test_without_a_good_backup_nothing_is_started(cloud: Cloud) -> None:
    with pytest.raises(stored.NoBackupError, match=r"no backup at all in s3://vault/bookshop/catalog/"):
        choose()
    url = cloud.keep(datetime.timedelta(hours=75))
    with pytest.raises(drills.OldBackupError, match=r"is 3 d 3 h old, and max_age is 1 d 12 h: s3://vault"):
        choose()
    url = cloud.keep(datetime.timedelta(hours=1))
    cloud.s3.put_object(Bucket="vault", Key=url.removeprefix("s3://vault/"), Body=b"")
    with pytest.raises(stored.ManifestError, match="it has 0 bytes, and its manifest says 4"):
        choose()


def test_its_end_says_what_was_restored_from_what_and_how_it_went(cloud: Cloud) -> None:
    cloud.keep(datetime.timedelta(hours=1))
    choice = choose()
    made = datetime.datetime.fromisoformat(choice["stored"]["catalog"]["manifest"]["time"])
    choice["ended"] = (made + datetime.timedelta(hours=3, minutes=12)).isoformat()
    began = NOW + datetime.timedelta(seconds=60)
    ended = began + datetime.timedelta(seconds=4.25)
    at = trying(COPY, plan.drill_plan(KNOWN), "finish_drill")
    reports = {
        "choose_backups": choice,
        "backup-catalog.restore": {"started": began.isoformat(), "ended": ended.isoformat()},
        # As the triggerer ends a task.
        "backup-catalog.check_backup": json.dumps(
            {"runs": {"bookshop--drill-database-1": {"said": "7 books"}}}
        ),
    }
    context = cast("Any", {"ti": Instance(reports)})
    (found,) = drills.outcomes(context, at)
    assert found.said == "7 books"
    assert str(found) == (
        f"backup catalog: {found.url}, 3 h 12 min old, 4 bytes, restored in 4.2 s; the service's check says OK; 7 books"
    )
    del reports["backup-catalog.check_backup"]
    (found,) = drills.outcomes(context, at)
    assert str(found).endswith("the service's check says OK")
    assert backups.chosen_backups(context, at)[CATALOG].url == found.url
