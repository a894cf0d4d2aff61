"""Many commands over one: each gets its own input, output and exit code, whatever the ones before it have done."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar, cast

import hypothesis
import pytest
from hypothesis import strategies

from gantry.agent import agent_bundle, command_channel

from .processes import Process

T = TypeVar("T")
words = strategies.text(strategies.characters(codec="utf-8", exclude_characters="\0\n"), max_size=12)


@contextlib.asynccontextmanager
async def opened(before: str = "") -> AsyncIterator[tuple[command_channel.Dialog, Process]]:
    """A dialog behind a login shell that does something else first."""
    frame = command_channel.Dialog.frame(sudo=False)
    command, pipe = ("sh", "-c", before + frame.line), asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    try:
        behind = Process(process)
        yield command_channel.Dialog(cast("Any", behind), frame), behind
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def said(talk: command_channel.Dialog, *command: str, stdin: bytes = b"") -> tuple[bytes, bytes, int]:
    """What a command prints on standard output and standard error, and its exit code."""
    out = bytearray()
    err, code = await talk.order(command, stdin, out.extend)
    return bytes(out), err, code


def told(conversation: Coroutine[Any, Any, T]) -> T:
    async def within() -> T:
        async with asyncio.timeout(60):
            return await conversation

    return asyncio.run(within())


@pytest.fixture(autouse=True, scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The agent's script, as the handshake puts it in place."""
    root = tmp_path_factory.mktemp("agent")
    for file in agent_bundle.bundle().files:
        path = root / file.path
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command_channel, "SERVE", str(root / "bin/serve"))
        yield


def test_each_order_has_its_own_output_and_exit_code() -> None:
    async def talk() -> list[tuple[bytes, bytes, int]]:
        async with opened("echo Welcome; echo to all >&2; ") as (served, process):
            answers = [
                await said(served, "sh", "-c", "echo out; echo err >&2; exit 3"),
                await said(served, "true"),
                await said(served, "/nonexistent/program"),
                await said(served, "printf", "no end"),
                await said(served, "cat", stdin=b"given\0 as it is"),
            ]
            served.close()
            assert (await process.wait()).exit_status == 0
            return answers

    answers = told(talk())
    assert answers[:2] == [(b"out\n", b"err\n", 3), (b"", b"", 0)]
    assert (answers[2][0], answers[2][2]) == (b"", 127)
    assert answers[3:] == [(b"no end", b"", 0), (b"given\0 as it is", b"", 0)]


def test_a_command_that_wants_less_than_its_input_leaves_nothing_for_the_next() -> None:
    async def talk() -> list[tuple[bytes, bytes, int]]:
        async with opened() as (served, _):
            return [
                await said(served, "true", stdin=b"echo no order\n" * 100_000),
                await said(served, "sh", "-c", "read -r line; echo $line; exit 4", stdin=b"first\nsecond\n"),
                await said(served, "cat"),
            ]

    assert told(talk()) == [(b"", b"", 0), (b"first\n", b"", 4), (b"", b"", 0)]


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(strategies.lists(strategies.lists(words, max_size=4), min_size=1, max_size=4))
@hypothesis.example(
    [["it's", 'a "b" `c` $d \\ \\\\', "!x", "", "*", "\x81é", "-n", "\\0101", "\x1e 0", "\r"]]
)
def test_arguments_arrive_as_they_are(orders: list[list[str]]) -> None:
    async def talk() -> list[bytes]:
        async with opened() as (served, _):
            return [(await said(served, "printf", "<%s>", *given))[0] for given in orders]

    assert told(talk()) == [("".join(f"<{each}>" for each in given) or "<>").encode() for given in orders]


