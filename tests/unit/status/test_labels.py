"""Which servers a task works on, from what it is called."""

from __future__ import annotations

import pytest

from gantry.status import labels


@pytest.mark.parametrize(
    "servers",
    [
        ["shop-web-1"],
        ["shop-web-1", "shop-web-2"],
        [f"shop-web-{slot}" for slot in range(8, 13)],
        [f"web{slot}.shop.example.com" for slot in range(9, 12)],
        [f"shop2-web-{slot:02}" for slot in range(1, 13)],
        [f"10-shop-{slot}-a1" for slot in range(1, 4)],
    ],
    ids=lambda servers: labels.label(servers).replace(" ", ""),
)
def test_a_label_is_read_as_it_was_written(servers: list[str]) -> None:
    assert labels.servers(labels.label(servers)) == tuple(servers)


@pytest.mark.parametrize(
    "label",
    [
        "", "0", "17",
        # Slots between them are not filled, and nobody says which.
        labels.label(["shop-web-1", "shop-web-3", "shop-web-9"]),
        # Airflow hides a part of it.
        "***-web-1", "***-web-1 … ***-web-3 (3)",
        # Nothing that we have written.
        "shop-web-1 … shop-db-3 (3)", "shop-web-3 … shop-web-1 (3)", "a-1 … a-99999999 (99999999)", "a … b (2)",
        "two words",
    ],
)  # fmt: skip
def test_what_a_label_does_not_say_nobody_guesses(label: str) -> None:
    assert labels.servers(label) == ()
