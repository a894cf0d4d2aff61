"""EC2 and S3 in memory, as strict as the real ones where it matters: client tokens outlive instances, terminated
instances linger, new ones are not listed at once, and nothing that they do not know is taken.
"""

# ruff: noqa: N803 - the names of arguments are EC2's and S3's
from __future__ import annotations

import dataclasses
import datetime
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from .servers import Machine
    from .stage import Stage

LINGERS = 3600.0
"""Seconds that a terminated instance is listed."""

ALIVE = ("pending", "running", "stopping", "stopped")


def refused(code: str, what: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": what}}, what)


class _Page:
    def __init__(self, call: Callable[..., dict[str, Any]]) -> None:
        self._call = call

    def paginate(self, **keywords: Any) -> Iterator[dict[str, Any]]:
        yield self._call(**keywords)


@dataclasses.dataclass(frozen=True)
class _Token:
    request: str
    instances: tuple[str, ...]


class Ec2:
    """One region of an account."""

    class exceptions:  # noqa: N801 - as boto3 has it
        ClientError = ClientError

    def __init__(self, stage: Stage, new: Callable[[str, dict[str, str], int, str, float], Machine]) -> None:
        self._stage = stage
        self._new = new
        self._tokens: dict[str, _Token] = {}
        self._count = 0
        self.machines: dict[str, Machine] = {}
        self.lag = 0.0
        """Seconds after which what is started now is listed."""
        self.on_started: Callable[[Machine], None] = lambda _: None
        self.on_terminate: Callable[[Machine], None] = lambda _: None
        self.on_tagged: Callable[[Machine, str, str], None] = lambda *_: None
        self.on_change: Callable[[str], None] = lambda _: None

    def get_paginator(self, call: str) -> _Page:
        return _Page({"describe_instances": self.describe_instances}[call])

    def describe_instances(
        self,
        *,
        Filters: Sequence[dict[str, Any]] = (),
        InstanceIds: list[str] | None = None,
    ) -> dict[str, Any]:
        self._stage.effect()
        found = [each for each in self.machines.values() if self._is_listed(each)]
        if InstanceIds is not None:
            for wanted in InstanceIds:
                if wanted not in {each.id for each in found}:
                    raise refused("InvalidInstanceID.NotFound", wanted)
            found = [each for each in found if each.id in InstanceIds]
        for each in Filters:
            found = [machine for machine in found if _fits(machine, each["Name"], each["Values"])]
        return {"Reservations": [{"Instances": [self._shown(each)]} for each in found]}

    def run_instances(self, **request: Any) -> dict[str, Any]:
        self._stage.effect()
        self.on_change("RunInstances")
        token = request.pop("ClientToken")
        told = json.dumps(request, sort_keys=True)
        known = self._tokens.get(token)
        if known is not None:
            if known.request != told:
                raise refused("IdempotentParameterMismatch", "the token was used with other parameters")
            return {"Instances": [self._shown(self.machines[each]) for each in known.instances]}
        count = request.pop("MinCount")
        if request.pop("MaxCount") != count:
            raise refused("InvalidParameterValue", "MaxCount")
        (tags,) = (
            each["Tags"] for each in request.pop("TagSpecifications") if each["ResourceType"] == "instance"
        )
        request.pop("UserData")
        if request.pop("MetadataOptions") != {"HttpTokens": "required"}:
            raise refused("UnsupportedOperation", "IMDSv1")
        if unknown := set(request) - {"ImageId", "InstanceType"}:
            raise refused("UnknownParameter", str(unknown))
        made = []
        for index in range(count):
            self._count += 1
            machine = self._new(
                f"i-{self._count:04d}", {each["Key"]: each["Value"] for each in tags}, index, token, self.lag
            )
            self.machines[machine.id] = machine
            self.on_started(machine)
            made.append(machine)
        self._tokens[token] = _Token(told, tuple(each.id for each in made))
        return {"Instances": [self._shown(each) for each in made]}

    def terminate_instances(self, *, InstanceIds: list[str]) -> dict[str, Any]:
        self._stage.effect()
        found = [self._machine(each) for each in InstanceIds]
        if not found:
            raise refused("InvalidParameterCombination", "no instances specified")
        self.on_change("TerminateInstances")
        for each in found:
            if each.state in ALIVE:
                # What has come to its end there has done so before.
                each.settle()
                self.on_terminate(each)
                each.terminate()
        return {}

    def start_instances(self, *, InstanceIds: list[str]) -> dict[str, Any]:
        self._stage.effect()
        self.on_change("StartInstances")
        for each in map(self._machine, InstanceIds):
            if each.state not in ("stopped", "running", "pending"):
                raise refused("IncorrectInstanceState", each.state)
            each.start()
        return {}

    def create_tags(self, *, Resources: list[str], Tags: list[dict[str, str]]) -> dict[str, Any]:
        self._stage.effect()
        for machine in map(self._machine, Resources):
            for tag in Tags:
                if len(tag["Value"]) > 256:
                    raise refused("InvalidParameterValue", tag["Key"])
                machine.tags[tag["Key"]] = tag["Value"]
                self.on_tagged(machine, tag["Key"], tag["Value"])
        return {}

    def delete_tags(self, *, Resources: list[str], Tags: list[dict[str, str]]) -> dict[str, Any]:
        self._stage.effect()
        for machine in map(self._machine, Resources):
            for tag in Tags:
                machine.tags.pop(tag["Key"], None)
        return {}

    def describe_instance_status(self, *, InstanceIds: list[str]) -> dict[str, Any]:
        self._stage.effect()
        return {
            "InstanceStatuses": [
                {"InstanceId": each.id, "InstanceStatus": {"Status": "ok"}, "SystemStatus": {"Status": "ok"}}
                for each in map(self._machine, InstanceIds)
                if each.state == "running"
            ]
        }

    def get_console_output(self, *, InstanceId: str, Latest: bool = False) -> dict[str, Any]:  # noqa: ARG002
        self._stage.effect()
        return {"Output": self._machine(InstanceId).console()}

    def get_waiter(self, what: str) -> Any:
        if what != "instance_stopped":
            raise LookupError(what)
        stage, machine_of = self._stage, self._machine

        class Waiter:
            def wait(self, *, InstanceIds: list[str], WaiterConfig: dict[str, int]) -> None:
                for _ in range(WaiterConfig["MaxAttempts"]):
                    stage.effect()
                    if all(machine_of(each).state == "stopped" for each in InstanceIds):
                        return
                    stage.sleep(WaiterConfig["Delay"])
                raise refused("WaiterError", "instances do not stop")

        return Waiter()

    def _machine(self, instance: str) -> Machine:
        if instance not in self.machines:
            raise refused("InvalidInstanceID.NotFound", instance)
        return self.machines[instance]

    def _is_listed(self, machine: Machine) -> bool:
        if machine.ended is not None:
            return self._stage.clock - machine.ended < LINGERS
        return self._stage.clock >= machine.listed_from

    def _shown(self, machine: Machine) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "InstanceId": machine.id,
            "AmiLaunchIndex": machine.index,
            "State": {"Name": machine.state},
            "ImageId": "ami-1",
            "InstanceType": "t3.small",
            "LaunchTime": machine.launched,
            "Tags": [{"Key": key, "Value": value} for key, value in machine.tags.items()],
        }
        if machine.state in ALIVE:
            shown["PrivateIpAddress"] = machine.address
        return shown


