"""A server made from an image with systemd, whose settings tests change as people's images have them.

Not of the embedded cloud: its servers have no init of Debian's own, and no right to mount anything.
"""

from __future__ import annotations

import contextlib
import io
import time
import uuid
from collections.abc import Iterator

from gantry import names
from gantry.agent import ssh
from gantry.local.cloud import docker_engine, inspect_servers, server

from .machines import Machine, login, new_key, public

USER = "ec2-user"
"""As Red Hat's and Amazon's images call the account that may sudo."""

_DOCKERFILE = """\
FROM {base}
LABEL gantry.images={mark}
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
      dbus haproxy libpam-systemd systemd systemd-sysv \
 && rm -rf /var/lib/apt/lists/*
ENTRYPOINT ["/sbin/init"]
"""
_FIRST_BOOT = """
useradd -m -s /bin/bash {user}
echo '{user} ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-cloud-init-users
for home in /home/{user} /root; do
    install -d -m 700 -o "$(stat -c %U $home)" $home/.ssh
    echo '{key}' >$home/.ssh/authorized_keys
    chown -R "$(stat -c %U $home)" $home/.ssh
done
ssh-keygen -A
systemctl restart ssh
"""


@contextlib.contextmanager
def started() -> Iterator[Machine]:
    """A server that systemd has booted. Image and container go at the end."""
    mark = uuid.uuid4().hex
    name, text = f"gantry-images:{mark}", _DOCKERFILE.format(base=server.DEFAULT_IMAGE, mark=mark)
    with contextlib.closing(docker_engine.connect()) as client:
        client.images.build(fileobj=io.BytesIO(text.encode()), tag=name, rm=True)
        container = client.containers.run(
            name,
            detach=True,
            # What systemd needs of a machine, and what mounting file systems takes.
            cap_add=["SYS_ADMIN"],
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            cgroupns="private",
            tmpfs={"/run": "", "/run/lock": "", "/tmp": "exec"},
        )
        try:
            deadline = time.monotonic() + 120
            while container.exec_run(["systemctl", "is-active", "--quiet", "multi-user.target"])[0] != 0:
                assert time.monotonic() < deadline, container.logs().decode()
                time.sleep(0.1)
            key = new_key()
            ended = inspect_servers.run(container, _FIRST_BOOT.format(user=USER, key=public(key)))
            assert ended.code == 0, ended.err
            container.reload()
            (network,) = container.attrs["NetworkSettings"]["Networks"].values()
            host_key = inspect_servers.run(container, "cat /etc/ssh/ssh_host_ed25519_key.pub").out.strip()
            target = ssh.Target(names.ServerName("shop-web-1"), "i-1", network["IPAddress"], host_key)
            yield Machine(target, ssh.Access(login(key, USER)), container)
        finally:
            container.remove(force=True)
            client.images.remove(name)
