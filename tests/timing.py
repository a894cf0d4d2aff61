"""Where the time of a run went: the slowest tests, and each folder beside its budget."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping

import pytest

BUDGETS: Mapping[str, float] = {
    "tests/agent": 450,
    "tests/airflow": 5800,
    "tests/chef_client": 500,
    "tests/chef_server": 40,
    "tests/cloud": 180,
    "tests/cluster": 2400,
    "tests/example": 300,
    "tests/local": 200,
    "tests/newcomer": 480,
    "tests/unit": 1250,
    "tests/web": 310,
}
"""What all tests of a folder may take, added up, in seconds, where four workers share two cores. A folder that takes
longer is a line at the end of the run, and no failure. `tests/cluster` runs alone."""

_SLOWEST = 10


@dataclasses.dataclass
class Durations:
    """What each test took, in seconds: its setup, its call and its teardown."""

    of_tests: dict[str, float] = dataclasses.field(default_factory=dict)

    def add(self, nodeid: str, seconds: float) -> None:
        """Count a phase of a test."""
        test = without_group(nodeid)
        self.of_tests[test] = self.of_tests.get(test, 0.0) + seconds

    def slowest(self, count: int = _SLOWEST) -> list[tuple[str, float]]:
        """The tests that took longest, the slowest first."""
        return sorted(self.of_tests.items(), key=lambda each: -each[1])[:count]

    def of_folders(self) -> dict[str, float]:
        """What the tests of each folder took together, the slowest folder first."""
        found: collections.defaultdict[str, float] = collections.defaultdict(float)
        for test, seconds in self.of_tests.items():
            found[folder(test)] += seconds
        return dict(sorted(found.items(), key=lambda each: -each[1]))


class Timing:
    """The plugin. Under pytest-xdist the workers' reports arrive at the process that prints."""

    def __init__(self) -> None:
        self.durations = Durations()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.durations.add(report.nodeid, report.duration)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.durations.of_tests:
            return
        terminalreporter.section("where the time went")
        for line in lines(self.durations):
            terminalreporter.write_line(line, yellow=line.startswith("WARNING"))


def lines(durations: Durations, budgets: Mapping[str, float] = BUDGETS) -> Iterable[str]:
    """What is printed."""
    for test, seconds in durations.slowest():
        yield f"{seconds:8.1f} s  {test}"
    yield ""
    past = []
    for name, seconds in durations.of_folders().items():
        budget = budgets.get(name)
        beside = "no budget" if budget is None else f"of {budget:.0f} s"
        yield f"{seconds:8.1f} s  {beside:>10}  {name}"
        if budget is not None and seconds > budget:
            past.append(
                f"WARNING: {name} took {seconds:.0f} s, its budget is {budget:.0f} s (tests/timing.py)"
            )
    yield from past


def without_group(nodeid: str) -> str:
    """The name of a test, without the `@group` that pytest-xdist puts at the end for `--dist loadgroup`."""
    # What a test is called with may have one, too.
    at = nodeid.rfind("@")
    return nodeid[:at] if at > nodeid.rfind("]") else nodeid


def folder(nodeid: str) -> str:
    """The folder that a test counts for: `tests/unit` for all that is below it."""
    parts = nodeid.partition("::")[0].split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]
