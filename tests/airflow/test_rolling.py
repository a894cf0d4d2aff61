"""A new version under load: two servers behind HAProxy are updated one after the other, and no request is lost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from gantry.cli.queries import deployment_status
from gantry.definition import loads
from tests.airflow import rolling_site
from tests.airflow.rolling_site import ARCHIVE, BROKEN, HOST, SERVERS, SITE, UPDATE, definition
from tests.airflow.stage import Launch, Stage, archive, eventually
from tests.airflow.visitors import Visitors

pytestmark = pytest.mark.airflow


SLOW = "#!/bin/sh\nsleep 4\n"
"""Put before a start script, so that somebody can be killed meanwhile."""


def version(name: str, check: str = rolling_site.HEALTHY, before: str = "") -> bytes:
    """The archive of a version of the site."""
    return archive(rolling_site.scripts(name, check, before))


@pytest.fixture(scope="module")
def site(stage: Stage) -> Iterator[str]:
    """The running site, and its balancer's address."""
    stage.upload(ARCHIVE, version("one"))
    stage.define(SITE, definition())
    launch = stage.launch(SITE)
    launch.succeeds()
    assert "nothing to do" in launch.task_log(UPDATE)
    yield stage.address(SITE, "front-1")
    stage.scrap(SITE)


def kept(visitors: Visitors) -> None:
    """Nobody may have been turned away."""
    print(f"{visitors.asked} requests, {len(visitors.lost)} lost; {dict(visitors.answers)}")
    assert visitors.lost == []
    assert visitors.asked > 200


def seen(visitors: Visitors, name: str) -> set[str]:
    """On which servers visitors have met a version."""
    return {text.partition(" ")[2] for text in list(visitors.answers) if text.startswith(f"{name} ")}


def running(stage: Stage) -> dict[str, str]:
    """What answers on each server."""
    machines = stage.machines(SITE)
    return {
        name: machines[name].sh("curl -s -m 2 http://127.0.0.1:8000/ || true").partition(" ")[0]
        for name in SERVERS
    }


def upload(stage: Stage, content: bytes) -> str:
    """Make it the site's archive; its version."""
    stage.upload(ARCHIVE, content)
    return hashlib.sha256(content).hexdigest()


def shown(stage: Stage) -> dict[str, str]:
    """Which version `gantry status` names for each server."""
    found = deployment_status.of_airflow(stage.api, SITE, loads(definition()), None).as_json()
    lines = json.loads(json.dumps(found["servers"]))
    return {
        each["name"].removeprefix(f"{SITE}-"): each["versions"]["site"]["version"]
        for each in lines
        if each["versions"]
    }


def await_update(launch: Launch, visitors: Visitors) -> None:
    """Wait until a launch has updated the servers. Its visitors are in a hurry meanwhile."""
    over = ("success", "failed", "upstream_failed")
    launch.await_state(UPDATE, "running", *over)
    with visitors.hurrying():
        launch.await_state(UPDATE, *over)


def out_at_once(stage: Stage) -> int:
    """The most servers that were out of the balancer at the same time, as its agent's journal has it."""
    out: set[str] = set()
    most = 0
    for words in (line.split() for line in stage.machines(SITE)["front-1"].journal()):
        if words[1:3] == ["begin", "stopProxy"]:
            out.add(words[3])
        elif words[1:3] == ["begin", "startProxy"]:
            out.discard(words[7])
        most = max(most, len(out))
    return most


def sees(stage: Stage, address: str, texts: set[str]) -> None:
    """Visitors get answers of exactly these versions on these servers."""
    with Visitors(address, HOST) as visitors, visitors.hurrying():
        eventually(lambda: visitors.asked > 100, "a hundred requests")
    assert visitors.lost == []
    assert {text.partition(" ")[0] for text in visitors.answers} == texts


