"""State file of an embedded cloud: everything that a client needs."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import boto3
import pydantic

from gantry.configuration_management import chef_server
from gantry.local import errors
from gantry.local.cloud import behavior, limits

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_s3 import S3Client
    from types_boto3_s3.literals import BucketLocationConstraintType
    from types_boto3_secretsmanager import SecretsManagerClient

DEFAULT_NAME = "gantry"
Service = Literal["ec2", "s3", "secretsmanager"]


@dataclass(frozen=True)
class EmbeddedCloud:
    """A running embedded cloud.

    Attributes:
        endpoint_url: The endpoint of EC2 and S3, for this machine and for the instances.
        ami: Id of the image `gantry-debian-12`, the same each time.
        network: Name of the Docker network of the subnet.
        cidr: Addresses of the network, the VPC and the subnet.
        pid: The server process's id.
        state_dir: Where `NAME/state.json` and `NAME/server.log` are.
        chef_server_url: URL of a Chef server with the self-signed `chef_certificate` (PEM).
        chef_keys: Folder with `chef-validator.pem` and `admin.pem`, the keys of its first two clients.
    """

    name: str
    endpoint_url: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    ami: str
    vpc_id: str
    subnet_id: str
    security_group_id: str
    network: str
    cidr: str
    pid: int
    state_dir: Path
    chef_server_url: str
    chef_certificate: str
    chef_keys: Path

    @property
    def log_file(self) -> Path:
        """Return the path of the server process's log."""
        return directory(self.name, self.state_dir) / "server.log"

    def aws_connection(self) -> dict[str, Any]:
        """Return the Airflow connection of this cloud, as in JSON (contains the secret key)."""
        return {
            "conn_type": "aws",
            "description": f"the embedded cloud {self.name}",
            "login": self.access_key_id,
            "password": self.secret_access_key,
            "extra": {"region_name": self.region, "endpoint_url": self.endpoint_url},
        }

    def aws_connection_json(self) -> str:
        """Return the same as text, the value of `AIRFLOW_CONN_<CONN_ID>`."""
        return json.dumps(self.aws_connection())

    def chef_connection(self) -> dict[str, Any]:
        """Return the Airflow connection of this cloud's Chef server, as in JSON (contains two private keys)."""
        return {
            "conn_type": "chef",
            "description": f"the Chef server of the embedded cloud {self.name}",
            "host": self.chef_server_url,
            "login": "chef-validator",
            "password": (self.chef_keys / "chef-validator.pem").read_text(),
            "extra": {
                "trusted_certificate": self.chef_certificate,
                "admin_name": "admin",
                "admin_key": (self.chef_keys / "admin.pem").read_text(),
            },
        }

    @property
    def behaviour(self) -> behavior.Manners:
        """Return how much like EC2 it behaves."""
        return behavior.load(directory(self.name, self.state_dir))

    @contextlib.contextmanager
    def behaving(self, wanted: behavior.Manners) -> Iterator[None]:
        """Change its behaviour within a context. All users of the cloud are affected."""
        folder, before = directory(self.name, self.state_dir), self.behaviour
        behavior.save(folder, wanted)
        try:
            yield
        finally:
            behavior.save(folder, before)

    def make_bucket(self, bucket: str) -> None:
        """Create a bucket, unless it exists."""
        s3 = self.client("s3")
        if bucket in {each["Name"] for each in s3.list_buckets()["Buckets"]}:
            return
        if self.region == "us-east-1":
            # The only region that must not be named.
            s3.create_bucket(Bucket=bucket)
        else:
            region = cast("BucketLocationConstraintType", self.region)
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})

    def limit(self, **limited: Any) -> None:  # noqa: ANN401 - what `Limits` has
        """Limit the cloud's capacity from the next launch on, see `limits.Limits`; without arguments: no limits."""
        limits.write(directory(self.name, self.state_dir), limits.Limits(**limited))

    def chef_server(self) -> chef_server.ChefServer:
        """Return this cloud's Chef server, accessed as its administrator."""
        actor = chef_server.Actor("admin", (self.chef_keys / "admin.pem").read_text())
        return chef_server.ChefServer(self.chef_server_url, actor, self.chef_certificate)

    @overload
    def client(self, service: Literal["ec2"]) -> EC2Client: ...
    @overload
    def client(self, service: Literal["s3"]) -> S3Client: ...
    @overload
    def client(self, service: Literal["secretsmanager"]) -> SecretsManagerClient: ...
    def client(self, service: Service) -> EC2Client | S3Client | SecretsManagerClient:
        """Return a boto3 client of this cloud, independent of the environment's AWS settings."""
        return _client(self, service)


# boto3 reads megabytes of API descriptions for each client; one serves all threads.
@functools.lru_cache(maxsize=8)
def _client(cloud: EmbeddedCloud, service: Service) -> EC2Client | S3Client | SecretsManagerClient:
    session = boto3.Session(
        aws_access_key_id=cloud.access_key_id,
        aws_secret_access_key=cloud.secret_access_key,
        region_name=cloud.region,
    )
    if service == "ec2":
        return session.client("ec2", endpoint_url=cloud.endpoint_url)
    if service == "s3":
        return session.client("s3", endpoint_url=cloud.endpoint_url)
    return session.client("secretsmanager", endpoint_url=cloud.endpoint_url)


_FORMAT = pydantic.TypeAdapter(EmbeddedCloud)


def default_state_dir() -> Path:
    """Return `$GANTRY_LOCAL_STATE`, or /tmp/gantry-local."""
    return Path(os.environ.get("GANTRY_LOCAL_STATE") or "/tmp/gantry-local")  # noqa: S108 (0600 files in a 0700 directory)


def directory(name: str, state_dir: Path | None = None) -> Path:
    """Return the directory of one embedded cloud."""
    return (state_dir or default_state_dir()) / name


def chef_folder(name: str, state_dir: Path | None = None) -> Path:
    """Return the folder of the Chef server's keys while the cloud runs."""
    return directory(name, state_dir).absolute() / "chef"


def load(name: str = DEFAULT_NAME, state_dir: Path | None = None) -> EmbeddedCloud:
    """Read the state file.

    Raises:
        CloudNotRunningError: It does not exist.
    """
    file = directory(name, state_dir) / "state.json"
    try:
        return _FORMAT.validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise errors.CloudNotRunningError(name, file) from error


def save(cloud: EmbeddedCloud) -> None:
    """Write the state file atomically, readable by the owner only."""
    target = directory(cloud.name, cloud.state_dir)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = target / f"state.json.{os.getpid()}"
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(_FORMAT.dump_json(cloud, indent=2) + b"\n")
    draft.replace(target / "state.json")


def forget(name: str, state_dir: Path | None = None) -> None:
    """Remove the state file and the Chef server's keys; the log stays."""
    with contextlib.suppress(FileNotFoundError):
        (directory(name, state_dir) / "state.json").unlink()
    shutil.rmtree(chef_folder(name, state_dir), ignore_errors=True)
