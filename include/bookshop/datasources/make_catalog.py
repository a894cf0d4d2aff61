"""Writes datasource.sql, the bookshop's catalogue: `make_catalog.py TARGET [--books N]`.

The same number of books gives the same bytes on every machine and every Python: what is picked is derived
from SHA-256, as the sequences of `random` are promised for parts of it only. Names are put together from
syllables, so they belong to no real person.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

_SCHEMA = Path(__file__).parent / "schema.sql"
_BOOKS = 5000
_BOOKS_PER_AUTHOR = 8
_ROWS_PER_INSERT = 500

_FIRST = (
    "Ari",
    "Bel",
    "Cor",
    "Dal",
    "Eli",
    "Fen",
    "Gal",
    "Hel",
    "Ivo",
    "Jor",
    "Kel",
    "Lio",
    "Mar",
    "Nel",
    "Or",
)
_FIRST_END = ("a", "an", "ane", "en", "ia", "in", "is", "o", "on", "us")
_LAST = ("Amber", "Birk", "Cald", "Dun", "Ever", "Falk", "Green", "Harl", "Isl", "Kest", "Lind", "Mor", "Nor")
_LAST_END = ("berg", "bourne", "by", "dale", "ell", "gate", "ingham", "ström", "wick", "-Vale", "ović")
_ADJECTIVES = (
    "Quiet",
    "Last",
    "Borrowed",
    "Northern",
    "Unwritten",
    "Glass",
    "Patient",
    "Second",
    "Salt",
    "Hidden",
)
_NOUNS = (
    "Lighthouse",
    "Orchard",
    "Ledger",
    "Cartographer",
    "Winter",
    "Harbour",
    "Clockmaker",
    "Garden",
    "Letter",
)
_PLACES = (
    "the Marshes",
    "Tarn Hill",
    "the Long Shore",
    "Orrin Bay",
    "the Ninth Street",
    "Vell",
    "the Salt Road",
)
_SUBJECTS = (
    "Bread",
    "Bees",
    "Bridges",
    "Tides",
    "Small Engines",
    "Old Maps",
    "Kites",
    "Mushrooms",
    "Paper",
    "Rain",
)
_FORMS = (
    "The {adjective} {noun}",
    "The {noun} of {place}",
    "A {noun} for {place}",
    "{adjective} {subject}",
    "{subject}: A Short History",
    "The {noun}'s {subject}",
    "On {subject} and {subject_too}",
)
_ENDINGS = (9, 49, 90, 95, 99)


def pick(choices: Sequence[str], *key: object) -> str:
    """One of the choices, always the same for the same key."""
    return choices[number(len(choices), *key)]


def number(below: int, *key: object) -> int:
    """A number from 0 to below - 1, always the same for the same key."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") % below


def author(index: int) -> str:
    """The name of an author."""
    first = pick(_FIRST, "first", index) + pick(_FIRST_END, "first end", index)
    return f"{first} {pick(_LAST, 'last', index)}{pick(_LAST_END, 'last end', index)}"


def title(index: int) -> str:
    """The title of a book."""
    return pick(_FORMS, "form", index).format(
        adjective=pick(_ADJECTIVES, "adjective", index),
        noun=pick(_NOUNS, "noun", index),
        place=pick(_PLACES, "place", index),
        subject=pick(_SUBJECTS, "subject", index),
        subject_too=pick(_SUBJECTS, "subject too", index),
    )


def quoted(text: str) -> str:
    """The text as an SQL string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def inserts(head: str, rows: Sequence[str]) -> Iterator[str]:
    """Multi-row INSERT statements, short enough for any server's packet."""
    for start in range(0, len(rows), _ROWS_PER_INSERT):
        yield head + "\n" + ",\n".join(rows[start : start + _ROWS_PER_INSERT]) + ";\n"


def catalog(books: int) -> str:
    """The whole dump."""
    authors = max(1, books // _BOOKS_PER_AUTHOR)
    author_rows = [f"({index}, {quoted(author(index))})" for index in range(1, authors + 1)]
    book_rows = []
    for index in range(1, books + 1):
        price = f"{4 + number(36, 'euros', index)}.{_ENDINGS[number(len(_ENDINGS), 'cents', index)]:02}"
        by = 1 + number(authors, "author", index)
        book_rows.append(
            f"({index}, {quoted(title(index))}, {by}, {1950 + number(75, 'year', index)}, {price})"
        )
    return "".join(
        (
            _SCHEMA.read_text(encoding="utf-8"),
            *inserts("INSERT INTO author (id, name) VALUES", author_rows),
            *inserts("INSERT INTO book (id, title, author_id, published, price) VALUES", book_rows),
        )
    )


def main() -> None:
    """Write the dump to the file that was asked for."""
    parser = argparse.ArgumentParser(description="Writes the bookshop's catalogue as an SQL dump.")
    parser.add_argument("target", type=Path)
    parser.add_argument("--books", type=int, default=_BOOKS, help=f"how many (default {_BOOKS})")
    arguments = parser.parse_args()
    arguments.target.write_text(catalog(arguments.books), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
