"""Who drives a job makes its link: the triggerer too, with the definition's connection, read when it is wanted."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gantry import definition, names
from gantry.agent import fan_out, jobs, ssh
from gantry.cloud import download_links, errors
from gantry.credentials import connections
from gantry.triggers import server_work
from tests.unit.agent.world import World

TARGET = ssh.Target(names.ServerName("bookshop-database-1"), "i-1", "10.0.0.1", "ssh-ed25519 AAAA")
LINK = jobs.PresignedLink("/enstratus/ws/tmp/x.url", "s3://bookshop/dbService.tar.gz", upload=True)


def test_the_triggerer_is_told_what_to_make_links_with_and_of_what(monkeypatch: pytest.MonkeyPatch) -> None:
    known = definition.loads(World().text)
    seen: list[tuple[jobs.PresignedLink | None, Any]] = []

    async def carry_out(
        everything: list[jobs.ServerProgress], *_: object, links: Any = None, **__: object
    ) -> bool:
        seen.append((everything[0].jobs[0].link, links))
        everything[0].index = 1
        return True

    monkeypatch.setattr(fan_out, "carry_out", carry_out)
    monkeypatch.setattr(connections, "access", lambda _: None)
    job = jobs.Job("upload", "uploadBackup", (LINK.path,), 60, link=LINK, kept=("/enstratus/ws/tmp/x",))
    trigger = server_work.JobsTrigger(
        everything=server_work.dump([jobs.ServerProgress(TARGET, (job,), renewed=True)]),
        login=next(iter(known.launch_configurations.values())).ssh.model_dump(mode="json"),
        step="s",
        epoch="1",
        attempt="1",
        report={},
        cloud=known.cloud.model_dump(mode="json"),
    )
    _, keywords = trigger.serialize()
    # Into Airflow's database, and out of it.
    again = server_work.JobsTrigger(**json.loads(json.dumps(keywords)))
    assert asyncio.run(again._failures()) == []
    assert seen == [(LINK, download_links.CloudLinks(known.cloud))]


def test_the_connection_is_read_when_a_link_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    known = definition.loads(World().text)
    monkeypatch.delenv(f"AIRFLOW_CONN_{known.cloud.connection.upper()}", raising=False)
    made = download_links.CloudLinks(known.cloud)
    with pytest.raises(errors.CloudConnectionError):
        made.link(LINK.url)
