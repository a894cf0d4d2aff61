"""What a login shell prints, and which shell it is, reaches no answer; one that runs no command is said to be that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from gantry import names
from gantry.agent import bootstrap, command_channel, errors, fan_out, job_runner, reachability, session

from .machines import Machine, Said, job, key, progress

pytestmark = pytest.mark.docker

CHATTER = {
    "an empty line": "echo",
    "a terminal's title": r"printf '\033]0;%s\007' title",
    "three words": "echo three words here",
    "a number and OK": "echo 7; echo OK; printf 'job: exit 0' >&2; printf 0",
    "a trace, a lost path, an exit trap": "set -x; PATH=/nowhere; trap 'echo bye' EXIT",
    "much": "seq 20000; seq 20000 >&2",
}
ODD = 'it\'s a "test" of\\n !history `date` $HOME \\ ż\n(two lines) *'


@contextlib.contextmanager
def profile(machine: Machine, path: str, text: str) -> Iterator[None]:
    """A start-up file of the login's shell, for a while."""
    machine.sh(f"cp {path} {path}.kept 2>/dev/null || : > {path}.kept")
    try:
        machine.sh(f"cat > {path} <<'GANTRY_END'\n{text}\nGANTRY_END")
        yield
    finally:
        machine.sh(f"mv {path}.kept {path}")


def everything_works(machine: Machine, step: str) -> None:
    """Handshake, files, a job with its output, a check, digests, a look: each gives what the server has said."""
    machine.script("checkService", "echo OK")
    machine.script("twoLines", 'echo "first"; echo "$1"')
    path = f"{session.TEMPORARY}/handed.cfg"

    async def ask() -> None:
        async with job_runner.Agent(machine.target, machine.access).open() as server:
            assert await bootstrap.install_agent(server, machine.target.name) == ()
            assert await bootstrap.still_boots(server) == ""
            assert await server.run("printf", "%s", ODD) == ODD
            await server.put([session.RemoteFile(path, ODD.encode())])
            assert await server.run("cat", path) == ODD
            assert list(await fan_out.digests(server, (path, "/nonexistent"))) == [path]
            assert await fan_out.check(server, names.ServiceId("a1")) == fan_out.OK
        done, said = progress(machine, job("twoLines", "second")), Said()
        assert await fan_out.carry_out([done], machine.access, key(step), said)
        assert said.output_of(machine) == ["first", "second"]
        assert (done.generation, done.failure) == ("1", None)

    asyncio.run(ask())
    machine.sh("rm /enstratus/custom/bin/checkService")
    answer = reachability.call([reachability.ServerProbe(machine.target, machine.access)])[
        machine.target.name
    ]
    assert (answer.contact, answer.said) == (reachability.Contact.ANSWERS, "")


def shake(machine: Machine) -> None:
    async def greet() -> None:
        async with job_runner.Agent(machine.target, machine.access).open() as server:
            await bootstrap.install_agent(server, machine.target.name)

    asyncio.run(greet())


@pytest.mark.parametrize("said", CHATTER, ids=lambda each: each.replace(" ", "-"))
def test_what_a_start_up_file_prints_reaches_no_answer(machine: Machine, said: str) -> None:
    with profile(machine, "/home/deploy/.bashrc", CHATTER[said]):
        everything_works(machine, f"chatter-{list(CHATTER).index(said)}")


def test_what_the_start_up_file_of_all_accounts_prints_reaches_no_answer(machine: Machine) -> None:
    with profile(machine, "/etc/bash.bashrc", "echo Welcome to $(hostname)"):
        everything_works(machine, "chatter-of-all")


@pytest.mark.parametrize(
    ("program", "file"),
    [
        ("/bin/dash", ".profile"),
        ("/bin/tcsh", ".cshrc"),
        ("/usr/bin/fish", ".config/fish/config.fish"),
        ("/bin/zsh", ".zshenv"),
    ],
    ids=["dash", "tcsh", "fish", "zsh"],
)
def test_the_login_shell_may_be_another_one(machine: Machine, program: str, file: str) -> None:
    install = "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends tcsh fish zsh"
    machine.sh(f"[ -e /bin/zsh ] || {{ apt-get update -qq && {install}; }} >/tmp/apt.log 2>&1")
    machine.sh("mkdir -p /home/deploy/.config/fish && chown -R deploy /home/deploy/.config")
    machine.sh(f"usermod --shell {program} deploy")
    try:
        with profile(machine, f"/home/deploy/{file}", "echo Welcome to all"):
            everything_works(machine, f"shell-{program.rpartition('/')[2]}")
    finally:
        machine.sh("usermod --shell /bin/bash deploy")


