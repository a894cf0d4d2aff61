"""Somebody has got hold of a service's account, and wants root: what they change, root must not run, read or write."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from .server import CUSTOMER, REQUIRED, SERVICE, Result, Server

FILES = {
    **{f"bin/{name}": "#!/bin/sh\nexit 0\n" for name in (*REQUIRED, "enstratus-check")},
    "bin/enstratus-check": '#!/bin/sh\n. "$(dirname "$0")/../lib/service.sh"\necho OK\n',
    "lib/service.sh": "true\n",
    "cfg/deep/settings": "a=1\n",
    "data/seed": "1\n",
}
EVIL = 'touch "$GANTRY_ROOT/secret/pwned"'


class Attacker:
    """The service's user on a server where the service is installed."""

    def __init__(self, server: Server) -> None:
        self.server = server
        _, _, uid, gid, *_ = server.path("etc/passwd").read_text().split(":")
        self.uid, self.gid = int(uid), int(gid)

    def sh(self, command: str) -> int:
        """Run a command with the user's rights in the service's folder; its exit code."""
        done = subprocess.run(
            [
                "setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups",
                "sh", "-c", f"{{ {command}\n}} 2>/dev/null",
            ],
            cwd=self.server.service(),
            env=self.server.environment,
            check=False,
            timeout=30,
        )  # fmt: skip
        return done.returncode

    def owns(self, path: Path) -> bool:
        return path.lstat().st_uid == self.uid

    @property
    def has_root(self) -> bool:
        return bool(list(self.server.path("secret").iterdir()) != [self.server.path("secret/key")])


def archive(server: Server, files: dict[str, str] = FILES, name: str = "a.tar.gz") -> Path:
    path = server.root / name
    with tarfile.open(path, "w:gz") as packed:
        for each, text in files.items():
            entry = tarfile.TarInfo(each)
            entry.size, entry.mode = len(text), 0o755
            packed.addfile(entry, io.BytesIO(text.encode()))
    return path


def install(server: Server, path: Path | None = None, **environment: str) -> Result:
    return server.call("installService", SERVICE, CUSTOMER, "u1", path or archive(server), **environment)


def root_at_work(server: Server) -> None:
    """All that the agent does with a service."""
    config = server.write("enstratus/ws/new.cfg", f"[enStratus]\ncustomerId={CUSTOMER}\n", 0o600)
    for call in (
        ("checkService", SERVICE),
        ("putConfig", SERVICE, config),
        ("configureService", "u1", CUSTOMER, SERVICE),
        ("stopService", SERVICE),
        ("startService", SERVICE),
        ("measureService", SERVICE),
        ("keepService", SERVICE),
        ("revertService", SERVICE),
        ("backupService", SERVICE, server.path("backup.tar.gz")),
        ("installService", SERVICE, CUSTOMER, "u1", server.path("a.tar.gz")),
        ("checkService", SERVICE),
    ):
        server.call(*call)


@pytest.fixture
def attacker(server: Server) -> Attacker:
    """Installed, configured and running, beside a folder that only root may write to."""
    if os.geteuid() != 0:
        pytest.skip("root's rights are what this is about")
    server.root.chmod(0o755)
    server.path("secret").mkdir(mode=0o755)
    server.write("secret/key", "root's own\n", 0o600)
    result = install(server)
    assert result.code == 0, result.err
    root_at_work(server)
    found = Attacker(server)
    assert not found.has_root
    return found


def holds(attacker: Attacker) -> None:
    """Whatever was tried: root did nothing of it."""
    assert not attacker.has_root
    key = attacker.server.path("secret/key")
    assert (key.read_text(), key.stat().st_uid, key.stat().st_mode & 0o777) == ("root's own\n", 0, 0o600)


ATTEMPTS = {
    "write into a script": f"echo '{EVIL}' >>bin/enstratus-check",
    "replace a script": f"printf '#!/bin/sh\\n{EVIL}\\n' >data/x && mv -f data/x bin/enstratus-check",
    "add a script": f"printf '#!/bin/sh\\n{EVIL}\\n' >bin/enstratus-measure && chmod 755 bin/enstratus-measure",
    "write into what a script reads": f"echo '{EVIL}' >>lib/service.sh",
    "replace the folder of the scripts": f"mv bin old && mkdir bin && echo '{EVIL}' >bin/enstratus-check",
    "replace the folder of the service": f"cd .. && mv {SERVICE} x && mkdir {SERVICE}",
    "link to scripts elsewhere": "rm -rf bin && ln -s /tmp bin",
    "make scripts writable": "chmod 777 bin bin/enstratus-check",
    "replace cfg": "mv cfg data/cfg && ln -s ../../../secret cfg",
    "remove enstratus.cfg": "rm -f cfg/enstratus.cfg",
    "replace enstratus.cfg": "echo runAsUser=root >cfg/x && mv -f cfg/x cfg/enstratus.cfg",
    "link enstratus.cfg": "ln -sf ../../../../secret/key cfg/enstratus.cfg",
    "write into enstratus.cfg": "echo runAsUser=root >>cfg/enstratus.cfg",
}


def test_the_services_user_changes_nothing_that_root_goes_by(attacker: Attacker) -> None:
    assert [what for what, command in ATTEMPTS.items() if attacker.sh(command) == 0] == []
    root_at_work(attacker.server)
    holds(attacker)
    assert "root" not in attacker.server.service("cfg/enstratus.cfg").read_text()


