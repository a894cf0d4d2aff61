"""What a command in a container has printed arrives as a whole, also where Docker loses it."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import pytest

from gantry.local.cloud import inspect_servers


@dataclasses.dataclass
class Result:
    exit_code: int | None
    output: bytes


@dataclasses.dataclass
class Losing:
    """A container whose engine gives these answers, one after the other."""

    answers: list[Result]
    id: str = "c1"
    name: str = "web-1"
    asked: list[list[str]] = dataclasses.field(default_factory=list)

    def exec_run(self, command: list[str]) -> Result:
        self.asked.append(command)
        return self.answers.pop(0)


def run(container: Losing) -> inspect_servers.CommandResult:
    return inspect_servers.run(cast("Any", container), "cat there")


def test_code_output_and_errors_are_told_apart() -> None:
    container = Losing([Result(0, b"3 5 2\none\n\n!\n")])
    assert run(container) == inspect_servers.CommandResult(3, "one\n\n", "!\n")


@pytest.mark.parametrize("lost", [b"", b"0 4 0\non", b"0 4 0\n"])
def test_what_is_lost_is_read_again_and_the_command_not_run_again(lost: bytes) -> None:
    container = Losing([Result(0, lost), Result(0, b"0 4 0\none\n")], id=f"c{len(lost)}")
    assert run(container) == inspect_servers.CommandResult(0, "one\n", "")
    first, second = (each[2] for each in container.asked)
    assert '"$3"' in first
    assert '"$3"' not in second


def test_what_stays_lost_is_told() -> None:
    with pytest.raises(inspect_servers.LookError, match="web-1: 'cat there'"):
        run(Losing([Result(0, b"")] * 20, id="lossy"))


def test_a_container_that_goes_away_beneath_the_command_gives_no_code() -> None:
    assert run(Losing([Result(None, b"")], id="gone")).code is None
