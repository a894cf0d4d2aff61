"""The way past a login shell: one line that means the same to every shell, and a word before what is answered."""

from __future__ import annotations

import subprocess

import hypothesis
import pytest
from hypothesis import strategies

from gantry.agent import login_shell, session

words = strategies.text(strategies.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


def ran(frame: login_shell.Frame, shell: str = "sh", before: str = "") -> tuple[bytes, bytes]:
    done = subprocess.run([shell, "-c", before + frame.line], capture_output=True, check=False)
    return done.stdout, done.stderr


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(strategies.lists(words, max_size=4))
@hypothesis.example(["it's", 'a "b" `c` $d \\ \\\\', "!x", "line\nline\n", "", "*", "\x81é", "-n", "\\0101"])
def test_arguments_arrive_as_they_are(given: list[str]) -> None:
    frame = login_shell.Frame(("printf", "<%s>", *given), sudo=False)
    own = frame.cut(ran(frame)[0])
    assert own == ("".join(f"<{each}>" for each in given) or "<>").encode()


@hypothesis.given(strategies.lists(words, min_size=1, max_size=4))
def test_the_line_holds_nothing_that_a_shell_could_take_in_another_way(given: list[str]) -> None:
    line = login_shell.Frame(given, sudo=True).line
    assert line.isascii()
    assert line.isprintable()
    assert "!" not in line, "csh would look into its history"
    assert "\\\\" not in line, "fish makes one of two"
    assert "\\'" not in line
    assert line.count("'") == 4


@pytest.mark.parametrize("shell", ["sh", "bash", "dash"])
def test_what_comes_before_is_cut_off_and_what_comes_after_does_not_come(shell: str) -> None:
    frame = login_shell.Frame(("sh", "-c", "echo out; echo err >&2"), sudo=False)
    stdout, stderr = ran(frame, shell, "echo Welcome; echo to all >&2; trap 'echo bye' EXIT; ")
    assert (frame.cut(stdout), frame.cut(stderr)) == (b"out\n", b"err\n")
    assert stdout.startswith(b"Welcome\n")


def test_who_only_repeats_the_command_has_not_run_it() -> None:
    frame = login_shell.Frame(("true",), sudo=False)
    assert frame.cut(frame.line.encode()) is None
    assert frame.cut(b"This account is currently not available.\n") is None


def test_no_two_commands_begin_with_the_same_word() -> None:
    first, second = (login_shell.Frame(("echo", "OK"), sudo=False) for _ in range(2))
    assert second.cut(ran(first)[0]) is None


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_output_that_comes_in_pieces_is_cut_at_the_same_place(size: int) -> None:
    frame = login_shell.Frame(("printf", "line\n" * 50), sudo=False)
    stream, came = frame.stream(), b""
    stdout, _ = ran(frame, before="seq 100; ")
    for start in range(0, len(stdout), size):
        came += stream.feed(stdout[start : start + size])
    assert came == b"line\n" * 50
    assert stream.begun
    assert stream.before.startswith(b"1\n2\n")


def test_a_line_of_a_listing_that_is_none_is_let_be() -> None:
    """A file's name may hold a line break."""
    assert dict(session.pairs("abc  /enstratus/bin/a\nb\n\n def  /x\n1 /enstratus/bin/c d\n")) == {
        "abc": "/enstratus/bin/a",
        "1": "/enstratus/bin/c d",
    }
