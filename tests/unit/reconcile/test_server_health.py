"""Which servers count as lost, and which of them are replaced."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

import pytest

from gantry import definition, inventory, names
from gantry.agent.reachability import Contact, ServerAnswer
from gantry.cloud import servers as cloud_servers
from gantry.reconcile import replacement, server_health
from gantry.requests import RecoverRequest
from tests.unit.agent.world import DEFINITION, World

KNOWN = definition.loads(DEFINITION)
NOW = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
OK = ServerAnswer(Contact.ANSWERS)
SILENT = ServerAnswer(Contact.SILENT, "no SSH connection to 10.0.0.22: Connection refused")
IMPAIRED = ServerAnswer(Contact.ANSWERS, impaired={names.ServiceName("app"): "no answer\non port 8000"})
APPLICATION = names.TierName("application")


def server(short: str, **facts: Any) -> inventory.Server:
    found = World().server(short)
    return dataclasses.replace(
        found, state=inventory.InstanceState.RUNNING, host_key="ssh-ed25519 AAAA", **facts
    )


def minutes(count: float) -> datetime.datetime:
    return NOW - datetime.timedelta(minutes=count)


def looks(since: float, seen: float = 1, *, unproven: bool = False) -> inventory.Ailing:
    """Looks in a row, the first of them and the last so many minutes ago."""
    return inventory.Ailing(minutes(since), minutes(min(since, seen)), unproven)


def judged(
    answers: Mapping[str, ServerAnswer],
    since: Mapping[str, float | inventory.Ailing] | None = None,
    impaired: Mapping[str, str] | None = None,
    known: definition.models.Definition = KNOWN,
) -> server_health.HealthReport:
    """What follows where each server was met like that, and looks have found it not well for so many minutes."""
    before = {
        short: each if isinstance(each, inventory.Ailing) else looks(each)
        for short, each in (since or {}).items()
    }
    running = [server(each, ailing=before.get(each)) for each in answers]
    met = {names.ServerName(f"bookshop-{short}"): answer for short, answer in answers.items()}
    return server_health.judge(known, running, met, impaired or {}, NOW)


def short(troubles: tuple[server_health.UnhealthyServer, ...]) -> list[str]:
    return [each.server.name.removeprefix("bookshop-") for each in troubles]


def test_silence_counts_from_when_it_was_first_seen_and_only_past_the_delay() -> None:
    first = judged({"application-1": OK, "application-2": SILENT})
    assert (short(first.lost), short(first.ailing)) == ([], ["application-2"])
    assert first.ailing[0].due == NOW + datetime.timedelta(minutes=5)
    assert [each.name for each in first.well] == ["bookshop-application-1"]
    assert short(judged({"application-1": OK, "application-2": SILENT}, {"application-2": 4.9}).lost) == []
    late = judged({"application-1": OK, "application-2": SILENT}, {"application-2": 5})
    assert (short(late.lost), short(late.ailing)) == (["application-2"], [])
    assert "does not answer" in str(late.lost[0])


def test_who_answers_again_is_well_however_long_it_was_silent() -> None:
    found = judged({"application-1": OK, "application-2": OK}, {"application-2": 60})
    assert (short(found.troubles), len(found.well)) == ([], 2)


def test_what_the_clouds_checks_and_a_services_check_say_counts_too() -> None:
    found = judged(
        {"database-1": OK, "application-1": IMPAIRED, "application-2": OK},
        {"application-1": 6, "application-2": 6},
        {"i-application-2": "the cloud's system status checks fail"},
    )
    assert [str(each).partition(",")[0] for each in found.lost] == [
        "service app is IMPAIRED: its check does not say OK",
        "the cloud's system status checks fail",
    ]
    assert [each.name for each in found.well] == ["bookshop-database-1"]


def test_a_service_that_lacks_what_it_depends_on_is_not_to_blame() -> None:
    since = {"application-1": 60.0, "database-1": 60.0}
    for database in ({"database-1": SILENT}, {}):
        found = judged({**database, "application-1": IMPAIRED, "application-2": OK}, since)
        assert short(found.lost) == list(database)
        assert [each.name for each in found.well] == ["bookshop-application-2"]


def test_only_silence_is_silence() -> None:
    others = {
        "application-1": ServerAnswer(Contact.STRANGER, "the host key is not the one pinned"),
        "application-2": ServerAnswer(Contact.REFUSES, "refuses the user"),
        "database-1": ServerAnswer(Contact.BUSY, "closes it before the login"),
        "proxy-1": ServerAnswer(Contact.UNREACHED, "no SSH connection to jump"),
    }
    found = judged(others, dict.fromkeys(others, 60))
    assert found.troubles == ()
    assert set(found.key_mismatches) == {"bookshop-application-1"}
    assert set(found.refusing) == {"bookshop-application-2"}
    assert set(found.busy) == {"bookshop-database-1"}
    assert set(found.unreached) == {"bookshop-proxy-1"}
    # What was not asked at all may be as it was; whatever else answers there ends the looks in a row.
    assert "bookshop-proxy-1" not in [each.name for each in found.well]
    assert len(found.well) == 3


def test_where_nobody_answers_it_is_the_way_to_them() -> None:
    everybody = {"application-1": SILENT, "application-2": SILENT}
    since = dict.fromkeys(everybody, looks(60, unproven=True))
    found = judged(everybody, since)
    assert (found.cut_off, found.is_overdue, found.lost) == (True, True, ())
    assert not judged(everybody).is_overdue
    # What the cloud itself says is no matter of the way. It says nothing of the others.
    told = {"i-application-1": "the cloud's instance status checks fail"}
    assert short(judged(everybody, dict.fromkeys(everybody, 60.0), told).lost) == ["application-1"]


@pytest.mark.parametrize(
    "other", [Contact.UNREACHED, Contact.STRANGER, Contact.BUSY, Contact.SILENT], ids=str
)
def test_only_a_server_that_proves_who_it_is_shows_that_the_way_works(other: Contact) -> None:
    # Behind a way that leads elsewhere, strangers answer.
    found = judged(
        {"application-1": SILENT, "application-2": ServerAnswer(other, "?")}, {"application-1": 60}
    )
    assert (short(found.lost), found.cut_off) == ([], True)
    found = judged(
        {"application-1": SILENT, "application-2": ServerAnswer(Contact.REFUSES, "?")}, {"application-1": 60}
    )
    assert (short(found.lost), found.cut_off) == (["application-1"], False)


def test_one_server_alone_is_lost_only_if_the_cloud_says_so() -> None:
    found = judged({"application-1": SILENT}, {"application-1": looks(60, unproven=True)})
    assert (found.lost, found.cut_off, found.is_overdue) == ((), True, True)
    told = {"i-application-1": "the cloud's system status checks fail"}
    assert short(judged({"application-1": SILENT}, {"application-1": 60}, told).lost) == ["application-1"]
    # That it has never come up is no matter of the way either.
    mute = ServerAnswer(Contact.SILENT, "its console has no host key", by_cloud=True)
    assert short(judged({"application-1": mute}, {"application-1": 60}).lost) == ["application-1"]


# --- since when ----------------------------------------------------------------------------------------------


WELL = {"application-1": OK}


def lost_after(before: inventory.Ailing, known: definition.models.Definition = KNOWN, **facts: Any) -> bool:
    """Whether a server is lost that is silent now, where looks before have noted that."""
    found = judged({**WELL, "application-2": SILENT}, {"application-2": before}, known=known, **facts)
    (trouble,) = found.troubles
    assert trouble.looks.seen == NOW
    # Either they are continued, or they start over.
    assert trouble.looks.since in (before.since, NOW)
    assert bool(found.lost) == (trouble.looks.since == before.since)
    return bool(found.lost)


def test_looks_that_are_weeks_apart_do_not_make_a_server_lost() -> None:
    june = looks(60 * 24 * 30, seen=60 * 24 * 30)
    assert not lost_after(june)
    # Nor does a mark that was renewed long after it was made, and long ago.
    assert not lost_after(looks(60 * 24 * 30, seen=60 * 24 * 2))
    # It is the last look that has to be near, however long it has been so.
    assert lost_after(looks(60 * 24 * 30, seen=10))
    assert lost_after(looks(15, seen=15))
    assert not lost_after(looks(15.1, seen=15.1))


def test_it_is_known_who_was_not_well_before_and_too_long_ago_to_count() -> None:
    def was_so(before: inventory.Ailing | None) -> bool:
        since = {} if before is None else {"application-2": before}
        (trouble,) = judged({**WELL, "application-2": SILENT}, since).troubles
        return trouble.was_so_before

    assert was_so(looks(60 * 24, seen=60 * 24))
    assert not any(map(was_so, (None, looks(3), looks(60 * 24, seen=60 * 24, unproven=True))))


def test_how_near_looks_have_to_be_follows_from_how_often_there_are_any() -> None:
    def with_(delay: str, watch: str = "") -> definition.models.Definition:
        text = DEFINITION.replace("  application: {", f"  application: {{recovery_delay: {delay}, ", 1)
        assert text != DEFINITION
        return definition.loads(f"{text}{watch}")

    gap = {
        (delay, watch): server_health.longest_gap(with_(delay, watch), APPLICATION).total_seconds() / 60
        for delay in ("10s", "20m")
        for watch in ("", "watch: {every: 10s, replace: true}\n", "watch: {every: 2h, replace: true}\n")
    }
    assert list(gap.values()) == [10, 10, 241, 60, 60, 241]
    assert lost_after(looks(200, seen=130), with_("20m", "watch: {every: 2h, replace: true}\n"))
    assert not lost_after(looks(200, seen=130), with_("20m"))


def test_looks_that_may_have_seen_the_way_alone_do_not_count() -> None:
    assert not lost_after(looks(60, unproven=True))
    # While the way is broken, nothing is said of a server that was not well before: neither that it is, nor that it is
    # not. When that has taken too long, the looks start over.
    before = looks(4, seen=2)
    cut = {"application-1": SILENT, "application-2": SILENT}
    found: dict[str, inventory.Ailing] = {
        each.server.name: each.looks for each in judged(cut, {"application-2": before}).troubles
    }
    assert found["bookshop-application-2"] == before
    assert found["bookshop-application-1"] == inventory.Ailing(NOW, NOW, unproven=True)


def test_an_instance_that_was_started_since_begins_anew() -> None:
    before = looks(30)
    restarted = dataclasses.replace(server("application-2", ailing=before), launched_at=minutes(2))
    met = {names.ServerName("bookshop-application-1"): OK, restarted.name: SILENT}
    assert server_health.judge(KNOWN, [server("application-1"), restarted], met, {}, NOW).lost == ()
    same = dataclasses.replace(restarted, launched_at=minutes(300))
    assert len(server_health.judge(KNOWN, [server("application-1"), same], met, {}, NOW).lost) == 1


# --- who is replaced -----------------------------------------------------------------------------------------


def choose(
    findings: server_health.HealthReport,
    *present: inventory.Server,
    named: RecoverRequest | None = None,
    leaving: tuple[inventory.Server, ...] = (),
    before: replacement.Slots | None = None,
) -> replacement.Choice:
    there = inventory.Inventory(present, leaving)
    return replacement.choose(KNOWN, there, findings, named, before or {})


ONE, TWO = server("application-1"), server("application-2")
THREE = dataclasses.replace(
    ONE,
    name=names.ServerName("bookshop-application-3"),
    slot=names.Slot(3),
    instance_id="i-application-3",
)


def gone(*slots: int) -> dict[names.TierName, tuple[names.Slot, ...]]:
    return {APPLICATION: tuple(map(names.Slot, slots))}


def test_a_lost_server_leaves_and_its_slot_is_filled() -> None:
    found = judged({"application-1": OK, "application-2": SILENT}, {"application-2": 9})
    choice = choose(found, ONE, TWO, THREE)
    assert list(choice.servers) == ["bookshop-application-2"]
    assert choice.slots == gone(2)
    staying = choice.staying(inventory.Inventory((ONE, TWO, THREE)))
    assert [each.slot for each in staying] == [1, 3]
    assert "does not answer" in str(staying.leaving[0].lost)
    # Three servers run where two are wanted at least: the third place is filled all the same.
    wanted = {"database": 1, "application": 2, "proxy": 1}
    assert replacement.missing(KNOWN, staying, wanted, choice.slots)[APPLICATION] == (2,)


def test_servers_that_are_gone_are_those_of_the_last_run_that_arrived() -> None:
    assert choose(server_health.NOTHING, ONE, before=gone(1, 2, 3)).slots == gone(2, 3)
    # Unless a scaling has said how many there shall be, or has chosen them to leave, or the tier may not be so large.
    assert choose(server_health.NOTHING, dataclasses.replace(ONE, wanted=2), before=gone(1, 2, 3)).slots == {}
    assert choose(server_health.NOTHING, ONE, TWO, leaving=(THREE,), before=gone(1, 2, 3)).slots == {}
    assert choose(server_health.NOTHING, ONE, TWO, before=gone(1, 2, 9)).slots == gone()


def test_a_slot_whose_lost_server_still_leaves_is_filled_by_a_later_run_too() -> None:
    leaving = (dataclasses.replace(TWO, lost="it does not answer"),)
    assert choose(server_health.NOTHING, ONE, leaving=leaving).slots == gone(2)
    assert choose(server_health.NOTHING, ONE, TWO, leaving=leaving).slots == {}


def test_a_person_names_whom_to_replace_by_name_or_place() -> None:
    silent = judged({"application-1": OK, "application-2": SILENT})
    for word in ("bookshop-application-2", "application-2"):
        choice = choose(silent, ONE, TWO, named=RecoverRequest(servers=(word,)))
        assert list(choice.servers) == ["bookshop-application-2"]
    stopped = dataclasses.replace(TWO, state=inventory.InstanceState.STOPPED)
    choice = choose(server_health.NOTHING, ONE, stopped, named=RecoverRequest(servers=("application-2",)))
    assert choice.servers == {"bookshop-application-2": "its instance is stopped"}
    choice = choose(server_health.NOTHING, ONE, named=RecoverRequest(servers=("application-4",)))
    assert (choice.servers, choice.slots) == ({}, gone(4))


def test_a_server_that_is_well_is_replaced_only_anyway() -> None:
    well = judged({"application-1": OK, "application-2": OK})
    with pytest.raises(replacement.ServerHealthyError, match="bookshop-application-2: answers"):
        choose(well, ONE, TWO, named=RecoverRequest(servers=("application-2",)))
    choice = choose(well, ONE, TWO, named=RecoverRequest(servers=("application-2",), anyway=True))
    assert choice.servers == {"bookshop-application-2": "its replacement was requested"}


def test_a_stranger_is_replaced_if_a_person_names_it() -> None:
    found = judged({"application-1": OK, "application-2": ServerAnswer(Contact.STRANGER, "another host key")})
    assert choose(found, ONE, TWO).servers == {}
    choice = choose(found, ONE, TWO, named=RecoverRequest(servers=("application-2",)))
    assert choice.servers == {"bookshop-application-2": "another host key"}


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(replacement.UnknownServerError, match="did you mean 'application-2'"):
        choose(server_health.NOTHING, ONE, TWO, named=RecoverRequest(servers=("aplication-2",)))
    with pytest.raises(replacement.UnknownServerError):
        choose(server_health.NOTHING, ONE, TWO, named=RecoverRequest(servers=("application-7",)))


def test_where_nobody_answers_a_person_has_to_say_who_is_lost() -> None:
    everybody = {"application-1": SILENT, "application-2": SILENT}
    found = judged(everybody, dict.fromkeys(everybody, looks(9, unproven=True)))
    with pytest.raises(replacement.NoServerAnswersError, match="the network path to them") as refused:
        choose(found, ONE, TWO)
    assert "`gantry recover bookshop application-1 application-2`" in str(refused.value)
    # As long as there is time, a launch waits for them.
    assert choose(judged(everybody), ONE, TWO).servers == {}
    assert list(choose(found, ONE, TWO, named=RecoverRequest(servers=("application-1",))).servers) == [
        "bookshop-application-1"
    ]


def test_a_person_has_to_say_that_the_only_server_is_lost() -> None:
    found = judged({"application-1": SILENT}, {"application-1": looks(9, unproven=True)})
    with pytest.raises(replacement.NoServerAnswersError) as refused:
        choose(found, ONE)
    assert "EC2's status checks report no problem" in str(refused.value)
    assert "in the field `servers` of NAME.recover, or `gantry recover bookshop application-1`" in str(
        refused.value
    )
    assert list(choose(found, ONE, named=RecoverRequest(servers=("application-1",))).servers) == [
        "bookshop-application-1"
    ]


@pytest.mark.parametrize("contact", [Contact.BUSY, Contact.UNREACHED], ids=str)
def test_one_that_is_busy_or_was_not_asked_is_replaced_only_anyway(contact: Contact) -> None:
    found = judged({"application-1": OK, "application-2": ServerAnswer(contact, "no SSH connection to jump")})
    with pytest.raises(
        replacement.ServerHealthyError, match="does not mean that it is lost: no SSH connection to jump"
    ):
        choose(found, ONE, TWO, named=RecoverRequest(servers=("application-2",)))
    choice = choose(found, ONE, TWO, named=RecoverRequest(servers=("application-2",), anyway=True))
    assert choice.anyway == {"bookshop-application-2"}
    staying = choice.staying(inventory.Inventory((ONE, TWO)))
    assert staying.leaving[0].given_up


@pytest.mark.parametrize(
    ("present", "wanted", "again", "filled"),
    [
        ((1, 3), 2, (2,), (2,)),
        ((1, 3), 4, (2,), (2, 4)),
        ((1,), 2, (), (2,)),
        ((3,), 2, (2,), (2,)),
        ((1, 2), 2, (2,), ()),
        ((), 2, (3,), (1, 3)),
    ],
)
def test_lost_slots_are_filled_first_and_then_the_gaps(
    present: tuple[int, ...], wanted: int, again: tuple[int, ...], filled: tuple[int, ...]
) -> None:
    known = [dataclasses.replace(ONE, slot=names.Slot(slot)) for slot in present]
    assert cloud_servers.intend(known, wanted, [names.Slot(slot) for slot in again]).missing == filled
