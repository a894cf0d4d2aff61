"""The command as a person calls it: arguments in; output and exit code out."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import pytest

from gantry import cli


@dataclasses.dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Gantry = Callable[..., Answer]


@pytest.fixture
def gantry(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> Gantry:
    # Nobody's own profile plays a part.
    monkeypatch.setenv("GANTRY_PROFILES", str(tmp_path / "profiles.toml"))
    monkeypatch.delenv("GANTRY_DEFINITIONS", raising=False)
    # As wide as a terminal that breaks no line of help.
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["gantry", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Answer(int(ended.value.code or 0), said.out, said.err)

    return call
