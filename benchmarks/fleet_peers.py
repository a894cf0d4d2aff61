"""The tools that Gantry is compared with, in an environment of their own: pyinfra and ansible-core."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from benchmarks import fleet_servers

PYINFRA, ANSIBLE = "3.10.0", "2.19.14"
"""The last version of ansible-core for Python 3.11."""

_PEERS = pathlib.Path(__file__).with_name("peers")
_ROOT = pathlib.Path(__file__).parents[1]
# Where docker/setup-python.sh puts it: beside the environment that it makes.
_UV = (_ROOT / ".venv").resolve().parent / ".work" / "uv" / "bin" / "uv"
_MOST_FORKS = 20


class Peers:
    """pyinfra and ansible, installed for this run.

    Args:
        fleet: the servers.
        folder: for what they read.
        environment: a virtual environment; it is made where it is not there.
        with_ansible: whether ansible-core is installed too.
    """

    def __init__(
        self,
        fleet: fleet_servers.Fleet,
        folder: pathlib.Path,
        environment: pathlib.Path,
        *,
        with_ansible: bool = True,
    ) -> None:
        self._fleet = fleet
        self._folder = folder
        self._bin = environment / "bin"
        wanted = {"pyinfra": f"pyinfra=={PYINFRA}"}
        if with_ansible:
            wanted["ansible-playbook"] = f"ansible-core=={ANSIBLE}"
        if missing := [package for program, package in wanted.items() if not (self._bin / program).exists()]:
            _install(environment, missing)

    def pyinfra(self, release: fleet_servers.Release) -> tuple[Sequence[str], dict[str, str]]:
        """Command and environment."""
        login = {
            "ssh_user": self._fleet.user,
            "ssh_key": str(self._fleet.key),
            "ssh_known_hosts_file": str(self._fleet.known_hosts),
            "ssh_strict_host_key_checking": "yes",
            **self._data("pyinfra", release),
        }
        hosts = [(each.address, login) for each in self._fleet.servers]
        inventory = self._folder / "inventory.py"
        inventory.write_text(f"hosts = {hosts!r}\n")
        command = (str(self._bin / "pyinfra"), "--yes", str(inventory), str(_PEERS / "deploy.py"))
        return command, dict(os.environ)

    def ansible(self, release: fleet_servers.Release) -> tuple[Sequence[str], dict[str, str]]:
        """Command and environment, with what those set who want it fast."""
        inventory = self._folder / "inventory.ini"
        inventory.write_text("".join(f"{each.address}\n" for each in self._fleet.servers))
        facts = self._folder / "facts.json"
        facts.write_text(json.dumps(self._data("ansible", release)))
        environment = {
            **os.environ,
            "ANSIBLE_HOME": str(self._folder / "ansible"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_FORKS": str(min(len(self._fleet.servers), _MOST_FORKS)),
            "ANSIBLE_INTERPRETER_PYTHON": "/usr/bin/python3",
            "ANSIBLE_REMOTE_USER": self._fleet.user,
            "ANSIBLE_PRIVATE_KEY_FILE": str(self._fleet.key),
            "ANSIBLE_SSH_COMMON_ARGS": f"-o UserKnownHostsFile={self._fleet.known_hosts}",
        }
        playbook = str(_PEERS / "playbook.yaml")
        command = (str(self._bin / "ansible-playbook"), "-i", str(inventory), "-e", f"@{facts}", playbook)
        return command, environment

    def _data(self, tool: str, release: fleet_servers.Release) -> dict[str, object]:
        config = self._folder / f"{tool}.cfg"
        config.write_text(f"[custom]\ngreeting={release.greeting}\n")
        return {
            "home": f"/opt/{tool}",
            "archive": {"url": release.url, "sha256": release.sha256},
            "config": str(config),
        }


def _install(environment: pathlib.Path, packages: Sequence[str]) -> None:
    print(f"installing {' and '.join(packages)} into {environment}", file=sys.stderr)
    # pip would take a minute of a processor, most of it for compiling modules that are never imported.
    if not (environment / "bin/python").exists():
        _uv("venv", "--quiet", "--no-project", "--python", sys.executable, str(environment))
    _uv("pip", "install", "--quiet", "--python", str(environment), *packages)


def _uv(*arguments: str) -> None:
    done = subprocess.run([_UV, *arguments], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"uv {' '.join(arguments)}: it wants PyPI\n{done.stderr[-2000:]}")
