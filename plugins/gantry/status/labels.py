"""Which server an instance of a mapped task works on, by what it is called in Airflow."""

from __future__ import annotations

from gantry import names


def server(label: str) -> names.ServerName | None:
    """The server that an instance is named after.

    None for a batch, which is called by its first and last server, and for one that has not begun: Airflow calls it by
    its number.
    """
    return None if not label or label.isdecimal() or len(label.split()) != 1 else names.ServerName(label)
