"""The page and the JSON, made of a selection of books."""

from __future__ import annotations

import html
import json
import string
from pathlib import Path

from bookshop.catalog import Selection
from bookshop.settings import Settings

_TEMPLATES = Path(__file__).parent / "templates"
_PAGE, _ROW = (
    string.Template((_TEMPLATES / name).read_text(encoding="utf-8")) for name in ("page.html", "row.html")
)


def page(settings: Settings, words: str, selection: Selection) -> str:
    """The HTML page: greeting, search, the books, and which server answered."""
    rows = (
        _ROW.substitute(
            title=html.escape(book.title), author=html.escape(book.author), price=f"{book.price:.2f} €"
        )
        for book in selection.books
    )
    return _PAGE.substitute(
        greeting=html.escape(settings.greeting),
        server=html.escape(settings.server_name),
        words=html.escape(words),
        shown=len(selection.books),
        count=selection.count,
        rows="".join(rows) or (_TEMPLATES / "nothing.html").read_text(encoding="utf-8"),
    )


def books_json(settings: Settings, selection: Selection) -> str:
    """The books as JSON: `{"server", "count", "books": [{"id", "title", "author", "price"}]}`."""
    books = [
        {"id": book.id, "title": book.title, "author": book.author, "price": float(book.price)}
        for book in selection.books
    ]
    return json.dumps({"server": settings.server_name, "count": selection.count, "books": books})
