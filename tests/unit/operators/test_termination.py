"""What keeps a termination from its end, and what does not."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from tests.unit.agent.world import DEFINITION

from gantry import definition, inventory, plan
from gantry.operators import backups, termination

from .test_scaling import Cloud, servers, trying
from .world import Instance

STEPS = plan.termination_plan(definition.loads(DEFINITION))
BACKED = definition.loads(f"{DEFINITION}\nbackups: {{of: {{files: app}}, to: s3://shop/backups/}}\n")
STOPPED = inventory.InstanceState.STOPPED


def ask(*found: inventory.Server, force: bool = False) -> dict[str, Any]:
    at = trying(Cloud(inventory.Inventory(found)), STEPS, "ask_servers", force=force)
    operator = termination.AskServersOperator(task_id="ask_servers")
    return operator.perform(cast("Any", {"ti": Instance()}), at)


def test_servers_that_do_not_run_or_never_shook_hands_are_no_reason_to_refuse() -> None:
    found = ask(*servers(1), *servers(2, state=STOPPED, host_key="ssh-ed25519 AAAA"))
    assert found["servers"] == ["bookshop-application-1", "bookshop-application-2"]
    assert ask()["servers"] == []


def test_a_server_that_cannot_be_reached_is_named_and_only_force_skips_it() -> None:
    lost = servers(2, host_key="ssh-ed25519 AAAA", private_address=None)
    with pytest.raises(termination.SilentServersError, match="nothing was stopped") as raised:
        ask(*servers(1), *lost)
    assert list(raised.value.silent) == ["bookshop-application-2"]
    assert "bookshop-application-1" not in str(raised.value)
    (skipped,) = ask(*servers(1), *lost, force=True)["skipped"]
    assert skipped.startswith("bookshop-application-2: ")


def test_what_does_not_stop_fails_and_only_force_goes_on() -> None:
    lost = inventory.Inventory(servers(2, host_key="ssh-ed25519 AAAA", private_address=None))
    operator = termination.StopServiceOperator(task_id="stop")
    context = cast("Any", {"ti": Instance()})
    with pytest.raises(termination.NotStoppedError, match="no server was terminated"):
        operator.perform(context, trying(Cloud(lost), STEPS, "service-app.stop_service"))
    forced = trying(Cloud(lost), STEPS, "service-app.stop_service", force=True)
    assert len(operator.perform(context, forced)["skipped"]) == 1


def last_backup(*found: inventory.Server, wanted: bool = True) -> None:
    last_backup_of(inventory.Inventory(found), wanted=wanted)


def last_backup_of(found: inventory.Inventory, *, wanted: bool = True) -> None:
    steps = plan.termination_plan(BACKED)
    at = trying(Cloud(found), steps, "backup-files.back_up", final_backup=wanted)
    operator = backups.BackUpOperator(task_id="backup-files.back_up")
    operator.perform(cast("Any", {"ti": Instance()}), dataclasses.replace(at, definition=BACKED))


def test_a_final_backup_is_left_out_where_there_is_nothing_to_save() -> None:
    for found, wanted in (((), True), (servers(1), True), (servers(1, host_key="ssh-ed25519 AAAA"), False)):
        with pytest.raises(AirflowSkipException):
            last_backup(*found, wanted=wanted)


def test_data_on_stopped_servers_is_not_thrown_away() -> None:
    with pytest.raises(backups.NoFinalBackupError, match="bookshop-application-1 is stopped"):
        last_backup(*servers(1, state=STOPPED, host_key="ssh-ed25519 AAAA"))


def test_data_on_a_server_that_is_given_up_is_not_thrown_away() -> None:
    given_up = inventory.Inventory((), servers(1, lost="it does not answer", host_key="ssh-ed25519 AAAA"))
    with pytest.raises(backups.NoFinalBackupError, match=r"bookshop-application-1 is given up \(it does not"):
        last_backup_of(given_up)
    # A scale in has chosen it: nobody misses what is there.
    with pytest.raises(AirflowSkipException):
        last_backup_of(inventory.Inventory((), servers(1, host_key="ssh-ed25519 AAAA")))
