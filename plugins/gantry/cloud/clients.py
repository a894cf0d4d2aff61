"""EC2 clients with the credentials of an Airflow connection. For S3 clients, see `gantry.cloud.sources`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from gantry import names
from gantry.cloud import errors, pace, service_models, transient_errors
from gantry.definition import models

if TYPE_CHECKING:
    from botocore.config import Config
    from types_boto3_ec2 import EC2Client


class ParameterClient(Protocol):
    """The part of a Systems Manager client that is used here."""

    def get_parameters(self, *, Names: Sequence[str]) -> Mapping[str, Any]:  # noqa: N803 - AWS's name
        """Return the parameters of these names."""


def ec2(cloud: models.Cloud) -> EC2Client:
    """Create an EC2 client that keeps this process's call rate, and retries transient errors patiently.

    Imports boto3, which takes half a second: call it in a task, never in a DAG file.

    Raises:
        CloudConnectionError: Airflow cannot read the definition's connection.
        CloudUnreachableError: a client cannot be created from the connection.
    """
    return _patient(_client(cloud, transient_errors.settings), cloud)


def impatient_ec2(cloud: models.Cloud) -> EC2Client:
    """Create an EC2 client for pages: it gives up within seconds, after at most one retry. Raises as `ec2`."""
    from botocore.config import Config  # noqa: PLC0415 - as slow to load as boto3

    hurry = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    return _client(cloud, lambda given, _: given.merge(hurry))


def ssm(cloud: models.Cloud) -> ParameterClient:
    """Create a Systems Manager client, for images given as parameters. Raises as `ec2`."""
    found = hook(cloud.connection, cloud.region, "ssm")
    with errors.worded("preparing calls to Systems Manager", cloud.connection):
        client: ParameterClient = made(found, session(found), "ssm", found.region_name, found.config)
        return client


def ec2_of_this_machine(cloud: models.Cloud) -> EC2Client:
    """Create an EC2 client with the credentials that boto3 itself finds on this machine, for use without Airflow.

    Raises:
        CloudUnreachableError: a client cannot be created from them.
    """
    import boto3  # noqa: PLC0415 - see `ec2`
    from botocore.config import Config  # noqa: PLC0415

    with errors.worded("preparing calls to EC2 with this machine's own credentials", cloud.connection):
        found = service_models.shared(boto3.Session())
        client = found.client(
            "ec2", region_name=cloud.region, config=transient_errors.settings(Config(), found)
        )
    return _patient(client, cloud)


def hook(connection: names.ConnectionId, region: str | None, kind: Literal["ec2", "s3", "ssm"]) -> Any:  # noqa: ANN401 - the amazon provider's, which is loaded late
    """Return the amazon provider's hook for a connection. Without a region, the connection's own is used.

    Raises:
        CloudConnectionError: Airflow cannot read the connection.
        UnusableConnectionError: one of its extra fields does not have the form that the provider and boto3 accept.
    """
    from airflow.providers.amazon.aws.hooks import base_aws  # noqa: PLC0415

    found = base_aws.AwsBaseHook(aws_conn_id=connection, client_type=kind, region_name=region)
    try:
        read = found.get_connection(connection)
    except (ValueError, TypeError, AttributeError):
        # The error quotes what cannot be parsed, which may be a part of a secret.
        raise errors.CloudConnectionError(connection, _NEITHER) from None
    except Exception as error:
        if str(error).startswith("Invalid connection string"):
            # Airflow quotes all of it.
            raise errors.CloudConnectionError(connection, _NEITHER) from None
        # Every secrets backend raises its own errors.
        raise errors.CloudConnectionError(connection, str(error)) from error
    if problem := _misfit(read.extra):
        raise errors.UnusableConnectionError(connection, problem)
    return found


_NEITHER = "it is neither JSON of Airflow's fields nor a URI in which each part is percent-encoded"
_ROLES = ("assume_role", "assume_role_with_saml", "assume_role_with_web_identity")
_OBJECTS = ("config_kwargs", "session_kwargs", "service_config", "assume_role_kwargs")
"""Extra fields that the provider takes for objects, without checking."""


def _misfit(extra: str | None) -> str:
    """Return what is wrong with the form of the extra fields; empty if nothing is."""
    try:
        found = json.loads(extra) if extra else {}
    except (ValueError, TypeError):
        return "the extra fields are no JSON"
    if not isinstance(found, dict):
        return "the extra fields have to be a JSON object"
    for field in _OBJECTS:
        if not isinstance(found.get(field) or {}, dict):
            return f"the extra field {field} has to be a JSON object"
    return _unknown_to_provider(found)


def _unknown_to_provider(extra: dict[str, Any]) -> str:
    """Return what is wrong with values for which the provider and botocore accept only some; empty if nothing is."""
    from botocore.config import Config  # noqa: PLC0415 - as slow to load as boto3

    if (extra.get("assume_role_method") or _ROLES[0]) not in _ROLES:
        return f"the extra field assume_role_method has to be one of {', '.join(_ROLES)}"
    endpoint = extra.get("endpoint_url")
    if endpoint and not (isinstance(endpoint, str) and endpoint.startswith(("http://", "https://"))):
        return "the extra field endpoint_url has to be an address that begins with http:// or https://"
    try:
        Config(**(extra.get("config_kwargs") or {}))
    except Exception:  # noqa: BLE001 - botocore raises what it likes, and quotes what it was given
        return "the extra field config_kwargs has a name or a value that botocore does not know"
    return ""


def session(found: Any) -> Any:  # noqa: ANN401 - the hook is the provider's, the session boto3's
    """Return a hook's boto3 session. Call it within `errors.worded`."""
    return service_models.shared(found.get_session(region_name=found.region_name))


def made(found: Any, known: Any, service: str, region: str | None, config: Config) -> Any:  # noqa: ANN401 - see `session`
    """Create a client from a hook's session, as the hook would. Call it within `errors.worded`.

    A configuration passed to the hook itself would replace the connection's, including proxies; and for the user agent
    it would read the call stack.
    """
    return known.client(
        service,
        region_name=region,
        endpoint_url=found.conn_config.get_service_endpoint_url(service_name=service),
        config=config,
        verify=found.verify,
    )


def _client(cloud: models.Cloud, change: Callable[[Config, Any], Config]) -> EC2Client:
    found = hook(cloud.connection, cloud.region, "ec2")
    with errors.worded("preparing calls to EC2", cloud.connection):
        known = session(found)
        client: EC2Client = made(found, known, "ec2", found.region_name, change(found.config, known))
        return client


def _patient(client: EC2Client, cloud: models.Cloud) -> EC2Client:
    pace.keep(client, pace.of(cloud.connection, cloud.region))
    transient_errors.with_new_instances(client)
    return client
