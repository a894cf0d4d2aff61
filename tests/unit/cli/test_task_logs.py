"""Which logs are meant by a step and a server."""

from __future__ import annotations

import pytest

from gantry.cli.output import task_logs
from gantry.rest import logs

BATCH = "shop-web-2 … shop-web-11 (10)"


@pytest.mark.parametrize(
    ("server", "label", "meant"),
    [
        (None, "", "yes"),
        ("web-2", "shop-web-2", "yes"),
        ("shop-web-2", "shop-web-2", "yes"),
        ("web-2", "shop-web-20", "no"),
        ("web-2", "", "no"),
        ("web-7", BATCH, "yes"),
        ("shop-web-11", BATCH, "yes"),
        ("web-1", BATCH, "no"),
        ("web-12", BATCH, "no"),
        ("db-7", BATCH, "no"),
    ],
)
def test_a_server_is_found_in_what_an_instance_is_called(server: str | None, label: str, meant: str) -> None:
    assert task_logs.LogSelection("shop", server=server).takes_server(label) is (meant == "yes")


def test_of_a_batch_only_the_servers_own_lines_are_meant() -> None:
    wanted = task_logs.LogSelection("shop", server="web-7")
    assert wanted.takes_line(BATCH, logs.ApiLogLine("[shop-web-7] started"))
    assert not wanted.takes_line(BATCH, logs.ApiLogLine("[shop-web-70] started"))
    assert wanted.takes_line("shop-web-7", logs.ApiLogLine("started"))
    # "shop" is somebody's password: Airflow blanks it.
    assert wanted.takes_server(BATCH.replace("shop", "***"))
    assert wanted.takes_line(BATCH.replace("shop", "***"), logs.ApiLogLine("[***-web-7] started"))
    assert not wanted.takes_line(BATCH.replace("shop", "***"), logs.ApiLogLine("[***-web-70] started"))
