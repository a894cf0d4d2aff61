"""Servers of the embedded cloud that do not boot: for tests of what the cloud says of them, which log in nowhere.

A boot is a second of work for a processor: cloud-init, host keys, sshd.
"""

from __future__ import annotations

import contextlib
import io
import uuid
from collections.abc import Iterator

from gantry import local
from gantry.local.cloud import docker_engine, server

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMIyA7C7cS2dJ4eS1v9bG5d0u1LxDE5j5V1f5k6l7m8n"
"""What all of them print as theirs."""

_DOCKERFILE = """\
FROM {base}
LABEL gantry.quiet={mark}
RUN printf -- '-----BEGIN SSH HOST KEY KEYS-----\\n{key} quiet\\n-----END SSH HOST KEY KEYS-----\\n' >/console
ENTRYPOINT ["sh", "-c", "cat /console; trap 'exit 0' TERM; sleep infinity & wait"]
"""


@contextlib.contextmanager
def image() -> Iterator[str]:
    """The Docker image that such servers are made of. It outlives the clouds that have some.

    Each is an image of its own, not one of several names: Docker removes none that another worker's servers have.
    """
    mark = uuid.uuid4().hex
    name, text = (
        f"gantry-quiet:{mark}",
        _DOCKERFILE.format(base=server.DEFAULT_IMAGE, mark=mark, key=HOST_KEY),
    )
    with contextlib.closing(docker_engine.connect()) as client:
        client.images.build(fileobj=io.BytesIO(text.encode()), tag=name, rm=True)
        try:
            yield name
        finally:
            client.images.remove(name)


def machine_image(cloud: local.EmbeddedCloud, name: str) -> str:
    """The id of a machine image of a cloud whose servers are made of this Docker image."""
    return str(cloud.client("ec2").register_image(Name="quiet", ImageLocation=name)["ImageId"])
