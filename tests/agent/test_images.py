"""What images of other people's have, and bare ones of Debian's have not: each works, or the handshake says why not.

The same cases stand in `docs/images.md`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator

import pytest

from gantry import errors
from gantry.agent import bootstrap, fan_out, job_runner, ssh

from . import images
from .machines import Machine, Said, errors_of, job, key, login, progress, until

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("images")]


@pytest.fixture(scope="module")
def server() -> Iterator[Machine]:
    with images.started() as found:
        yield found


@contextlib.contextmanager
def changed(server: Machine, do: str, undo: str) -> Iterator[None]:
    server.sh(do)
    try:
        yield
    finally:
        server.sh(undo)


def shake(server: Machine) -> None:
    async def greet() -> None:
        async with job_runner.Agent(server.target, server.access).open() as session:
            await bootstrap.install_agent(session, server.target.name)

    asyncio.run(greet())


def runs(server: Machine, name: str, text: str) -> Said:
    """Shake hands, and carry out a script as a step does."""
    shake(server)
    said = Said()
    everything = [progress(server, job(server.script(name, text)))]
    done = asyncio.run(fan_out.carry_out(everything, server.access, key(name), said))
    assert done, errors_of(everything)
    return said


WORKS = {
    "the account ec2-user": ("true", "true"),
    "sudo with secure_path of two folders": (
        "echo 'Defaults secure_path=\"/usr/bin:/bin\"' >/etc/sudoers.d/odd",
        "rm /etc/sudoers.d/odd",
    ),
    "sudo that keeps no variable": (
        "printf 'Defaults env_reset\\nDefaults !env_keep\\n' >/etc/sudoers.d/odd",
        "rm /etc/sudoers.d/odd",
    ),
    "sudo with use_pty": ("echo 'Defaults use_pty' >/etc/sudoers.d/odd", "rm /etc/sudoers.d/odd"),
    "noexec on /tmp and /var/tmp": (
        "mount -o remount,noexec /tmp && mount -t tmpfs -o noexec none /var/tmp",
        "mount -o remount,exec /tmp && umount /var/tmp",
    ),
    "a locale that is not there": (
        "printf 'LANG=tlh_QO.UTF-8\\nLC_ALL=tlh_QO.UTF-8\\n' >/etc/environment",
        ": >/etc/environment",
    ),
    "a umask of 077": (
        "echo 'session optional pam_umask.so umask=077' >>/etc/pam.d/common-session",
        "sed -i '/umask=077/d' /etc/pam.d/common-session",
    ),
    "few processes for the account": (
        "echo 'ec2-user hard nproc 20' >/etc/security/limits.d/odd.conf",
        "rm /etc/security/limits.d/odd.conf",
    ),
    "hidden processes": ("mount -o remount,hidepid=2 /proc", "mount -o remount,hidepid=0 /proc"),
}
REFUSED = {
    "requiretty": (
        "echo 'Defaults requiretty' >/etc/sudoers.d/odd",
        "rm /etc/sudoers.d/odd",
        "must have a tty",
    ),
    "sudo with a password": (
        "echo 'ec2-user ALL=(ALL) ALL' >/etc/sudoers.d/90-cloud-init-users",
        "echo 'ec2-user ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-cloud-init-users",
        "a password is required",
    ),
    "noexec on the agent's folder": (
        "mkdir -p /enstratus && mount -t tmpfs -o noexec none /enstratus",
        "umount /enstratus",
        "noexec",
    ),
    "noexec on the services' folder": (
        "mkdir -p /mnt/services && mount -t tmpfs -o noexec none /mnt/services",
        "umount /mnt/services",
        "noexec",
    ),
    "a read-only root": (
        "mkdir -p /enstratus && mount --bind /enstratus /enstratus && mount -o remount,bind,ro /enstratus",
        "umount /enstratus",
        "Read-only file system",
    ),
    "an account that has expired": (
        "chage -E 1 ec2-user",
        "chage -E -1 ec2-user",
        "closes it before the login",
    ),
    "no host key of the kind that is pinned": (
        "rm -f /etc/ssh/ssh_host_ed25519_key.pub; mv /etc/ssh/ssh_host_ed25519_key /root/kept; "
        "sed -i 's/^#HostKey .*rsa_key/HostKey \\/etc\\/ssh\\/ssh_host_rsa_key/' /etc/ssh/sshd_config; "
        "systemctl restart ssh",
        "mv /root/kept /etc/ssh/ssh_host_ed25519_key; sed -i '/^HostKey /d' /etc/ssh/sshd_config; "
        "systemctl restart ssh",
        "rsa",
    ),
    "keys of the kind ed25519 are refused, as in FIPS mode": (
        "echo 'PubkeyAcceptedAlgorithms rsa-sha2-256,rsa-sha2-512' >/etc/ssh/sshd_config.d/odd.conf; "
        "systemctl restart ssh",
        "rm /etc/ssh/sshd_config.d/odd.conf; systemctl restart ssh",
        "refuses the user 'ec2-user'",
    ),
}


LOGINS = (
    "for session in $(loginctl list-sessions --no-legend | awk '{ print $1 }'); do"
    " loginctl show-session --property=State --value $session || true; done"
)


@pytest.mark.parametrize("case", WORKS)
def test_a_peculiarity_that_works(server: Machine, case: str) -> None:
    do, undo = WORKS[case]
    with changed(server, do, undo):
        said = runs(server, f"works-{list(WORKS).index(case)}", "id -un; command -v haproxy")
        assert said.output_of(server) == ["root", "/usr/sbin/haproxy"]


@pytest.mark.parametrize("case", REFUSED)
def test_a_peculiarity_that_is_refused_at_the_handshake_with_its_reason(server: Machine, case: str) -> None:
    do, undo, words = REFUSED[case]
    with changed(server, do, undo), pytest.raises(errors.GantryError) as refused:
        shake(server)
    assert words in str(refused.value)
    assert "shop-web-1" in str(refused.value)


def as_root(server: Machine) -> Machine:
    key_ = server.access.login.key()
    return dataclasses.replace(server, access=ssh.Access(login(key_, "root")))


def test_what_a_job_has_started_outlives_the_login_where_logind_kills_what_is_left(server: Machine) -> None:
    with changed(
        server,
        "mkdir -p /etc/systemd/logind.conf.d && printf '[Login]\\nKillUserProcesses=yes\\nKillExcludeUsers=\\n'"
        " >/etc/systemd/logind.conf.d/odd.conf && systemctl restart systemd-logind",
        "rm /etc/systemd/logind.conf.d/odd.conf && systemctl restart systemd-logind; pkill -f '[s]leep 4712' || true",
    ):
        for number, each in enumerate((server, as_root(server))):
            runs(each, f"daemon-{number}", "setsid -f sleep 4712 </dev/null >/dev/null 2>&1")
            asyncio.run(until(lambda: "active" not in server.sh(LOGINS), "the login to be over", 20))
            assert server.sh("pgrep -fc '[s]leep 4712' || true") == str(number + 1)


def test_haproxy_is_there_again_after_a_reboot_that_empties_run(server: Machine) -> None:
    shake(server)
    server.sh(
        "mkdir -p /enstratus/ws/proxy/a1 && echo port.1.publicPort=8088 >/enstratus/ws/proxy/a1/enstratus.cfg"
        " && /enstratus/bin/startProxy a1 shop.test NONE 127.0.0.1 127.0.0.1 8000"
    )
    # As a boot finds it: nothing in /run, and a package that does not make the folder, unlike Debian's.
    server.sh("rm -f /usr/lib/tmpfiles.d/haproxy.conf && systemctl is-enabled haproxy")
    server.sh("systemctl stop haproxy && rm -rf /run/haproxy && systemd-tmpfiles --create")
    server.sh(
        "systemctl start haproxy && /enstratus/bin/startProxy a1 shop.test NONE 127.0.0.1 127.0.0.1 8000"
    )
    assert server.sh("stat -c %F /run/haproxy/admin.sock") == "socket"
