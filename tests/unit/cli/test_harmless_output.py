"""What was written elsewhere (in files, in logs, on servers) does not steer the terminal that it is shown in."""

from __future__ import annotations

import io
import json
import pathlib
import sys

import pydantic
import pytest
from rich.text import Text

from gantry.cli.support import console
from tests.unit.cli.conftest import Gantry

RED, TITLE, BACK = "\x1b[31m", "\x1b]0;you are root\x07", "\x1b[2J\x1b[H"


@pytest.mark.parametrize("sequence", [RED, TITLE, BACK, "\x1b[?1049h", "\x1b]8;;http://evil\x1b\\"])
def test_a_sequence_is_left_out(sequence: str) -> None:
    assert console.harmless(f"one {sequence}two") == "one two"


@pytest.mark.parametrize("sign", ["\x1b", "\x9b", "\x07", "\r", "\u202e", "\u200b", "\udcff"])
def test_a_sign_that_a_terminal_obeys_becomes_a_dot(sign: str) -> None:
    assert console.harmless(f"one{sign}\n\ttwo") == "one·\n\ttwo"


def test_everything_that_is_printed_is_harmless_and_has_our_colours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.out.capture() as said:
        console.say(f"said {BACK}")
        console.out.print(Text(f"log {RED}", "bold"))
    console.complain(f"wrong {RED}")
    assert said.get() == "said \nlog \n"
    assert capsys.readouterr().err == "wrong \n"


def test_a_files_name_does_not_steer_the_terminal(gantry: Gantry, tmp_path: pathlib.Path) -> None:
    (tmp_path / f"{BACK}shop.yaml").write_text("deployment: shop\n")
    answer = gantry("validate", tmp_path)
    assert answer.code == 1
    assert "shop.yaml:1:1: the key 'cloud' is missing" in answer.err
    assert "\x1b" not in answer.err


def test_a_name_that_is_no_unicode_is_shown_and_told_to_programs(
    gantry: Gantry, tmp_path: pathlib.Path
) -> None:
    name = f"{tmp_path}/\udcff.yaml"
    assert f"{tmp_path}/·.yaml:1:1: cannot be read" in gantry("validate", name).err
    assert gantry("validate", name, "--json").json["problems"][0]["file"] == name


def test_json_says_the_same_and_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    data: pydantic.JsonValue = {"text": "grün \x1b[31m \x9b31m \u202e \U000e0001"}
    console.as_json(data)
    said = capsys.readouterr().out
    assert json.loads(said) == data
    assert "grün" in said
    assert not any(each in said for each in "\x1b\x9b\u202e\U000e0001")


class _Output(io.TextIOWrapper):
    """Standard output, as a terminal or a pipe."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def written(self) -> bytes:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue()


@pytest.mark.parametrize(
    ("is_terminal", "expected"), [(True, "grün\nred end"), (False, f"grün\n{RED}red{TITLE} end")]
)
def test_a_servers_log_is_harmless_on_a_terminal_and_whole_in_a_pipe(
    monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool, expected: str
) -> None:
    output = _Output(is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stdout", output)
    show = console.raw()
    # Byte by byte: neither letters nor sequences arrive in one piece.
    for each in f"grün\n{RED}red{TITLE} end".encode():
        show(bytes([each]))
    assert output.written().decode() == expected
