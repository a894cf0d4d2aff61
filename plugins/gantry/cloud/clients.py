"""EC2 and S3 clients with the credentials of an Airflow connection, through the amazon provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from gantry import names
from gantry.cloud import errors
from gantry.definition import models

if TYPE_CHECKING:
    from botocore.config import Config
    from types_boto3_ec2 import EC2Client
    from types_boto3_s3 import S3Client


def ec2(cloud: models.Cloud) -> EC2Client:
    """An EC2 client. Imports boto3, which takes half a second: call it in a task, never in a DAG file.

    Raises:
        UnknownConnectionError: Airflow cannot read the definition's connection.
        CloudUnreachableError: the connection is no good for a client.
    """
    client: EC2Client = _client(cloud.connection, cloud.region, "ec2")
    return client


def impatient_ec2(cloud: models.Cloud) -> EC2Client:
    """One for somebody who looks at a page: it gives up within seconds, and asks once more at most. Raises as `ec2`."""
    from botocore.config import Config  # noqa: PLC0415 - as slow to load as boto3

    patience = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    client: EC2Client = _client(cloud.connection, cloud.region, "ec2", patience)
    return client


def ec2_of_this_machine(cloud: models.Cloud) -> EC2Client:
    """An EC2 client with the credentials that boto3 itself finds here, for those who look without Airflow.

    Raises:
        CloudUnreachableError: what it finds is no good for a client.
    """
    import boto3  # noqa: PLC0415 - see `ec2`

    with errors.worded("preparing to speak to EC2 with this machine's own credentials", cloud.connection):
        return boto3.client("ec2", region_name=cloud.region)


def s3(cloud: models.Cloud) -> S3Client:
    """An S3 client; otherwise as `ec2`."""
    return s3_in(cloud.connection, cloud.region)


def s3_in(connection: names.ConnectionId, region: str | None) -> S3Client:
    """An S3 client for what belongs to no deployment yet. Without a region the connection's own is used."""
    client: S3Client = _client(connection, region, "s3")
    return client


def _client(
    connection: names.ConnectionId,
    region: str | None,
    kind: Literal["ec2", "s3"],
    patience: Config | None = None,
) -> Any:  # noqa: ANN401 - one of two
    from airflow.providers.amazon.aws.hooks import base_aws  # noqa: PLC0415

    hook = base_aws.AwsBaseHook(aws_conn_id=connection, client_type=kind, region_name=region, config=patience)
    try:
        hook.get_connection(connection)
    except Exception as error:
        # Every secrets backend raises its own.
        raise errors.UnknownConnectionError(connection, str(error)) from error
    with errors.worded(f"preparing to speak to {kind.upper()}", connection):
        return hook.get_conn()
