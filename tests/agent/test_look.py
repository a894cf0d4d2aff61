"""What `gantry plan` asks servers: it gets true answers, and leaves no trace."""

from __future__ import annotations

import dataclasses

import pytest

from gantry import errors, names
from gantry.agent import agent_bundle, ssh
from gantry.preview import probe, state

from .machines import Machine

pytestmark = pytest.mark.docker

SERVICE = names.ServiceId("a4001")
CONFIG = f"/mnt/services/{SERVICE}/cfg/enstratus.cfg"
INTEREST = probe.Interest(checked=(SERVICE,), files=("/etc/hostname", "/etc/nothing"), configs=(CONFIG,))


def ask(machine: Machine, **access: object) -> state.ServerState | errors.GantryError:
    target, login = machine.target, dataclasses.replace(machine.access, **access)  # type: ignore[arg-type]
    return probe.look([probe.state(target, login, INTEREST)])[target.name]


def answer(machine: Machine) -> state.ServerState:
    found = ask(machine)
    assert isinstance(found, state.ServerState), found
    return found


def trace(machine: Machine) -> str:
    """All that could change on a server: files of the agent and of services, their times and contents."""
    return machine.sh(
        "find /enstratus /mnt -type f -exec stat -c '%n %s %y %z' {} + | sort; ls -R /enstratus /mnt"
    )


@pytest.fixture
def served(machine: Machine) -> Machine:
    """A server with a service, its mark and its configuration."""
    machine.sh(
        f"mkdir -p /enstratus/ws/state/{SERVICE} /mnt/services/{SERVICE}/cfg /mnt/services/{SERVICE}/bin;"
        f"echo v1 > /enstratus/ws/state/{SERVICE}/archive; rm -f {CONFIG}; printf 'a=1\\nb=2\\n' > {CONFIG};"
        f"printf '#!/bin/sh\\necho it sleeps\\n' > /mnt/services/{SERVICE}/bin/enstratus-check;"
        f"chmod 755 /mnt/services/{SERVICE}/bin/enstratus-check"
    )
    return machine


def test_marks_checks_digests_and_configuration_are_read_and_nothing_is_left(served: Machine) -> None:
    before = trace(served)
    found = answer(served)
    assert found.marks[f"{SERVICE}/archive"] == "v1"
    assert found.checks == {SERVICE: "it sleeps"}
    assert found.configs == {CONFIG: "a=1\nb=2\n"}
    assert set(found.digests) == {"/etc/hostname", CONFIG}
    assert found.stale == ()
    assert trace(served) == before


@pytest.mark.parametrize("link", [CONFIG, CONFIG.rpartition("/")[0]])
def test_root_shows_nothing_that_a_link_of_the_customers_leads_to(served: Machine, link: str) -> None:
    served.sh(f"mkdir -p /tmp/away; echo root:secret > /tmp/away/enstratus.cfg; rm -rf {link}")
    served.sh(f"ln -s {'/tmp/away/enstratus.cfg' if link == CONFIG else '/tmp/away'} {link}")
    found = answer(served)
    served.sh(f"rm {link}")
    assert found.configs == {}
    assert found.unreadable == {CONFIG: "is a link"}


def test_a_server_nobody_has_shaken_hands_with_has_nothing_and_gets_everything(served: Machine) -> None:
    served.sh("mv /enstratus /elsewhere")
    try:
        found = answer(served)
        assert not served.exists("/enstratus")
    finally:
        served.sh("mv /elsewhere /enstratus")
    assert found == state.ServerState(stale=tuple(file.path for file in agent_bundle.bundle().files))


def test_an_older_agent_is_asked_and_its_stale_scripts_are_said(served: Machine) -> None:
    served.sh("cp -p /enstratus/bin/startService /tmp/kept; echo '# older' >> /enstratus/bin/startService")
    try:
        found = answer(served)
    finally:
        served.sh("cp -p /tmp/kept /enstratus/bin/startService")
    assert found.stale == ("bin/startService",)
    assert found.marks[f"{SERVICE}/archive"] == "v1"


def test_an_agent_that_cannot_answer_is_not_taken_for_one_that_says_nothing(served: Machine) -> None:
    served.sh("mv /enstratus/bin/marks /tmp/marks")
    try:
        found = ask(served)
    finally:
        served.sh("mv /tmp/marks /enstratus/bin/marks")
    assert isinstance(found, probe.IncompleteAgentError)
    assert "the agent lacks bin/marks" in str(found)


def test_one_that_does_not_answer_leaves_the_others_their_say(served: Machine, neighbour: Machine) -> None:
    lost = dataclasses.replace(neighbour.target, address="127.0.0.1", host_key=served.target.host_key)
    login = dataclasses.replace(neighbour.access.login, port=1)
    found = probe.look(
        [
            probe.state(lost, ssh.Access(login), INTEREST),
            probe.state(served.target, served.access, INTEREST),
        ]
    )
    assert "no SSH connection to 127.0.0.1" in str(found[lost.name])
    assert isinstance(found[served.target.name], state.ServerState)
