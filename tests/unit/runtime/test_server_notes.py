"""What steps note: facts before they are handed out, versions when scripts have ended; by the triggerer too."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any, cast

import pytest

from gantry import definition, inventory, names, plan
from gantry.agent import fan_out, jobs, session, ssh
from gantry.credentials import connections
from gantry.runtime import lock_holder, server_notes
from gantry.state import config_history, installed_versions, operation_lock
from gantry.triggers import server_work
from tests.unit.agent.world import DEFINITION
from tests.unit.operators.test_scaling import Cloud, trying
from tests.unit.operators.world import Store

DB, SERVER = names.ServiceName("db"), names.ServerName("bookshop-database-1")
TARGET = ssh.Target(SERVER, "i-1", "10.0.0.11", "ssh-ed25519 AAAA")
INSTALL = jobs.Job("install", "withDownload", (), 60, mark=("a1001/archive", "v2"), unmark=("a1001/archive",))
CONFIG = "/mnt/services/a1001/cfg/enstratus.cfg"
PUT = jobs.Job("put", "putConfig", ("a1001", "/enstratus/ws/tmp/new.cfg"), 60)


class Server:
    """A server with a configuration file."""

    def __init__(self, before: str | None, points_to: str = CONFIG) -> None:
        self._before = before
        self._points_to = points_to

    async def run(self, *command: str) -> str:
        match command[0].rpartition("/")[2]:
            case "digests":
                return "" if self._before is None else f"0123 {CONFIG}\n"
            case "readlink":
                return f"{self._points_to}\n"
        return self._before or ""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    found = Store()
    monkeypatch.setattr(lock_holder, "store", lambda _: found)
    who = operation_lock.LockApplicant(names.Operation.LAUNCH, "run", "")
    monkeypatch.setattr(lock_holder, "asker", lambda *_: who)
    return found


def notes(step: str = "service-db.configure") -> server_notes.ServerNotes:
    at = trying(Cloud(inventory.Inventory(())), plan.launch_plan(definition.loads(DEFINITION)), step)
    at = dataclasses.replace(at, secrets={"hunter2hunter2"})
    return server_notes.ServerNotes(cast("Any", {}), at, cast("Any", _Log()))


class _Log:
    def info(self, *_: object) -> None:
        """As a logger's."""


def handed(store: Store, server: Server, after: str) -> config_history.Handouts:
    work = fan_out.Work((session.RemoteFile("/enstratus/ws/tmp/new.cfg", after.encode()),), (PUT,))
    book = notes()
    asyncio.run(book.witness(cast("Any", server), TARGET, fan_out.Applied({}), work))
    book.keep_facts()
    return config_history.load(store[config_history.PLACES.key(DB, SERVER)])


def test_facts_are_noted_against_what_stands_on_the_server_and_without_secrets(store: Store) -> None:
    before = "[enStratus]\nuser=shopper\npassword=before\nlink=x:hunter2hunter2\n"
    (kept,) = handed(store, Server(before), before.replace("before", "after").replace("shopper", "ada"))
    assert "-user=shopper" in kept.diff
    assert "+password=(secret, changed)" in kept.diff
    assert " link=(secret)" in kept.diff
    assert (kept.run, kept.operation, kept.instance) == ("run", "launch", "i-1")
    for secret in ("hunter2", "after", "before"):
        assert secret not in str(store)


def test_a_first_file_is_all_new_and_a_link_is_not_followed(store: Store) -> None:
    (kept,) = handed(store, Server(None), "a=1\n")
    assert kept.diff[0] == "--- /dev/null"
    *_, linked = handed(store, Server("root:x\n", points_to="/etc/shadow"), "a=1\n")
    assert linked.diff == (f"no diff: {CONFIG} is a link",)


def test_versions_are_noted_where_they_are_news(store: Store) -> None:
    book = notes("tier-database.install_services")
    progress = jobs.ServerProgress(TARGET, (INSTALL,), index=0, asked=True)
    applied = fan_out.Applied({"a1001/archive": "v1", "a9/archive": "strange"})
    asyncio.run(book.witness(cast("Any", Server(None)), TARGET, applied, fan_out.Work((), (INSTALL,))))
    book.keep_versions([progress])
    key = installed_versions.PLACES.key(DB, SERVER)
    assert [key] == list(store)
    assert _version(store[key]) is None
    progress.index = 1
    book.keep_versions([progress])
    assert _version(store[key]) == "v2"
    noted = store[key]
    book.keep_versions([progress])
    assert store[key] is noted


def test_the_triggerer_notes_what_it_has_seen_the_end_of(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def carry_out(everything: list[jobs.ServerProgress], *_: object, **__: object) -> bool:
        everything[0].index = 1
        return True

    monkeypatch.setattr(fan_out, "carry_out", carry_out)
    monkeypatch.setattr(connections, "access", lambda _: None)
    known = definition.loads(DEFINITION)
    trigger = server_work.JobsTrigger(
        everything=server_work.dump([jobs.ServerProgress(TARGET, (INSTALL,))]),
        login=next(iter(known.launch_configurations.values())).ssh.model_dump(mode="json"),
        step="s",
        epoch="1",
        attempt="1",
        report={},
        author=server_notes.dump(notes().who),
        holding={"data:db:1": TARGET.instance_id},
    )
    _, keywords = trigger.serialize()
    assert asyncio.run(server_work.JobsTrigger(**keywords)._failures()) == []
    assert _version(store[installed_versions.PLACES.key(DB, SERVER)]) == "v2"
    assert store["data:db:1"]["instance"] == TARGET.instance_id


def _version(kept: object) -> str | None:
    found = installed_versions.load(kept)
    assert found is not None
    return found.version
