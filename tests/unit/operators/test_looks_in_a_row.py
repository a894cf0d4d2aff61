"""Looks at a server over days, in random order, against the rule as it is written down."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import random

import pytest

from gantry import definition, inventory, names
from gantry.agent.reachability import Contact, ServerAnswer
from gantry.cloud import tags
from gantry.reconcile import server_health
from tests.unit.agent.world import DEFINITION, World

BEGIN = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
OTHER, SERVER = names.ServerName("bookshop-application-1"), names.ServerName("bookshop-application-2")
BAD, GOOD, NOTHING = "bad", "good", "nothing"

KINDS = {
    # How the server and another one are met, whether the cloud says that it is impaired, and what that is worth.
    (Contact.SILENT, Contact.ANSWERS, False): BAD,
    (Contact.SILENT, Contact.REFUSES, False): BAD,
    (Contact.SILENT, Contact.SILENT, True): BAD,
    (Contact.ANSWERS, Contact.ANSWERS, True): BAD,
    (Contact.ANSWERS, Contact.ANSWERS, False): GOOD,
    (Contact.ANSWERS, Contact.SILENT, False): GOOD,
    (Contact.REFUSES, Contact.ANSWERS, False): GOOD,
    (Contact.BUSY, Contact.ANSWERS, False): GOOD,
    (Contact.STRANGER, Contact.ANSWERS, False): GOOD,
    (Contact.UNREACHED, Contact.ANSWERS, False): NOTHING,
    (Contact.SILENT, Contact.SILENT, False): NOTHING,
    (Contact.SILENT, Contact.UNREACHED, False): NOTHING,
    (Contact.SILENT, Contact.STRANGER, False): NOTHING,
}
PAUSES = (0.2, 1, 2, 4, 9, 14, 16, 60, 60 * 24 * 20)
"""Minutes from one look to the next."""

KNOWN = definition.loads(DEFINITION)
DELAY, GAP = datetime.timedelta(minutes=5), datetime.timedelta(minutes=15)


@dataclasses.dataclass
class Observed:
    """A deployment of two servers; the cloud keeps what looks note, as text."""

    tag: str | None = None

    def look(self, now: datetime.datetime, kind: tuple[Contact, Contact, bool]) -> bool:
        """Look, and note what is to be noted; whether the server is lost."""
        seen, other, impaired = kind
        up = {
            short: dataclasses.replace(
                World().server(short), state=inventory.InstanceState.RUNNING, host_key="ssh-ed25519 AAAA"
            )
            for short in ("application-1", "application-2")
        }
        server = dataclasses.replace(up["application-2"], ailing=self._read())
        found = server_health.judge(
            KNOWN,
            [up["application-1"], server],
            {OTHER: ServerAnswer(other, "why"), SERVER: ServerAnswer(seen, "why")},
            {server.instance_id: "its checks fail"} if impaired else {},
            now,
        )
        for each in found.troubles:
            if each.server.name == SERVER:
                self.tag = tags.ailing_value(each.looks)
        if SERVER in [each.name for each in found.well]:
            self.tag = None
        return SERVER in [each.server.name for each in found.lost]

    def _read(self) -> inventory.Ailing | None:
        if self.tag is None:
            return None
        instance = {
            "InstanceId": "i-2",
            "ImageId": "ami-1",
            "State": {"Name": "running"},
            "LaunchTime": BEGIN,
            "Tags": [
                {"Key": tags.DEPLOYMENT, "Value": "bookshop"},
                {"Key": tags.TIER, "Value": "application"},
                {"Key": tags.SLOTS, "Value": "2"},
                {"Key": tags.AILING, "Value": self.tag},
            ],
        }
        return tags.server(KNOWN, instance).ailing  # type: ignore[arg-type]


def is_lost(looks: list[tuple[datetime.datetime, str]]) -> bool:
    """The rule: of looks that follow each other, and none of which was good, the first was a delay ago."""
    now, last = looks[-1]
    if last != BAD:
        return False
    first = now
    for moment, worth in reversed(looks[:-1]):
        if worth == GOOD or first - moment > GAP:
            break
        if worth == BAD:
            first = moment
    return now - first >= DELAY


@pytest.mark.parametrize("seed", range(8))
def test_a_server_is_lost_exactly_when_the_rule_says_so(seed: int) -> None:
    dice = random.Random(seed)
    met = {True: 0, False: 0}
    for _ in range(40):
        server, now, looks = Observed(), BEGIN, []
        # A few kinds and pauses at a time: of all at once, hardly any follow each other.
        kinds = dice.sample(list(KINDS), 3)
        pauses = dice.sample(PAUSES, 3)
        for _ in range(12):
            now += datetime.timedelta(minutes=dice.choice(pauses))
            kind = dice.choice(kinds)
            looks.append((now, KINDS[kind]))
            found = server.look(now, kind)
            assert found == is_lost(looks), (seed, looks, server.tag)
            met[found] += 1
    assert min(met.values()) > 10, "the dice have shown both"


def test_a_reboot_after_a_note_of_last_month_is_no_loss() -> None:
    server = Observed()
    silent = (Contact.SILENT, Contact.ANSWERS, False)
    assert not server.look(BEGIN, silent)
    rebooting = BEGIN + datetime.timedelta(days=30)
    for seconds in (0, 20, 45):
        assert not server.look(rebooting + datetime.timedelta(seconds=seconds), silent)
    # If it does not come back, it is lost all the same.
    later = [rebooting + datetime.timedelta(minutes=each) for each in (2, 4, 6)]
    assert [server.look(each, silent) for each in later] == [False, False, True]


def test_every_way_that_a_server_can_be_met_is_among_them() -> None:
    assert {kind[0] for kind in KINDS} == set(Contact)
    assert all(later > earlier for earlier, later in itertools.pairwise(PAUSES))
