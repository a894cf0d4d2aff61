"""The embedded cloud's front (signatures, rights, regions) before plain moto, in this process: no containers.

moto's instances are there as soon as they are asked for, and boot nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import botocore.loaders
import botocore.session
import pytest
from moto.moto_api._internal import moto_api_backend
from moto.moto_server import werkzeug_app
from werkzeug import serving

from gantry import names
from gantry.cloud import objects, sources
from gantry.local.cloud import account, buckets, callers, iam, signatures

AWS = names.ConnectionId("aws_shop")
REGION = "eu-central-1"
_KEYS = ("AKIAROOTROOTROOTROOT", "of the account itself")


@dataclasses.dataclass
class Cloud:
    """A cloud that answers on this machine.

    Attributes:
        subnet, group: ids of the default network's.
        asked: what callers with policies wanted to do, in their order.
    """

    endpoint: str
    subnet: str = ""
    group: str = ""
    asked: list[iam.Ask] = dataclasses.field(default_factory=list)

    def empty(self, region: str = REGION) -> None:
        """Forget everything but the images and the network that the account has from the beginning."""
        moto_api_backend.reset()
        _, self.subnet, self.group = account.furnish(region, "10.200.4.0/24", "bare", "prepared")
        self.asked.clear()

    def client(self, service: str, region: str = REGION, **keys: Any) -> Any:
        """A client of the account itself, who may do everything, or of whoever has the keys."""
        own = {"aws_access_key_id": _KEYS[0], "aws_secret_access_key": _KEYS[1]}
        return _client(service, region, self.endpoint, tuple((own | keys).items()))

    def bucket(self, name: str, region: str = REGION) -> str:
        """Make a bucket."""
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        self.client("s3", region).create_bucket(Bucket=name, **place)
        return name

    def session(self, *documents: Mapping[str, Any]) -> dict[str, str]:
        """The keys of a role that has exactly these policies."""
        given = self.client("iam")
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        role = f"role-{len(given.list_roles()['Roles'])}"
        arn = given.create_role(RoleName=role, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        for number, document in enumerate(documents):
            given.put_role_policy(RoleName=role, PolicyName=f"p{number}", PolicyDocument=json.dumps(document))
        made = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="night")["Credentials"]
        return {
            "aws_access_key_id": made["AccessKeyId"],
            "aws_secret_access_key": made["SecretAccessKey"],
            "aws_session_token": made["SessionToken"],
        }

    def connect(
        self, monkeypatch: pytest.MonkeyPatch, keys: Mapping[str, str] | None = None, region: str = REGION
    ) -> objects.Objects:
        """Make the Airflow connection of the account, or of whoever has the keys; what it opens in S3."""
        own = {"aws_access_key_id": _KEYS[0], "aws_secret_access_key": _KEYS[1]}
        found = own if keys is None else keys
        extra = {"endpoint_url": self.endpoint, "region_name": region}
        if "aws_session_token" in found:
            extra["aws_session_token"] = found["aws_session_token"]
        connection = {
            "conn_type": "aws",
            "login": found["aws_access_key_id"],
            "password": found["aws_secret_access_key"],
            "extra": extra,
        }
        monkeypatch.setenv("AIRFLOW_CONN_AWS_SHOP", json.dumps(connection))
        # The commands set it for their process, which is a test's here.
        monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
        return objects.Objects.of(sources.S3Access(AWS, region))


# It takes a tenth of a second to make one.
@functools.cache
def _client(service: str, region: str, endpoint: str, keys: tuple[tuple[str, str], ...]) -> Any:
    make: Any = boto3.client
    return make(service, region_name=region, endpoint_url=endpoint, **dict(keys))


@contextlib.contextmanager
def running() -> Iterator[Cloud]:
    """A cloud that is empty."""
    plain = werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app)
    strict = signatures.SignatureCheck(buckets.OpaqueTags(plain), callers.Callers(*_KEYS))
    evaluate = iam.allows

    def noted(documents: tuple[str, ...], ask: iam.Ask) -> bool:
        cloud.asked.append(ask)
        return evaluate(documents, ask)

    class Handler(werkzeug_app.MotoRequestHandler):  # type: ignore[misc] # moto is untyped for us
        """Says nothing."""

        def log_request(self, *_: object) -> None:
            """Not a word."""

    http = serving.make_server("127.0.0.1", 0, strict, threaded=True, request_handler=Handler)
    cloud = Cloud(f"http://127.0.0.1:{http.port}")
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as changed:
            changed.setattr(iam, "allows", noted)
            # Each session would read megabytes of API descriptions for itself.
            changed.setattr(
                botocore.session, "create_loader", functools.cache(botocore.loaders.create_loader)
            )
            cloud.empty()
            yield cloud
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
        moto_api_backend.reset()
