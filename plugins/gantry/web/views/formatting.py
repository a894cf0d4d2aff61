"""Formatting of counts and times for the pages."""

from __future__ import annotations

import datetime


def count(number: int, one: str) -> str:
    """Format a count: `1 server`, `2 servers`."""
    return f"{number} {one if number == 1 else f'{one}s'}"


def moment(text: str) -> datetime.datetime:
    """Parse a time stored as ISO 8601."""
    return datetime.datetime.fromisoformat(text)


def iso(moment: datetime.datetime) -> str:
    """Format for `<time datetime>`: in UTC, to the second."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc(moment: datetime.datetime) -> str:
    """Format for browsers in which no script converts to the user's time zone."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