def test_the_services_user_has_what_is_its_own(attacker: Attacker) -> None:
    for own in ("data/new", "cfg/new", "cfg/deep/new"):
        assert attacker.sh(f"echo 1 >{own} && mv {own} {own}2 && rm {own}2") == 0, own
    for readable in ("cat cfg/enstratus.cfg", "cat lib/service.sh", "ls bin", "bin/enstratus-check"):
        assert attacker.sh(f"{readable} >/dev/null") == 0, readable


SECRET = "../../../../secret"
LINKS = (
    f"rm -rf cfg/deep && ln -s {SECRET} cfg/deep",
    f"ln -sf {SECRET}/key data/seed",
    f"ln -sf {SECRET} data/folder && ln -sf {SECRET}/key cfg/enstratus.cfg.new",
)


def test_root_follows_no_link_of_the_user(attacker: Attacker) -> None:
    for command in LINKS:
        assert attacker.sh(command) == 0, command
    root_at_work(attacker.server)
    holds(attacker)


def test_a_folder_of_the_users_that_becomes_a_link_in_the_middle_of_an_install_leads_nowhere(
    attacker: Attacker,
) -> None:
    # Between root's look and root's move: the worst moment, each time.
    real = subprocess.run(
        ["sh", "-c", "command -v mv"], capture_output=True, text=True, check=True
    ).stdout.strip()
    tools = attacker.server.path("tools")
    tools.mkdir(mode=0o755)
    deep = attacker.server.service("cfg/deep")
    secret = attacker.server.path("secret")
    swap = f"[ -L {deep} ] || {{ rm -rf {deep} && ln -s {secret} {deep}; }}"
    body = f'case "$*" in */deep*) {swap} ;; esac\nexec {real} "$@"'
    mv = attacker.server.script("tools/mv", body, 0o755)
    assert mv.exists()
    install(attacker.server, PATH=f"{tools}:{os.environ['PATH']}")
    assert deep.is_symlink(), "the attack took place"
    holds(attacker)
    assert secret.stat().st_uid == 0


@pytest.fixture
def older(attacker: Attacker) -> Attacker:
    """As an older Gantry has left it: all of it is the user's, who has made use of that."""
    server = attacker.server
    for path in [server.service(), *server.service().rglob("*")]:
        os.chown(path, attacker.uid, attacker.gid, follow_symlinks=False)
    server.service("cfg").chmod(0o770)
    for command in (
        ATTEMPTS["write into a script"],
        ATTEMPTS["add a script"],
        ATTEMPTS["write into what a script reads"],
        "mkdir -p lib/__pycache__ && touch lib/__pycache__/service.pyc",
        "touch lib/kept.db data/rows",
        f"ln -s {SECRET}/key bin/enstratus-grantDatabaseAccess",
    ):
        assert attacker.sh(command) == 0
    return attacker


def test_an_installed_base_is_mended_by_the_very_same_archive(older: Attacker) -> None:
    server = older.server
    held_open = server.service("bin/enstratus-stop").open("a")
    result = install(server)
    assert result.code == 0, result.err
    with held_open:
        held_open.write(f"{EVIL}\n")
    root_at_work(server)
    holds(older)
    assert {path.name for path in server.service("bin").iterdir()} == {*REQUIRED, "enstratus-check"}
    for name in ("", "bin", "bin/enstratus-check", "lib", "lib/service.sh", "cfg", "cfg/enstratus.cfg"):
        assert not older.owns(server.service(name)), name
    assert not server.service("lib/__pycache__").exists()
    # What the service has made itself is where it was, and its own.
    for name in ("lib/kept.db", "data/rows", "data", "cfg/deep"):
        assert older.owns(server.service(name)), name
    assert "lib/kept.db belongs to" in result.err
    for what in ATTEMPTS.values():
        assert older.sh(what) != 0


def test_a_folder_above_that_is_somebody_elses_is_mended_or_refused(attacker: Attacker) -> None:
    services, above = attacker.server.path("mnt/services"), attacker.server.path("mnt")
    os.chown(services, attacker.uid, attacker.gid)
    assert install(attacker.server).code == 0
    assert services.stat().st_uid == 0
    os.chown(above, attacker.uid, attacker.gid)
    result = install(attacker.server)
    assert (result.code, f"{above} belongs to" in result.err) == (25, True), result.err


def test_a_customer_is_not_another_name_of_root(server: Server) -> None:
    server.write("etc/passwd", f"{CUSTOMER}:x:0:0::/:/bin/sh\n")
    result = install(server)
    assert (result.code, "another name of root" in result.err) == (24, True), result.err
    assert not server.service().exists()


def test_what_is_restored_belongs_to_whom_it_did(attacker: Attacker) -> None:
    server = attacker.server
    assert attacker.sh("echo 2 >data/rows; mkdir data/more") == 0
    server.write(server.service("generated"), "by a script\n")
    backup = server.path("backup.tar.gz")
    assert server.call("backupService", SERVICE, backup).code == 0
    # An older one, where the user owned all of it, and had put something into it.
    for name in ("bin/enstratus-check", "lib/service.sh"):
        os.chown(server.service(name), attacker.uid, attacker.gid)
    older = server.path("older.tar.gz")
    assert server.call("backupService", SERVICE, older).code == 0
    for each in (backup, older):
        result = server.call("restoreService", SERVICE, CUSTOMER, "u1", each)
        assert result.code == 0, result.err
        for name in ("data", "data/rows", "data/more", "cfg/deep", "cfg/deep/settings"):
            assert attacker.owns(server.service(name)), name
        for name in ("", "bin", "bin/enstratus-check", "lib", "lib/service.sh", "cfg", "generated"):
            assert not attacker.owns(server.service(name)), name
