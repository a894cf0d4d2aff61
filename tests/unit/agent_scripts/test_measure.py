"""What a server says of its load: the CPU of a machine or of a container, and a service's own number."""

from __future__ import annotations

import os

import pytest

from .server import SERVICE, Server

STAT = "cpu  100 20 30 1000 50 6 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n"
PROCESSORS = len(os.sched_getaffinity(0))


def has(server: Server, **files: str) -> Server:
    """A server whose kernel says this; `__` in a name stands for a slash."""
    for name, text in files.items():
        path = server.path(name.replace("__", "/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return server


def group(server: Server, name: str, **files: str) -> None:
    folder = server.path(f"sys/fs/cgroup/{name}")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / file.replace("__", ".")).write_text(text)


@pytest.fixture
def kernel(server: Server) -> Server:
    return has(server, proc__stat=STAT, proc__uptime="100.08 190.00\n")


def test_a_machine_counts_all_it_has_done_and_what_was_taken_from_it(kernel: Server) -> None:
    # The root of all control groups counts too, and has no limit.
    group(kernel, "", cpu__stat="usage_usec 1\nuser_usec 1\n")
    assert kernel.call("measureCpu").out == "1710 12210\n"


@pytest.mark.parametrize(
    ("limit", "possible"),
    [("max 100000", 100_080 * PROCESSORS), ("50000 100000", 50_040), ("250000 100000", 250_200)],
)
def test_a_container_counts_its_own_against_what_it_may_use(
    kernel: Server, limit: str, possible: int
) -> None:
    group(kernel, "", cpu__stat="usage_usec 4200999\nuser_usec 1\n", cpu__max=f"{limit}\n")
    assert kernel.call("measureCpu").out == f"4200 {possible}\n"


@pytest.mark.parametrize("folder", ["cpuacct", "cpu,cpuacct"])
def test_so_does_one_of_an_older_kernel(kernel: Server, folder: str) -> None:
    group(kernel, folder, cpuacct__usage="4200999999\n")
    assert kernel.call("measureCpu").out == f"4200 {100_080 * PROCESSORS}\n"
    limits = folder if "," in folder else "cpu"
    group(kernel, limits, cpu__cfs_quota_us="50000\n", cpu__cfs_period_us="100000\n")
    assert kernel.call("measureCpu").out == "4200 50040\n"
    # Only the machine's own group has this.
    group(kernel, folder, release_agent="")
    assert kernel.call("measureCpu").out == "1710 12210\n"


def test_a_kernel_that_says_nothing_is_told(server: Server) -> None:
    result = server.call("measureCpu")
    assert (result.code, result.err.splitlines()[-1]) == (20, "measureCpu: there is no /proc/stat")
    assert server.call("measureCpu", "now").code == 2


def test_a_service_says_a_number(server: Server) -> None:
    assert server.call("measureService", SERVICE).code == 10
    for body, code, out in [
        ("echo 12", 0, "12\n"),
        ("echo ' -0.5 '", 0, "-0.5\n"),
        ("echo 12; exit 4", 4, ""),
        ("echo 12%", 21, ""),
        ("echo 1; echo 2", 21, ""),
        ("echo 1e5", 21, ""),
        (":", 21, ""),
    ]:
        server.service_script("enstratus-measure", body)
        result = server.call("measureService", SERVICE)
        assert (result.code, result.out) == (code, out), body
    server.service_script("enstratus-measure", "echo 1", mode=0o640)
    assert server.call("measureService", SERVICE).code == 10
    assert server.call("measureService", "app").code == 2


def test_a_script_of_ones_own_measures_instead(server: Server) -> None:
    own = server.path("enstratus/custom/bin/measureService")
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text('#!/bin/sh\n[ "$1" = a1000 ] && echo 7\n')
    own.chmod(0o755)
    assert server.call("measureService", SERVICE).out == "7\n"
