"""The service as a pyinfra deploy. Run by `benchmarks/fleet.py` in an environment that has pyinfra."""

import shlex

from pyinfra import host
from pyinfra.operations import files, server

home, archive = host.data.home, host.data.archive
config = f"{home}/cfg/enstratus.cfg"

folder = files.directory(name="Folder", path=f"{home}/cfg", _sudo=True)
fetched = files.download(
    name="Download",
    src=archive["url"],
    dest=f"{home}.tar.gz",
    sha256sum=archive["sha256"],
    _sudo=True,
)
unpacked = server.shell(
    name="Unpack",
    commands=[f"tar -xzf {shlex.quote(home)}.tar.gz -C {shlex.quote(home)} --no-same-owner"],
    _if=fetched.did_change,
    _sudo=True,
)
put = files.put(name="Configuration file", src=host.data.config, dest=config, mode="640", _sudo=True)


def has_changed() -> bool:
    return bool(fetched.did_change() or put.did_change())


server.shell(
    name="Configure",
    commands=[f"{home}/bin/enstratus-configure a4200 {config}"],
    _if=has_changed,
    _sudo=True,
)
server.shell(name="Stop", commands=[f"{home}/bin/enstratus-stop"], _if=has_changed, _sudo=True)
server.shell(name="Start", commands=[f"{home}/bin/enstratus-start"], _if=has_changed, _sudo=True)
server.shell(
    name="Check",
    commands=[
        f"for each in 1 2 3 4 5 6 7 8 9; do [ $({home}/bin/enstratus-check) != OK ] || exit 0; sleep 0.3; done; exit 1"
    ],
    _sudo=True,
)