def _fits(machine: Machine, name: str, values: list[str]) -> bool:
    if name == "instance-state-name":
        return machine.state in values
    if name.startswith("tag:"):
        return machine.tags.get(name.removeprefix("tag:")) in values
    if name == "client-token":
        return machine.token in values
    if name == "instance-id":
        return machine.id in values
    if name == "tag-key":
        return any(each in machine.tags for each in values)
    raise refused("InvalidParameterValue", name)


@dataclasses.dataclass(frozen=True)
class Object:
    """An object's bytes, and what they are for the model: a dump, or a datasource's content."""

    body: bytes
    etag: str
    meaning: Any = None
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)
    changed: float = 0.0


class S3:
    """Buckets, all of which exist."""

    class _Meta:
        region_name = "eu-central-1"

    meta = _Meta()

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.objects: dict[str, Object] = {}
        self.on_change: Callable[[str], None] = lambda _: None

    def lay(self, url: str, body: bytes, meaning: Any = None, etag: str | None = None) -> None:
        """Put an object there as somebody outside does."""
        self.objects[url] = Object(
            body, etag or hashlib.md5(body, usedforsecurity=False).hexdigest(), meaning, {}, self._stage.clock
        )

    def head_bucket(self, *, Bucket: str) -> dict[str, Any]:  # noqa: ARG002 - all are in one region
        self._stage.effect()
        return {"ResponseMetadata": {"HTTPHeaders": {"x-amz-bucket-region": self.meta.region_name}}}

    def head_object(self, *, Bucket: str, Key: str, **_: Any) -> dict[str, Any]:
        self._stage.effect()
        found = self._find(Bucket, Key, "404")
        return {
            "ETag": f'"{found.etag}"',
            "ContentLength": len(found.body),
            "Metadata": dict(found.metadata),
            "LastModified": datetime.datetime.fromtimestamp(found.changed, datetime.UTC),
        }

    def get_object(self, *, Bucket: str, Key: str, **_: Any) -> dict[str, Any]:
        self._stage.effect()
        found = self._find(Bucket, Key, "NoSuchKey")
        return {
            "Body": io.BytesIO(found.body),
            "ETag": f'"{found.etag}"',
            "ContentLength": len(found.body),
            "Metadata": dict(found.metadata),
        }

    def put_object(
        self,
        *,
        Bucket: str,
        Key: str,
        Body: bytes,
        Metadata: Mapping[str, str] = {},
        IfMatch: str | None = None,
        IfNoneMatch: str | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        self._stage.effect()
        url = f"s3://{Bucket}/{Key}"
        known = self.objects.get(url)
        if IfNoneMatch == "*" and known is not None:
            raise refused("PreconditionFailed", url)
        if IfMatch is not None and (known is None or known.etag != IfMatch.strip('"')):
            raise refused("PreconditionFailed", url)
        body = Body if isinstance(Body, bytes) else bytes(Body)
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        self.objects[url] = Object(body, etag, None, dict(Metadata), self._stage.clock)
        return {"ETag": f'"{etag}"'}

    def delete_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        self._stage.effect()
        self.objects.pop(f"s3://{Bucket}/{Key}", None)
        return {}

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:
        self._stage.effect()
        for each in Delete["Objects"]:
            self.objects.pop(f"s3://{Bucket}/{each['Key']}", None)
        return {}

    def get_paginator(self, call: str) -> _Page:
        return _Page({"list_objects_v2": self.list_objects_v2}[call])

    def list_objects_v2(
        self, *, Bucket: str, Prefix: str = "", Delimiter: str = "", **_: Any
    ) -> dict[str, Any]:
        self._stage.effect()
        begin = f"s3://{Bucket}/"
        keys = sorted(
            each.removeprefix(begin) for each in self.objects if each.startswith(f"{begin}{Prefix}")
        )
        if Delimiter:
            keys = [each for each in keys if Delimiter not in each.removeprefix(Prefix)]
        return {
            "Contents": [
                {
                    "Key": each,
                    "Size": len(self.objects[f"{begin}{each}"].body),
                    "ETag": f'"{self.objects[f"{begin}{each}"].etag}"',
                }
                for each in keys
            ],
            "IsTruncated": False,
        }

    def generate_presigned_url(self, what: str, *, Params: dict[str, Any], ExpiresIn: int) -> str:  # noqa: ARG002
        return f"link:s3://{Params['Bucket']}/{Params['Key']}"

    def _find(self, bucket: str, key: str, code: str) -> Object:
        found = self.objects.get(f"s3://{bucket}/{key}")
        if found is None:
            raise refused(code, f"s3://{bucket}/{key}")
        return found
