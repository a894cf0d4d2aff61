"""The handshake puts the agent's scripts in place, and sends what is not there yet."""

from __future__ import annotations

import asyncio

import pytest

from gantry.agent import agent_bundle, bootstrap, job_runner, session

from .machines import Machine

pytestmark = pytest.mark.docker


def shake(machine: Machine) -> tuple[str, ...]:
    """Shake hands; the scripts that were sent."""

    async def greet() -> tuple[str, ...]:
        async with job_runner.Agent(machine.target, machine.access).open() as server:
            return await bootstrap.install_agent(server, machine.target.name)

    return asyncio.run(greet())


def test_the_first_handshake_installs_the_agent_and_the_second_sends_nothing(fresh: Machine) -> None:
    assert not fresh.exists("/enstratus")
    assert shake(fresh) == tuple(file.path for file in agent_bundle.bundle().files)
    assert fresh.sh("stat -c %a:%U /enstratus/bin/job /enstratus/lib/agent.sh").split() == [
        "750:root",
        "640:root",
    ]
    assert fresh.sh("stat -c %a:%U /enstratus/bin /enstratus/ws/tmp").split() == ["755:root", "700:root"]
    assert "usage" in fresh.sh("/enstratus/bin/job 2>&1 || true")
    assert shake(fresh) == ()


@pytest.mark.parametrize(
    "change",
    [
        "echo '# mine' >> /enstratus/bin/startService",
        "chmod 755 /enstratus/bin/startService",
        "chown games /enstratus/bin/startService",
        "rm /enstratus/bin/startService",
        "cp /etc/hostname /tmp/mine; ln -sf /tmp/mine /enstratus/bin/startService",
    ],
)
def test_a_script_that_was_changed_on_the_server_is_sent_anew_and_only_that(
    machine: Machine, change: str
) -> None:
    before = machine.sh("cat /etc/hostname")
    machine.sh(change)
    assert shake(machine) == ("bin/startService",)
    assert machine.sh("stat -c %a:%U:%F /enstratus/bin/startService") == "750:root:regular file"
    # A link is replaced, not written through.
    assert machine.sh("cat /tmp/mine 2>/dev/null || cat /etc/hostname") == before
    assert shake(machine) == ()


def test_a_server_is_booting_until_its_cloud_init_has_its_result(machine: Machine) -> None:
    async def ask() -> str:
        async with job_runner.Agent(machine.target, machine.access).open() as server:
            return await bootstrap.still_boots(server)

    assert asyncio.run(ask()) == ""
    machine.sh("mv /run/cloud-init/result.json /run/cloud-init/kept")
    try:
        assert asyncio.run(ask()).startswith("cloud-init is still at work")
    finally:
        machine.sh("mv /run/cloud-init/kept /run/cloud-init/result.json")


def test_scripts_of_the_customers_own_are_let_be(machine: Machine) -> None:
    machine.script("startService-pre", "true")
    assert shake(machine) == ()
    assert machine.exists("/enstratus/custom/bin/startService-pre")
    machine.sh("rm /enstratus/custom/bin/startService-pre")


def test_secrets_that_a_dead_worker_left_behind_are_removed_and_those_in_transit_are_not(
    machine: Machine,
) -> None:
    async def put() -> None:
        async with job_runner.Agent(machine.target, machine.access).open() as server:
            await server.put(
                [session.RemoteFile(f"{session.TEMPORARY}/{name}", b"x") for name in ("old", "young")]
            )

    asyncio.run(put())
    long_ago = "touch -d '2 days ago'"
    machine.sh(f"cd {session.TEMPORARY} && {long_ago} old && mkdir d && touch d/young && {long_ago} d")
    shake(machine)
    assert machine.sh(f"cd {session.TEMPORARY} && find . -type f | sort").split() == ["./d/young", "./young"]
    machine.sh(f"rm -r {session.TEMPORARY}/d {session.TEMPORARY}/young")


def test_put_replaces_a_planted_link_and_does_not_write_through_it(machine: Machine) -> None:
    machine.sh(f"echo untouched > /tmp/victim; ln -s /tmp/victim {session.TEMPORARY}/link.cfg")

    async def put() -> None:
        async with job_runner.Agent(machine.target, machine.access).open() as server:
            await server.put([session.RemoteFile(f"{session.TEMPORARY}/link.cfg", b"secret\n")])

    asyncio.run(put())
    assert machine.sh("cat /tmp/victim") == "untouched"
    assert machine.sh(f"stat -c %a:%F {session.TEMPORARY}/link.cfg") == "600:regular file"
    machine.sh(f"rm {session.TEMPORARY}/link.cfg")


def test_a_folder_that_the_customers_user_made_a_link_is_not_written_through(machine: Machine) -> None:
    # The customer's user owns /mnt/services/a####; what root is to write there goes through `putConfig`.
    machine.sh(
        f"mkdir -p /mnt/services/a77 /tmp/elsewhere && ln -sfn /tmp/elsewhere /mnt/services/a77/cfg"
        f" && echo x=1 > {session.TEMPORARY}/in.cfg"
    )
    refused = machine.sh(f"/enstratus/bin/putConfig a77 {session.TEMPORARY}/in.cfg 2>&1 || true")
    assert "is a link" in refused
    assert machine.sh("ls -A /tmp/elsewhere") == ""
    machine.sh(f"rm -r /mnt/services/a77 {session.TEMPORARY}/in.cfg")
