"""The log panel and a long log: little of it is held, nothing is read twice, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import datetime
import html
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import sqlalchemy as sa
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session

from gantry.web.http import api_calls
from gantry.web.queries import log_reader

from . import rig

BOOKSHOP = Path(__file__).parents[2] / "unit" / "bookshop.yaml"
PAGE = "/gantry/dags/bookshop/runs/manual__1/log?task=turn"
MB = 1_000_000


class Log:
    """The file that a task's log is."""

    def __init__(self) -> None:
        folder = Path(os.environ["AIRFLOW_HOME"]) / "logs" / "dag_id=bookshop/run_id=manual__1/task_id=turn"
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "attempt=1.log"
        self.path.write_text("")
        self.lines = 0

    def add(self, *texts: str) -> None:
        with self.path.open("a") as file:
            for text in texts:
                self.lines += 1
                at = rig.NOW + datetime.timedelta(milliseconds=self.lines)
                line = {"timestamp": at.isoformat(), "level": "info", "event": text}
                file.write(json.dumps(line) + "\n")


@pytest.fixture
def log(office: rig.Airflow) -> Iterator[Log]:
    """Of a task that works."""
    office.deploy(BOOKSHOP)
    office.run("bookshop", {"turn": "running"})
    found = Log()
    yield found
    found.path.unlink()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What Airflow was asked for, and how many bytes it has answered with."""
    found: list[tuple[str, int]] = []
    real = api_calls.VisitorApi.stream

    async def stream(
        self: api_calls.VisitorApi,
        path: str,
        params: Mapping[str, str | int],
        accept: str,
        take: Callable[[bytes], None],
    ) -> None:
        sizes = [0]

        def counted(chunk: bytes) -> None:
            sizes[0] += len(chunk)
            take(chunk)

        await real(self, path, params, accept, counted)
        found.append((accept, sizes[0]))

    monkeypatch.setattr(api_calls.VisitorApi, "stream", stream)
    return found


def shown(text: str) -> list[str]:
    return [html.unescape(each) for each in re.findall(r'<span class="text">(.*?)</span>', text, re.DOTALL)]


def again(text: str) -> str:
    found = re.search(r'hx-get="([^"]*)"', text)
    assert found is not None, text
    return html.unescape(found[1])


def end_task(state: str) -> None:
    with create_session() as session:
        task = session.scalar(sa.select(TaskInstance).where(TaskInstance.task_id == "turn"))
        assert task is not None
        task.state, task.end_date = state, rig.NOW


def test_only_what_is_new_is_asked_for_and_sent(
    office: rig.Airflow, log: Log, answers: list[tuple[str, int]]
) -> None:
    log.add("[shop-web-1] $ startService a1", *(f"line {number}" for number in range(1500)))
    first = office.get(PAGE).text
    assert shown(first) == [f"line {number}" for number in range(500, 1500)]
    assert "501 earlier lines left out" in first
    assert "The whole log in Airflow" in first

    nothing = office.get(again(first))
    assert shown(nothing.text) == []
    log.add("[shop-web-1] it has started", "more")
    news = office.get(again(nothing.text))
    assert shown(news.text) == ["it has started", "more"]
    # What runs where was said in a line that is not sent again.
    assert '<span class="script">startService</span>' in news.text
    assert 'hx-swap-oob="beforeend:#log-lines"' in news.text
    assert "hx-retarget" not in news.headers
    assert [accept for accept, _ in answers] == [
        "application/x-ndjson",
        "application/json",
        "application/json",
    ]
    assert answers[0][1] > 100_000
    assert max(size for _, size in answers[1:]) < 1000


def test_when_the_task_has_ended_the_panel_is_as_if_it_were_opened_now(office: rig.Airflow, log: Log) -> None:
    log.add("one")
    place = again(office.get(PAGE).text)
    log.add("two")
    end_task("success")
    last = office.get(place)
    assert shown(last.text) == ["one", "two"]
    assert (last.headers["hx-retarget"], last.headers["hx-reswap"]) == ("#log-of-task", "morph:outerHTML")
    assert "hx-trigger" not in last.text


@pytest.mark.parametrize("place", ["nonsense", "bnVsbA==", "WyJ4IiwgWzFdXQ==", "WyJ4Iiwge31d"])
def test_a_place_that_no_page_has_made_shows_the_end(office: rig.Airflow, log: Log, place: str) -> None:
    log.add("one")
    answer = office.get(f"{PAGE}&after={place}")
    assert (answer.status_code, shown(answer.text)) == (200, ["one"])
    assert answer.headers["hx-retarget"] == "#log-of-task"


def test_a_log_of_48_megabytes_is_not_held_and_not_sent_and_others_are_answered_meanwhile(
    office: rig.Airflow, log: Log, answers: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    log.add("small")
    office.get(PAGE)
    answers.clear()
    log.add(*(f"{number} {'x' * 4000}" for number in range(12_000)))
    assert log.path.stat().st_size > 48 * MB
    pauses = watched(monkeypatch)
    before = peak_memory(anew=True)
    first = office.get(PAGE)
    grown = peak_memory() - before
    assert shown(first.text)[-1].startswith("11999 ")
    assert len(first.content) < 2 * log_reader.MOST_BYTES
    # Most of it is Airflow's own: it keeps some thousand lines in memory before it writes them to a file.
    assert grown < 120 * MB, f"{grown / MB:.0f} MB"
    # Of this thread's own time: what else the machine does says little. To read the log here would take a second.
    assert max(pauses) < 0.5
    news = office.get(again(first.text))
    assert shown(news.text) == []
    assert answers[1][1] < 1000


def watched(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the event loop that answers everybody is busy with something else, in seconds, while a log is read."""
    found: list[float] = []
    real = log_reader.end

    async def end(api: api_calls.VisitorApi, path: str, map_index: int) -> log_reader.LogPart:
        over = asyncio.Event()

        async def watch() -> None:
            while not over.is_set():
                before = time.thread_time()
                await asyncio.sleep(0.001)
                found.append(time.thread_time() - before)

        watching = asyncio.create_task(watch())
        try:
            return await real(api, path, map_index)
        finally:
            over.set()
            await watching

    monkeypatch.setattr(log_reader, "end", end)
    return found


def peak_memory(*, anew: bool = False) -> int:
    """The most memory in bytes that this process has had (since it was last asked for it anew)."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