def test_what_modules_of_pam_print_behind_sudo_reaches_no_answer(machine: Machine) -> None:
    said = f"{machine.sh('cat /etc/pam.d/sudo')}\nsession optional pam_echo.so Last login: today OK"
    with profile(machine, "/etc/pam.d/sudo", said):
        everything_works(machine, "pam")


def test_a_banner_and_a_forced_command_that_runs_what_was_asked_for_are_no_hindrance(
    machine: Machine,
) -> None:
    ours = 'Banner /etc/issue.net\nMatch User deploy\n  ForceCommand echo Hello; eval "$SSH_ORIGINAL_COMMAND"'
    with profile(machine, "/etc/ssh/sshd_config", f"{machine.sh('cat /etc/ssh/sshd_config')}\n{ours}"):
        machine.sh("pkill -HUP -o -x sshd")
        everything_works(machine, "forced")
    machine.sh("pkill -HUP -o -x sshd")


def test_a_process_of_the_start_up_files_that_prints_on_is_said_before_anything_is_done(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_PROBE_SECONDS", 5.0)
    with (
        profile(machine, "/home/deploy/.bashrc", "sleep 300 &"),
        pytest.raises(errors.LoginShellError, match="running in the background"),
    ):
        shake(machine)
    machine.sh("pkill -x sleep -u deploy || true")


def test_root_is_met_by_its_own_start_up_file_only_once(fresh: Machine) -> None:
    """Of a script that calls bash, bash would think that it has come over SSH, and read the file again."""
    shake(fresh)
    fresh.script("callsBash", 'bash -c \'echo "from bash"\'; echo "${BASH_ENV:-none}"')
    with profile(fresh, "/root/.bashrc", "echo Welcome; export BASH_ENV=/root/.bashrc"):
        done, said = progress(fresh, job("callsBash")), Said()
        assert asyncio.run(fan_out.carry_out([done], fresh.access, key("calls-bash"), said))
    assert said.output_of(fresh) == ["from bash", "none"]


FORCED = "Please login as the user admin rather than the user deploy."
KEYS = "/home/deploy/.ssh/authorized_keys"
BASHRC = "/home/deploy/.bashrc"


@pytest.mark.parametrize(
    ("prevented", "said"),
    [
        ("usermod --shell /usr/sbin/nologin deploy", "This account is currently not available."),
        ("usermod --shell /bin/false deploy", "it said nothing"),
        ("usermod --shell /bin/rbash deploy", "exec: restricted"),
        (f"sed -i 's/^/command=\"echo {FORCED};exit 142\" /' {KEYS}", FORCED),
        (f"echo 'exec cat' > {BASHRC}", "it said nothing"),
        (f"echo 'exec 2>&1' > {BASHRC}", "it said nothing"),
        ("echo 'deploy ALL=(ALL) ALL' > /etc/sudoers.d/zz-asks", "a password is required"),
    ],
    ids=["nologin", "false", "rbash", "forced", "cat", "one-stream", "sudo-asks"],
)
def test_an_account_that_runs_no_command_is_refused_with_what_it_said(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, prevented: str, said: str
) -> None:
    monkeypatch.setattr(command_channel, "_BEGIN_SECONDS", 3.0)
    machine.sh(f"cp -p {BASHRC} /root/bashrc.kept; cp -p {KEYS} /root/keys.kept")
    machine.sh(prevented)
    try:
        with pytest.raises(errors.LoginShellError) as refused:
            shake(machine)
        answer = reachability.call([reachability.ServerProbe(machine.target, machine.access)])[
            machine.target.name
        ]
    finally:
        machine.sh("usermod --shell /bin/bash deploy; rm -f /etc/sudoers.d/zz-asks")
        machine.sh(f"cp -p /root/bashrc.kept {BASHRC}; cp -p /root/keys.kept {KEYS}")
    assert said in str(refused.value)
    assert "the SSH user 'deploy' does not get a shell" in str(refused.value)
    assert "'bookshop_ssh'" in str(refused.value)
    assert not refused.value.transient
    # It is there: no reason to replace it.
    assert answer.contact is reachability.Contact.REFUSES
    shake(machine)
