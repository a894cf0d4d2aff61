"""How commands speak: what they print can be searched for and copied."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from gantry.cli.support import console


@pytest.mark.parametrize(
    "narrow",
    [
        Console(file=io.StringIO(), width=20, no_color=True),
        Console(file=io.StringIO(), width=20, no_color=True, force_terminal=True),
    ],
    ids=["pipe", "terminal"],
)
def test_cells_of_a_table_are_whole_however_narrow_the_console_is(narrow: Console) -> None:
    table = Table(box=None)
    for title in ("server", "address", "services"):
        table.add_column(title, no_wrap=True)
    table.add_row("hello-front-1", "10.200.160.101", "app RUNNING")
    console.show(table, narrow)
    assert isinstance(narrow.file, io.StringIO)
    (line,) = (line for line in narrow.file.getvalue().splitlines() if "hello" in line)
    assert line.split() == ["hello-front-1", "10.200.160.101", "app", "RUNNING"]
