"""Bare servers with a chef-client, and a Chef server with cookbooks for them."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shlex
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from docker.models.containers import Container

from gantry.configuration_management import chef_server
from gantry.local.cloud import chef_repository
from gantry.local.cloud import chef_server as goiardi
from tests import inside

_FATAL = re.compile(r"^\[[^\]]+\] FATAL: (.*)$", re.MULTILINE)
_COMPLETE = re.compile(r"^Infra Phase complete, (\d+)/(\d+) resources updated in \d\d seconds$", re.MULTILINE)
CLIENT_KEY = "/etc/chef/client.pem"
VALIDATOR_KEY = "/etc/chef/validation.pem"
CONFIGURATION = "/etc/chef/client.rb"
CERTIFICATE = "/etc/chef/trusted_certs/chef.crt"

_HURRY = """\
module Kernel
  alias_method :whole_sleep, :sleep
  def sleep(seconds) = whole_sleep(seconds / 10.0)
end
"""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of chef-client, or of another command."""

    code: int
    out: str
    err: str

    @property
    def fatal(self) -> str:
        """The last FATAL line, without its time."""
        return str(_FATAL.findall(self.out)[-1])

    @property
    def resources(self) -> tuple[int, int]:
        """Updated resources, and all."""
        found = _COMPLETE.search(self.out)
        assert found, self.out + self.err
        return int(found[1]), int(found[2])


class Kitchen:
    """A Chef server, and the means to put something on it."""

    def __init__(self, found: goiardi.Running, folder: Path) -> None:
        self.url = found.url
        self.certificate = found.certificate
        self.validator_key = (found.folder / f"{goiardi.VALIDATOR}.pem").read_text()
        actor = chef_server.Actor(goiardi.ADMIN, (found.folder / f"{goiardi.ADMIN}.pem").read_text())
        self.server = chef_server.ChefServer(found.url, actor, found.certificate)
        self._folder = folder
        self._repositories = 0

    def cookbook(
        self, name: str, files: Mapping[str, str], depends: Sequence[str] = (), version: str = "1.0.0"
    ) -> None:
        """Upload a cookbook; `files` by their paths in it (`recipes/default.rb`)."""
        folder = self._repository() / "cookbooks" / name
        dependencies = dict.fromkeys(depends, ">= 0.0.0")
        metadata = {"name": name, "version": version, "dependencies": dependencies}
        for path, text in {**files, "metadata.json": json.dumps(metadata)}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        chef_repository.upload(folder.parents[1], self.server)

    def recipe(self, name: str, text: str) -> None:
        """Upload a cookbook of one recipe."""
        self.cookbook(name, {"recipes/default.rb": text})

    def role(self, name: str, run_list: Sequence[str], **facts: Any) -> None:
        """Upload a role."""
        self._object("roles", {"name": name, "run_list": list(run_list), **facts})

    def environment(self, name: str, **facts: Any) -> None:
        """Upload an environment."""
        self._object("environments", {"name": name, **facts})

    def _object(self, kind: str, content: dict[str, Any]) -> None:
        folder = self._repository()
        (folder / kind).mkdir()
        (folder / kind / f"{content['name']}.json").write_text(json.dumps(content))
        chef_repository.upload(folder, self.server)

    def _repository(self) -> Path:
        self._repositories += 1
        folder = self._folder / str(self._repositories)
        folder.mkdir(parents=True)
        return folder


class Node:
    """A bare server, made ready for its first run."""

    def __init__(self, container: Container, name: str, kitchen: Kitchen) -> None:
        self.container = container
        self.name = name
        self.kitchen = kitchen
        self._put(
            {
                VALIDATOR_KEY: kitchen.validator_key,
                CERTIFICATE: kitchen.certificate,
                CONFIGURATION: self._configuration(),
            }
        )

    def configure(self, *lines: str, url: str | None = None) -> None:
        """Write client.rb, with further lines."""
        self.write(CONFIGURATION, self._configuration(*lines, url=url))

    def _configuration(self, *lines: str, url: str | None = None) -> str:
        text = (
            f'log_level :auto\nlog_location STDOUT\nchef_server_url "{url or self.kitchen.url}"\n'
            f'validation_client_name "{goiardi.VALIDATOR}"\nnode_name "{self.name}"\nchef_license "accept-no-persist"\n'
        )
        return text + "\n".join(lines) + "\n"

    def write(self, path: str, text: str, mode: int = 0o600) -> None:
        """Put a file there, with its folders."""
        self._put({path: text}, mode)

    def put(self, path: str, content: bytes) -> None:
        """Put a file there that is no text."""
        self._put({path: content})

    def _put(self, files: Mapping[str, str | bytes], mode: int = 0o600) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path, text in files.items():
                member = tarfile.TarInfo(path.lstrip("/"))
                content = text.encode() if isinstance(text, str) else text
                member.size, member.mode = len(content), mode
                tar.addfile(member, io.BytesIO(content))
        self.container.put_archive("/", packed.getvalue())

    def attempt(self, command: str) -> Run:
        """Run a shell command as root."""
        ended = inside.run(self.container, command)
        return Run(ended.code or 0, ended.out, ended.err)

    def sh(self, command: str) -> str:
        """Run a shell command that has to succeed; its output."""
        run = self.attempt(command)
        assert run.code == 0, f"{command}: exit {run.code}\n{run.out}{run.err}"
        return run.out.strip()

    def spawn(self, command: str) -> Iterator[bytes]:
        """Run a shell command, and yield its output as it comes."""
        found = self.container.exec_run(["sh", "-c", command], stream=True)
        return cast("Iterator[bytes]", found.output)

    def command(self, *run_list: str, options: str = "", **attributes: Any) -> str:
        """The command line of a run; writes its JSON file."""
        content = {"run_list": run_list, **attributes} if run_list else attributes
        self.write("/etc/chef/first-boot.json", json.dumps(content))
        return f"chef-client -j /etc/chef/first-boot.json {options}"

    def hurried(self, command: str) -> str:
        """The same command line, but each pause that Ruby makes is a tenth as long."""
        self.write("/etc/chef/hurry.rb", _HURRY)
        return f"RUBYOPT=-r/etc/chef/hurry.rb {command}"

    def chef(self, *run_list: str, options: str = "", **attributes: Any) -> Run:
        """Run chef-client; without a run list, with the one that the Chef server knows."""
        return self.attempt(self.command(*run_list, options=options, **attributes))

    def converge(self, *run_list: str, options: str = "", **attributes: Any) -> Run:
        """Run chef-client, which has to succeed."""
        run = self.chef(*run_list, options=options, **attributes)
        assert run.code == 0, run.out + run.err
        assert run.err == ""
        return run

    def fails(self, *run_list: str, options: str = "", **attributes: Any) -> Run:
        """Run chef-client, which has to fail as every failure does."""
        run = self.chef(*run_list, options=options, **attributes)
        assert run.code == 1, run.out + run.err
        assert run.err == ""
        return run

    def run_as(self, command: str, user: str) -> str:
        """Run a shell command as somebody else."""
        return self.sh(f"su -s /bin/sh {user} -c {shlex.quote(command)}")
