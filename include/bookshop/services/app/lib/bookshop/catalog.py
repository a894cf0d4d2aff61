"""The books, as the database has them."""

from __future__ import annotations

import contextlib
import dataclasses
import decimal
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pymysql
import pymysql.cursors

if TYPE_CHECKING:
    from bookshop.settings import Database

_CONNECT_SECONDS = 3
_ANSWER_SECONDS = 30
_MATCHING = (
    "FROM book JOIN author ON author.id = book.author_id WHERE book.title LIKE %s OR author.name LIKE %s"
)
_COUNT = f"SELECT COUNT(*) {_MATCHING}"
_ROWS = (
    f"SELECT book.id, book.title, author.name, book.price {_MATCHING} ORDER BY book.title, book.id LIMIT %s"
)
_ANY = "SELECT 1 FROM book LIMIT 1"


class CatalogError(Exception):
    """The database did not answer; the message says what it, or the network, said."""


@dataclasses.dataclass(frozen=True)
class Book:
    """One title of the shop; the price is in euros."""

    id: int
    title: str
    author: str
    price: decimal.Decimal


@dataclasses.dataclass(frozen=True)
class Selection:
    """The books of an answer, and how many there are in all."""

    books: tuple[Book, ...]
    count: int


class Catalog:
    """Opens a connection to the database for each query: an earlier lost one makes no request fail."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, words: str, limit: int) -> Selection:
        """The books whose title or author contains the words, by title.

        Raises:
            CatalogError: The database did not answer.
        """
        # % and _ are what the visitor typed, not patterns.
        like = "%" + words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        with self._cursor() as cursor:
            cursor.execute(_COUNT, (like, like))
            counted = cursor.fetchone()
            cursor.execute(_ROWS, (like, like, limit))
            return Selection(tuple(Book(*row) for row in cursor.fetchall()), counted[0] if counted else 0)

    def check(self) -> None:
        """Return when the database answers and the catalogue can be read.

        Raises:
            CatalogError: It does not.
        """
        with self._cursor() as cursor:
            cursor.execute(_ANY)

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[pymysql.cursors.Cursor]:
        try:
            with self._connect() as connection, connection.cursor() as cursor:
                yield cursor
        except (pymysql.MySQLError, OSError) as error:
            raise CatalogError(
                f"{self._database.name} at {', '.join(self._database.hosts)}: {error}"
            ) from error

    def _connect(self) -> pymysql.Connection[pymysql.cursors.Cursor]:
        hosts = self._database.hosts
        # Each visitor asks another database first: all of them have the same books.
        *earlier, last = random.sample(hosts, len(hosts))
        for host in earlier:
            with contextlib.suppress(pymysql.OperationalError):
                return self._connect_to(host)
        return self._connect_to(last)

    def _connect_to(self, host: str) -> pymysql.Connection[pymysql.cursors.Cursor]:
        database = self._database
        return pymysql.connect(
            host=host,
            port=database.port,
            user=database.user,
            password=database.password,
            database=database.name,
            charset="utf8mb4",
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_ANSWER_SECONDS,
            write_timeout=_ANSWER_SECONDS,
        )
