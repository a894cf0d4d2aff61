"""What a look makes of a real SSH server that was hardened, or has too many connections. Neither is silence."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gantry.agent import errors, job_runner, reachability, session, ssh
from gantry.agent.reachability import Contact

from .machines import Machine, sshd

pytestmark = pytest.mark.docker

KEYS = "for kind in rsa ecdsa; do ssh-keygen -q -N '' -t $kind -f /tmp/host_$kind; done"


async def met(machine: Machine, access: ssh.Access, patience: float = 60) -> reachability.ProbeResult[str]:
    async def ask(server: session.Session) -> str:
        return await server.run("id", "-un")

    return await reachability.meet(machine.target, access, ask, patience)


@pytest.fixture(scope="module")
def keyed(machine: Machine) -> Machine:
    """A machine with host keys of other kinds than the one that is pinned."""
    assert machine.target.host_key.startswith("ssh-ed25519 ")
    machine.sh(KEYS)
    return machine


@pytest.mark.parametrize(
    ("options", "offered"),
    [
        ("-h /tmp/host_rsa", {"ssh-rsa"}),
        ("-h /tmp/host_rsa -h /tmp/host_ecdsa", {"ssh-rsa", "ecdsa-sha2-nistp256"}),
        # Hardened: the pinned key is there still, and not shown any more.
        (
            "-h /etc/ssh/ssh_host_ed25519_key -h /tmp/host_ecdsa -o HostKeyAlgorithms=-ssh-ed25519",
            {"ecdsa-sha2-nistp256"},
        ),
    ],
)
def test_a_server_that_does_not_offer_the_pinned_kind_of_host_key_is_a_stranger(
    keyed: Machine, options: str, offered: set[str]
) -> None:
    with sshd(keyed, 2201, options) as access:
        found = asyncio.run(met(keyed, access))
        assert found.contact is Contact.STRANGER, found
        kinds = found.said.partition("offers host keys of the kind ")[2].partition(
            ", and the instance's tag"
        )[0]
        assert set(kinds.split(" and ")) == offered
        # Steps neither wait for it nor connect.
        with pytest.raises(errors.HostKeyKindError, match="ssh-ed25519"):
            asyncio.run(_open(keyed, access))


async def _open(machine: Machine, access: ssh.Access) -> None:
    async with job_runner.Agent(machine.target, access).open():
        pytest.fail("connected without the pinned key")


def test_a_server_that_offers_the_pinned_kind_behind_others_is_itself(keyed: Machine) -> None:
    with sshd(keyed, 2202, "-h /tmp/host_rsa -h /tmp/host_ecdsa -h /etc/ssh/ssh_host_ed25519_key") as access:
        assert asyncio.run(met(keyed, access)) == reachability.ProbeResult(Contact.ANSWERS, found="root\n")


def test_a_server_with_too_many_connections_is_busy_and_answers_when_it_has_fewer(machine: Machine) -> None:
    with sshd(machine, 2203, "-o MaxStartups=1:100:1") as access:
        with socket.create_connection((machine.target.address, 2203)) as crowd:
            assert crowd.recv(100).startswith(b"SSH-2.0-")
            found = asyncio.run(met(machine, access, 3))
        assert found.contact is Contact.BUSY, found
        assert "accepts the connection and closes it before the login" in found.said
        assert asyncio.run(met(machine, access)).contact is Contact.ANSWERS


def test_looks_that_come_all_at_once_are_answered_one_after_the_other(machine: Machine) -> None:
    async def crowd(access: ssh.Access) -> list[reachability.ProbeResult[str]]:
        return await asyncio.gather(*(met(machine, access, 30) for _ in range(8)))

    with sshd(machine, 2204, "-o MaxStartups=2:100:2") as access:
        assert {each.contact for each in asyncio.run(crowd(access))} == {Contact.ANSWERS}
