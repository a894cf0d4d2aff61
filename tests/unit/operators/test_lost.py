"""Which servers count as lost, and which of them are replaced."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.agent.world import DEFINITION, World

from gantry import definition, inventory, names
from gantry.agent.contact import Answer, Contact
from gantry.cloud import servers as cloud_servers
from gantry.operators import lost, replacing
from gantry.operators.run import Named

KNOWN = definition.loads(DEFINITION)
NOW = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
OK = Answer(Contact.ANSWERS)
SILENT = Answer(Contact.SILENT, "no SSH connection to 10.0.0.22: Connection refused")
IMPAIRED = Answer(Contact.ANSWERS, impaired={names.ServiceName("app"): "no answer\non port 8000"})
APPLICATION = names.TierName("application")


def server(short: str, **facts: Any) -> inventory.Server:
    found = World().server(short)
    return dataclasses.replace(
        found, state=inventory.InstanceState.RUNNING, host_key="ssh-ed25519 AAAA", **facts
    )


def minutes(count: float) -> datetime.datetime:
    return NOW - datetime.timedelta(minutes=count)


def judged(
    answers: Mapping[str, Answer],
    since: Mapping[str, float] | None = None,
    impaired: Mapping[str, str] | None = None,
) -> lost.Findings:
    """What follows where each server was met like that, and is ailing for so many minutes."""
    running = [
        server(each, ailing_since=minutes((since or {})[each]) if each in (since or {}) else None)
        for each in answers
    ]
    met = {names.ServerName(f"bookshop-{short}"): answer for short, answer in answers.items()}
    return lost.judge(KNOWN, running, met, impaired or {}, NOW)


def short(troubles: tuple[lost.Trouble, ...]) -> list[str]:
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


def test_a_stranger_is_neither_well_nor_replaced_and_nor_is_who_lets_nobody_in() -> None:
    found = judged(
        {
            "application-1": Answer(Contact.STRANGER, "the host key is not the one pinned"),
            "application-2": Answer(Contact.REFUSES, "refuses the user"),
        },
        {"application-1": 60, "application-2": 60},
    )
    assert (found.troubles, found.well) == ((), ())
    assert set(found.strangers) == {"bookshop-application-1"}
    assert set(found.refusing) == {"bookshop-application-2"}


def test_where_nobody_answers_it_is_the_way_to_them() -> None:
    everybody = {"application-1": SILENT, "application-2": SILENT}
    since = dict.fromkeys(everybody, 60.0)
    found = judged(everybody, since)
    assert (found.cut_off, found.is_overdue, found.lost) == (True, True, ())
    assert not judged(everybody).is_overdue
    # One server alone has no others to be compared with; and what the cloud itself says is no matter of the way.
    assert short(judged({"application-1": SILENT}, since).lost) == ["application-1"]
    told = {"i-application-1": "the cloud's instance status checks fail"}
    assert len(judged(everybody, since, told).lost) == 2


# --- who is replaced -----------------------------------------------------------------------------------------


def choose(
    findings: lost.Findings,
    *present: inventory.Server,
    named: Named | None = None,
    leaving: tuple[inventory.Server, ...] = (),
    before: replacing.Slots | None = None,
) -> replacing.Choice:
    there = inventory.Inventory(present, leaving)
    return replacing.choose(KNOWN, there, findings, named, before or {})


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
    assert replacing.missing(KNOWN, staying, wanted, choice.slots)[APPLICATION] == (2,)


def test_servers_that_are_gone_are_those_of_the_last_run_that_arrived() -> None:
    assert choose(lost.NOTHING, ONE, before=gone(1, 2, 3)).slots == gone(2, 3)
    # Unless a scaling has said how many there shall be, or has chosen them to leave, or the tier may not be so large.
    assert choose(lost.NOTHING, dataclasses.replace(ONE, wanted=2), before=gone(1, 2, 3)).slots == {}
    assert choose(lost.NOTHING, ONE, TWO, leaving=(THREE,), before=gone(1, 2, 3)).slots == {}
    assert choose(lost.NOTHING, ONE, TWO, before=gone(1, 2, 9)).slots == gone()


def test_a_slot_whose_lost_server_still_leaves_is_filled_by_a_later_run_too() -> None:
    leaving = (dataclasses.replace(TWO, lost="it does not answer"),)
    assert choose(lost.NOTHING, ONE, leaving=leaving).slots == gone(2)
    assert choose(lost.NOTHING, ONE, TWO, leaving=leaving).slots == {}


def test_a_person_names_whom_to_replace_by_name_or_place() -> None:
    silent = judged({"application-1": OK, "application-2": SILENT})
    for word in ("bookshop-application-2", "application-2"):
        choice = choose(silent, ONE, TWO, named=Named((word,)))
        assert list(choice.servers) == ["bookshop-application-2"]
    stopped = dataclasses.replace(TWO, state=inventory.InstanceState.STOPPED)
    choice = choose(lost.NOTHING, ONE, stopped, named=Named(("application-2",)))
    assert choice.servers == {"bookshop-application-2": "its instance is stopped"}
    choice = choose(lost.NOTHING, ONE, named=Named(("application-4",)))
    assert (choice.servers, choice.slots) == ({}, gone(4))


def test_a_server_that_is_well_is_replaced_only_anyway() -> None:
    well = judged({"application-1": OK, "application-2": OK})
    with pytest.raises(replacing.WellError, match="bookshop-application-2: answers"):
        choose(well, ONE, TWO, named=Named(("application-2",)))
    choice = choose(well, ONE, TWO, named=Named(("application-2",), anyway=True))
    assert choice.servers == {"bookshop-application-2": "a person wants it replaced"}


def test_a_stranger_is_replaced_if_a_person_names_it() -> None:
    found = judged({"application-1": OK, "application-2": Answer(Contact.STRANGER, "another host key")})
    assert choose(found, ONE, TWO).servers == {}
    choice = choose(found, ONE, TWO, named=Named(("application-2",)))
    assert choice.servers == {"bookshop-application-2": "another host key"}


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(replacing.UnknownServerError, match="did you mean 'application-2'"):
        choose(lost.NOTHING, ONE, TWO, named=Named(("aplication-2",)))
    with pytest.raises(replacing.UnknownServerError):
        choose(lost.NOTHING, ONE, TWO, named=Named(("application-7",)))


def test_where_nobody_answers_a_person_has_to_say_who_is_lost() -> None:
    everybody = {"application-1": SILENT, "application-2": SILENT}
    found = judged(everybody, dict.fromkeys(everybody, 9.0))
    with pytest.raises(replacing.NobodyAnswersError, match="the way to them"):
        choose(found, ONE, TWO)
    # As long as there is time, a launch waits for them.
    assert choose(judged(everybody), ONE, TWO).servers == {}
    assert list(choose(found, ONE, TWO, named=Named(("application-1",))).servers) == [
        "bookshop-application-1"
    ]


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