def test_output_goes_on_as_it_comes_also_what_looks_like_an_end() -> None:
    async def talk() -> bytes:
        async with opened() as (served, process):
            came, began = bytearray(), asyncio.Event()

            def listen(chunk: bytes) -> None:
                came.extend(chunk)
                began.set()

            script = "printf '\\036abc 0\\nnot a whole'; read -r line; echo \" $line\""
            running = asyncio.create_task(served.order(("sh", "-c", script), None, listen))
            await began.wait()
            process.write(b"line\n")
            assert await running == (b"", 0)
            return bytes(came)

    assert told(talk()) == b"\x1eabc 0\nnot a whole line\n"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_an_end_that_comes_in_pieces_is_an_end(size: int) -> None:
    async def talk() -> tuple[bytes, bytes]:
        async with opened() as (served, process):
            process.most = size
            return (await said(served, "seq", "30"))[0], (await said(served, "seq", "3"))[0]

    assert told(talk()) == ("".join(f"{n}\n" for n in range(1, 31)).encode(), b"1\n2\n3\n")


@pytest.mark.parametrize(
    "serve", ["", "exit 0", "if", "echo Welcome; cat >/dev/null", ". ./nonexistent"], ids=str
)
def test_a_server_without_a_serve_that_works_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, serve: str
) -> None:
    monkeypatch.setattr(command_channel, "SERVE", str(tmp_path / "serve"))
    monkeypatch.setattr(command_channel, "_BEGIN_SECONDS", 0.2)
    if serve:
        (tmp_path / "serve").write_text(f"#!/bin/sh\n{serve}\n")
        (tmp_path / "serve").chmod(0o750)

    async def talk() -> None:
        async with opened() as (served, _):
            await said(served, "touch", str(tmp_path / "ran"))

    with pytest.raises(command_channel.NotServedError):
        told(talk())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("is_there", [True, False])
def test_who_has_ended_before_it_is_asked_is_told_by_how_it_has(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    is_there: bool,  # noqa: FBT001
) -> None:
    if not is_there:
        monkeypatch.setattr(command_channel, "SERVE", str(tmp_path / "serve"))

    async def talk() -> None:
        async with opened() as (served, process):
            if is_there:
                await said(served, "true")
                process.write_eof()
            await process.ended()
            await said(served, "true")

    with pytest.raises(command_channel.ChannelEndedError if is_there else command_channel.NotServedError):
        told(talk())


def test_who_only_repeats_what_it_is_sent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_channel, "_BEGIN_SECONDS", 0.2)

    async def talk() -> None:
        async with opened("exec cat; ") as (served, _):
            await said(served, "true")

    with pytest.raises(command_channel.ChannelEndedError) as ended:
        told(talk())
    assert not ended.value.begun
    assert b"true" in ended.value.stdout


def test_a_slow_login_carries_out_what_it_was_asked_for_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(command_channel, "_BEGIN_SECONDS", 0.1)

    async def talk() -> tuple[bytes, bytes, int]:
        async with opened("sleep 0.5; ") as (served, _):
            answer = await said(served, "sh", "-c", f"echo ran >>{tmp_path}/ran; echo out")
            assert served.broken
            return answer

    assert told(talk()) == (b"out\n", b"", 0)
    assert (tmp_path / "ran").read_text() == "ran\n"


def test_a_dialog_that_ends_in_the_middle_says_what_was_said_and_takes_no_more() -> None:
    async def talk() -> tuple[bytes, bool]:
        async with opened() as (served, _):
            out = bytearray()
            with pytest.raises(command_channel.ChannelEndedError) as ended:
                await served.order(("sh", "-c", "printf half; kill -KILL $PPID"), b"", out.extend)
            assert ended.value.begun
            return bytes(out), served.broken

    assert told(talk()) == (b"half", True)


def test_who_is_cancelled_in_the_middle_leaves_it_to_nobody() -> None:
    async def talk() -> bool:
        async with opened() as (served, _):
            waiting = asyncio.create_task(served.order(("cat",), None, bytearray().extend))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            return served.broken

    assert told(talk())


def test_the_word_at_the_end_is_another_one_each_time() -> None:
    """What a command prints may have been made of an earlier order's end."""

    async def talk() -> list[bytes]:
        async with opened() as (served, process):
            await said(served, "true")
            await said(served, "true")
            return [each.split()[0] for each in process.sent]

    first, second = told(talk())
    assert first != second
    assert len(first) > 20
