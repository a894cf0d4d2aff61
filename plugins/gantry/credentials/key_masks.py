"""Masks of private keys, all at once: for Airflow's setting `[logging] secret_mask_adapter`.

Scripts' output is logged line by line, so each line of a key is a mask of its own. Airflow compiles one expression of
all masks, again for each new one: for the fifty lines of two keys in a task's process and in its supervisor's, that
took more CPU time than the rest of a short task. Masks that come from this function are compiled together.
"""

from __future__ import annotations

from collections.abc import Iterator

from gantry.agent import pem

_TELLING = 16
"""Characters. A shorter line of a key reveals nothing, and could be an ordinary word."""


def of(secret: str) -> Iterator[str]:
    """Yield the private keys in a secret as they are written on servers, and their lines. Airflow calls this."""
    key = pem.key(secret)
    if key:
        yield key
        yield from telling_lines(key)


def telling_lines(*texts: str) -> list[str]:
    """Return the lines of texts of which each has to be masked, without duplicates."""
    lines = {line.strip() for each in texts for line in each.splitlines()}
    return sorted(line for line in lines if len(line) >= _TELLING and not line.startswith("-----"))
