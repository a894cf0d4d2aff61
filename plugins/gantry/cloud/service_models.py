"""Cache of botocore's service models, read once per process.

botocore reads a service's model from a file again for each session, and the amazon provider creates a session for each
client. EC2's model is some megabytes of JSON, whose parsing takes most of the CPU time of a short task.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.loaders import Loader


def shared(session: Any) -> Any:  # noqa: ANN401 - boto3's, which is loaded late
    """Make a boto3 session use the models that this process has already read; return it."""
    # boto3 does not expose its botocore session otherwise.
    below = session._session  # noqa: SLF001
    below.register_component("data_loader", _loader(below.get_config_variable("data_path")))
    return session


def load() -> None:
    """Preload what clients of EC2 and S3 need. No network call is made."""
    import boto3  # noqa: PLC0415 - takes half a second

    session = shared(boto3.Session("none", "none", region_name="us-east-1"))
    for service, operation in (("ec2", "describe_instances"), ("s3", "list_objects_v2")):
        # Which answers have pages is in a file of its own, that botocore looks for in the folders of all services.
        session.client(service).can_paginate(operation)


@functools.cache
def _loader(data_path: str | None) -> Loader:
    from botocore import loaders  # noqa: PLC0415 - see `load`

    return loaders.create_loader(data_path)
