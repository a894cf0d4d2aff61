"""Chef server of an embedded cloud: goiardi, with authentication, and its own certificate."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gantry import errors as root
from gantry.configuration_management import chef_server
from gantry.local import errors, resources
from gantry.local.cloud import certificates

PROGRAM = "goiardi"
# The network's gateway is ours alone, so the port can be the same each time.
PORT = 4545
VALIDATOR = "chef-validator"
ADMIN = "admin"
_READY_SECONDS = 120.0


class ChefServerStartError(errors.LocalCloudError):
    """goiardi cannot be started."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the Chef server does not start: {reason}")


@dataclass(frozen=True)
class Running:
    """A Chef server. `folder` contains the keys `chef-validator.pem` and `admin.pem`, readable by their owner only."""

    url: str
    certificate: str
    folder: Path
    process: subprocess.Popen[bytes]

    def await_answer(self) -> None:
        """Wait until it answers signed requests.

        Raises:
            ChefServerStartError: it ended, or does not answer within 20 s.
        """
        deadline = time.monotonic() + _READY_SECONDS
        reason = "it wrote no keys"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                reason = f"it ended with exit code {self.process.returncode}"
                break
            try:
                actor = chef_server.Actor(ADMIN, (self.folder / f"{ADMIN}.pem").read_text())
                chef_server.ChefServer(self.url, actor, self.certificate).nodes()
            except (FileNotFoundError, root.GantryError) as error:
                reason = str(error)
            else:
                return
            time.sleep(0.05)
        raise ChefServerStartError(f"{reason}\n{_log(self.folder).read_text(errors='replace')[-2000:]}")


@contextlib.contextmanager
def running(address: str, folder: Path) -> Iterator[Running]:
    """Run a Chef server, initially empty; its keys and contents are removed at the end.

    It needs half a second to generate its keys: do something else before `Running.await_answer`.

    Args:
        address: the address that it listens on, and that its certificate is for.
        folder: created afresh.

    Raises:
        ChefServerStartError: it is not installed, or does not start.
    """
    if shutil.which(PROGRAM) is None:
        raise ChefServerStartError(f"there is no {PROGRAM}; run {resources.SETUP_MACHINE}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    certificate = _certificate(address, folder)
    with _log(folder).open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - no input of a user
            # It ends with us, however we end.
            ["setpriv", "--pdeathsig", "KILL", PROGRAM, *_options(address, folder)],  # noqa: S607 - Debian's
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            umask=0o077,
        )
    try:
        yield Running(f"https://{address}:{PORT}", certificate, folder, process)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _log(folder: Path) -> Path:
    return folder / "goiardi.log"


def _options(address: str, folder: Path) -> list[str]:
    # Everything is in its memory, uploaded files too. File URLs begin with the name that it uses for itself.
    return [
        "-I", address, "-H", address, "-P", str(PORT), "--use-auth", "--disable-webui", f"--conf-root={folder}",
        "--use-ssl", f"--ssl-cert={folder / 'server.crt'}", f"--ssl-key={folder / 'server.key'}",
        "--log-level=warning",
    ]  # fmt: skip


def _certificate(address: str, folder: Path) -> str:
    """Create the server's certificate and key, as files; return the certificate's text."""
    made = certificates.self_signed([address])
    (folder / "server.crt").write_text(made.certificate)
    (folder / "server.key").write_text(made.key)
    return made.certificate
