"""Reader of a task's log from Airflow: first its end, and then only the new lines.

Airflow (3.3.2) provides a log in two ways. As JSON lines it is streamed, so only the end of even a long log is held
here; but the accompanying token does not contain a position, since it is sent before the log is read. As one JSON
document it is held as a whole; with a token that contains a position, it has the new lines only. So the log is
streamed first, and then requested with a token for the number of lines received.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import fastapi
from itsdangerous import URLSafeSerializer

from gantry import log_marks
from gantry.web.http import api_calls

MOST_MESSAGES = 2000
MOST_BYTES = 4_000_000
"""Maximum number of bytes held of a log's end."""

_NO_LOG = {"event": "Airflow has no log of this try.", "level": "warning"}
_TOO_LONG = {"event": "A line was too long to be shown here.", "level": "warning"}


@dataclasses.dataclass(frozen=True)
class LogPart:
    """A part of a log.

    Attributes:
        messages: in Airflow's format.
        left_out: the number of dropped messages before these.
        token: continues after them; empty if it is not possible to continue.
    """

    messages: tuple[Any, ...]
    left_out: int = 0
    token: str = ""


async def end(api: api_calls.VisitorApi, path: str, map_index: int) -> LogPart:
    """Return the end of a log: all of it is streamed, and little of it kept.

    Args:
        api: Airflow's API, with the visitor's rights.
        path: the log's path, below `/api/v2`.
        map_index: the task instance's index; -1 if it is not mapped.

    Raises:
        ActionRefusedError: Airflow refuses.
    """
    lines = _Lines()
    try:
        await api.stream(path, {"map_index": map_index}, "application/x-ndjson", lines.feed)
    except api_calls.ActionRefusedError as error:
        if error.status != fastapi.status.HTTP_404_NOT_FOUND:
            raise
        return LogPart((_NO_LOG,))
    lines.end()
    # There is much to read, and this thread serves all requests.
    messages = await fastapi.concurrency.run_in_threadpool(_messages, tuple(lines.kept))
    left_out = lines.count - len(messages)
    return LogPart(messages, max(left_out - lines.heading, 0), _token(api, lines.count - lines.heading))


async def since(api: api_calls.VisitorApi, path: str, map_index: int, token: str) -> LogPart | None:
    """Return the new part; None if that is impossible, and the end has to be read again. Raises as `end`."""
    found = bytearray()

    def take(chunk: bytes) -> None:
        if len(found) <= MOST_BYTES:
            found.extend(chunk)

    try:
        await api.stream(path, {"map_index": map_index, "token": token}, "application/json", take)
    except api_calls.ActionRefusedError as error:
        # A token of another API server, or from before a restart.
        if error.status != fastapi.status.HTTP_400_BAD_REQUEST:
            raise
        return None
    if len(found) > MOST_BYTES:
        return None
    answer = await fastapi.concurrency.run_in_threadpool(json.loads, bytes(found))
    content = answer.get("content") or ()
    return LogPart(
        tuple(content[-MOST_MESSAGES:]),
        max(len(content) - MOST_MESSAGES, 0),
        answer.get("continuation_token") or "",
    )


def _token(api: api_calls.VisitorApi, lines: int) -> str:
    """Create the token that Airflow itself would return after this many lines."""
    key = api.secret
    if not key:
        return ""
    found = URLSafeSerializer(key).dumps({"end_of_log": False, "log_pos": lines, "download_logs": False})
    return str(found)


class _Lines:
    """Keeps the last lines of a stream: `count` were received, of which the first `heading` name the log's source."""

    def __init__(self) -> None:
        self.kept: collections.deque[bytes] = collections.deque()
        self.count = 0
        self.heading = 0
        self._bytes = 0
        self._rest = b""
        self._in_heading = True

    def feed(self, chunk: bytes) -> None:
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        for line in whole:
            self._add(line)

    def end(self) -> None:
        if self._rest:
            self._add(self._rest)
        self._rest = b""

    def _add(self, line: bytes) -> None:
        self.count += 1
        if self._in_heading:
            self._head(line)
        self.kept.append(line if len(line) <= MOST_BYTES else b"")
        self._bytes += len(self.kept[-1])
        while len(self.kept) > MOST_MESSAGES or self._bytes > MOST_BYTES:
            self._bytes -= len(self.kept.popleft())

    def _head(self, line: bytes) -> None:
        text = str(_message(line).get("event", ""))
        if self.count == 1 and not text.startswith(log_marks.SOURCES):
            self._in_heading = False
            return
        self.heading = self.count
        self._in_heading = not text.startswith(log_marks.END)


def _messages(lines: Sequence[bytes]) -> tuple[dict[str, Any], ...]:
    return tuple(_message(line) for line in lines)


def _message(line: bytes) -> dict[str, Any]:
    if not line:
        return _TOO_LONG
    found = json.loads(line)
    return found if isinstance(found, dict) else {"event": str(found)}
