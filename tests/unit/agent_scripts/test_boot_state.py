"""Whether a server's boot still does what may restart it, by what cloud-init and systemd leave in /run."""

from __future__ import annotations

import time

import pytest

from .server import Server


def write(server: Server, name: str, text: str = "") -> None:
    path = server.path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def state(server: Server) -> str:
    found = server.call("bootState")
    assert (found.code, found.err) == (0, "")
    return found.out.strip()


@pytest.fixture
def booted(server: Server) -> Server:
    """A server whose cloud-init is done."""
    write(server, "run/cloud-init/result.json", "{}")
    return server


def test_a_server_without_cloud_init_is_not_waited_for(server: Server) -> None:
    assert state(server) == ""


def test_one_whose_cloud_init_is_done_or_switched_off_is_not_waited_for(booted: Server) -> None:
    assert state(booted) == ""
    booted.path("run/cloud-init/result.json").unlink()
    write(booted, "run/cloud-init/disabled")
    assert state(booted) == ""


def test_one_whose_cloud_init_works_is_waited_for(server: Server) -> None:
    write(server, "run/cloud-init/status.json", "{}")
    assert state(server).startswith("cloud-init is still at work")


def test_a_restart_that_is_planned_soon_is_waited_for_and_no_other(booted: Server) -> None:
    planned = "run/systemd/shutdown/scheduled"

    def at(seconds: int, mode: str = "reboot") -> str:
        write(booted, planned, f"USEC={int(time.time() + seconds) * 1000000}\nWARN_WALL=1\nMODE={mode}\n")
        return state(booted)

    assert at(60).startswith("it is about to be restarted")
    # Many a server is switched off in the evening, or restarted at night.
    assert at(8 * 3600) == ""
    assert at(60, "poweroff") == ""
    write(booted, planned, "USEC=soon\nMODE=reboot\n")
    assert state(booted) == ""


@pytest.mark.parametrize(
    ("call", "waited_for"),
    [
        # `power_state` waits in this process for the end of cloud-init, and restarts then.
        ("/usr/bin/python3\0/usr/bin/cloud-init\0modules\0--mode=final\0", True),
        ("/usr/bin/python3\0/usr/bin/cloud-init\0--all-stages\0", True),
        ("/usr/bin/python3\0/usr/bin/cloud-init\0status\0--wait\0", False),
        ("tail\0-f\0/var/log/cloud-init-output.log\0", False),
        ("/usr/bin/python3\0/opt/shop/cloud-init.py\0", False),
        ("", False),
    ],
    ids=["final", "all-stages", "status", "tail", "another program", "kernel"],
)
def test_what_cloud_init_leaves_behind_may_restart_the_server(
    booted: Server, call: str, *, waited_for: bool
) -> None:
    write(booted, "proc/42/cmdline", call)
    assert state(booted).startswith("cloud-init is ending") is waited_for