def test_a_new_version_reaches_both_servers_and_no_request_is_lost(stage: Stage, site: str) -> None:
    stage.upload(ARCHIVE, version("two"))
    with Visitors(site, HOST) as visitors:
        eventually(lambda: len(visitors.answers) == len(SERVERS), "both servers answer")
        launch = stage.launch(SITE)
        await_update(launch, visitors)
        launch.succeeds()
        eventually(lambda: len(seen(visitors, "two")) == len(SERVERS), "both serve the new version")
    kept(visitors)
    assert running(stage) == dict.fromkeys(SERVERS, "two")
    assert out_at_once(stage) == 1
    assert "batch 2 of 2" in launch.task_log(UPDATE)
    drained = [line for line in stage.machines(SITE)["front-1"].journal() if " end awaitDrained" in line]
    print("\n".join(drained))
    assert len(drained) == len(SERVERS)
    sees(stage, site, {"two"})


def fail(stage: Stage, site: str, broken: str) -> tuple[str, Launch]:
    upload(stage, version(broken, BROKEN))
    with Visitors(site, HOST) as visitors:
        launch = stage.launch(SITE)
        await_update(launch, visitors)
        error = launch.fails_at(UPDATE)
        asked = visitors.asked
        with visitors.hurrying():
            eventually(lambda: visitors.asked > asked + 100, "the site goes on answering")
    kept(visitors)
    assert not any(text.startswith(broken) for text in visitors.answers)
    print(error)
    assert "rollsite-web-1: awaitService a4001" in error
    assert "the catalogue is upside down" in error
    return error, launch


def test_a_version_whose_check_fails_stops_after_the_first_batch_and_the_old_one_serves(
    stage: Stage, site: str
) -> None:
    error, _ = fail(stage, site, "three")
    assert running(stage) == {"web-1": "three", "web-2": "two"}
    new = upload(stage, version("three", BROKEN))
    old = upload(stage, version("two"))
    assert shown(stage) == {"web-1": new, "web-2": old}
    assert "rollsite-web-1: archive version" in error
    assert "not healthy, out of the load balancers" in error
    assert "healthy, in the load balancers" in error
    sees(stage, site, {"two"})


def test_the_mended_version_begins_with_the_server_that_is_out(stage: Stage, site: str) -> None:
    stage.upload(ARCHIVE, version("four"))
    with Visitors(site, HOST) as visitors:
        launch = stage.launch(SITE)
        await_update(launch, visitors)
        launch.succeeds()
    kept(visitors)
    assert running(stage) == dict.fromkeys(SERVERS, "four")
    assert out_at_once(stage) == 1


def test_a_version_that_fails_is_rolled_back_where_that_is_asked_for(stage: Stage, site: str) -> None:
    stage.redefine(SITE, definition("roll_back"))
    error, launch = fail(stage, site, "five")
    assert running(stage) == dict.fromkeys(SERVERS, "four")
    assert shown(stage) == dict.fromkeys(SERVERS, upload(stage, version("four")))
    assert "its batch was rolled back to the previous version" in error
    assert error.count("healthy, in the load balancers") == len(SERVERS)
    assert "not healthy" not in error
    assert "revertService a4001" in launch.task_log(UPDATE)
    sees(stage, site, {"four"})


def test_when_the_worker_dies_the_next_try_goes_on_where_it_stopped(stage: Stage, site: str) -> None:
    machines = stage.machines(SITE)
    before = {name: machines[name].calls("installService") for name in SERVERS}
    starts = machines["web-1"].calls("startService")
    newest = upload(stage, version("six", before=SLOW))
    with Visitors(site, HOST) as visitors:
        launch = stage.launch(SITE)
        with visitors.hurrying():
            eventually(lambda: machines["web-1"].calls("startService") > starts, "the first one starts")
        stage.kill_workers(launch, UPDATE, -1)
        await_update(launch, visitors)
        launch.succeeds()
    kept(visitors)
    assert launch.instance(UPDATE).try_number == 2
    assert running(stage) == dict.fromkeys(SERVERS, "six")
    assert shown(stage) == dict.fromkeys(SERVERS, newest)
    assert {name: machines[name].calls("installService") for name in SERVERS} == {
        name: calls + 1 for name, calls in before.items()
    }
    assert out_at_once(stage) == 1
