"""Visitors of a site: they ask all the time, over connections that stay and over new ones, and forgive nothing."""

from __future__ import annotations

import collections
import contextlib
import http
import http.client
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

_OFTEN, _NOW_AND_THEN, _SELDOM = 0.02, 0.25, 0.7
"""Seconds between two requests of a visitor: one who is busy, while they are in a hurry and at other times; and one
whose connection idles in between."""


class Visitors:
    """Ask an address from several threads, from entering the block until its end.

    In a hurry they ask as often as they can, which takes most of a processor: for the time in which something may be
    lost that lasts milliseconds only, as what a server has begun to answer when it is stopped.

    Attributes:
        answers: how often each text was answered.
        lost: what went wrong instead of an answer. Nothing is tried again.
    """

    def __init__(self, address: str, host: str) -> None:
        self.answers: collections.Counter[str] = collections.Counter()
        self.lost: list[str] = []
        self._address = address
        self._host = host
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._in_a_hurry = threading.Event()
        kinds = [(True, True), (True, True), (True, False), (True, False), (False, True), (False, True)]
        self._threads = [threading.Thread(target=self._visit, args=kind) for kind in kinds]

    @property
    def asked(self) -> int:
        """How many requests were made."""
        return self.answers.total() + len(self.lost)

    @contextlib.contextmanager
    def hurrying(self) -> Iterator[None]:
        """In this block they are in a hurry."""
        self._in_a_hurry.set()
        try:
            yield
        finally:
            self._in_a_hurry.clear()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _pause(self, *, is_busy: bool) -> float:
        if not is_busy:
            return _SELDOM
        return _OFTEN if self._in_a_hurry.is_set() else _NOW_AND_THEN

    def _visit(self, stays: bool, is_busy: bool) -> None:  # noqa: FBT001 - a thread's arguments
        connection = http.client.HTTPConnection(self._address, timeout=60)
        while not self._over.wait(self._pause(is_busy=is_busy)):
            try:
                # It connects where it is not connected: a balancer may say goodbye with an answer.
                connection.request("GET", "/", headers={"Host": self._host})
                answer = connection.getresponse()
                text = answer.read().decode().strip()
            except (OSError, http.client.HTTPException) as error:
                self._note(lost=f"{type(error).__name__}: {error}")
                connection.close()
                continue
            if answer.status == http.HTTPStatus.OK:
                self._note(text=text)
            else:
                self._note(lost=f"{answer.status} {text}")
            if not stays:
                connection.close()
        connection.close()

    def _note(self, text: str = "", lost: str = "") -> None:
        with self._lock:
            if lost:
                self.lost.append(lost)
            else:
                self.answers[text] += 1
