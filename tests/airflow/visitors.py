"""Visitors of a site: they ask all the time, over connections that stay and over new ones, and forgive nothing."""

from __future__ import annotations

import collections
import http
import http.client
import threading
from types import TracebackType
from typing import Self

_OFTEN, _SELDOM = 0.02, 0.7
"""Seconds between two requests of a visitor: one who is busy, one whose connection idles in between."""


class Visitors:
    """Ask an address from several threads, from entering the block until its end.

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
        kinds = [
            (True, _OFTEN),
            (True, _OFTEN),
            (True, _SELDOM),
            (True, _SELDOM),
            (False, _OFTEN),
            (False, _OFTEN),
        ]
        self._threads = [threading.Thread(target=self._visit, args=kind) for kind in kinds]

    @property
    def asked(self) -> int:
        """How many requests were made."""
        return self.answers.total() + len(self.lost)

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

    def _visit(self, stays: bool, pause: float) -> None:  # noqa: FBT001 - a thread's arguments
        connection = http.client.HTTPConnection(self._address, timeout=60)
        while not self._over.wait(pause):
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
