"""What a look finds on a server: whether it answers, and how busy it is."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import pytest

from gantry import names
from gantry.agent import metrics
from gantry.agent.reachability import Contact

from .machines import Machine, login, new_key

pytestmark = pytest.mark.docker

SERVICE = names.ServiceId("a4009")
MEASURE = f"/mnt/services/{SERVICE}/bin/enstratus-measure"


def look(machine: Machine, question: metrics.Question | None = None, **access: object) -> metrics.Seen:
    reached = dataclasses.replace(machine.access, **access)  # type: ignore[arg-type]
    (seen,) = asyncio.run(metrics.look([metrics.Visit(machine.target, reached, question)]))
    return seen


def counters(machine: Machine) -> metrics.Counters:
    seen = look(machine, metrics.Question())
    assert seen.answer is Contact.ANSWERS
    assert seen.cpu is not None, seen
    return seen.cpu


def percent(machine: Machine, milliseconds: int) -> float:
    """How busy it was while it could have worked for so long."""
    before = after = counters(machine)
    deadline = time.monotonic() + 120
    while after.possible - before.possible < milliseconds:
        assert time.monotonic() < deadline
        after = counters(machine)
    found = after.percent(before)
    assert found is not None
    return found


def test_a_server_that_burns_its_processors_is_told_from_one_that_sleeps(machine: Machine) -> None:
    asleep = percent(machine, 4_000)
    # Several, because others burn processors of this machine as well: it is the container's own share that counts.
    burners = machine.sh("for _ in 1 2 3 4; do (while :; do :; done) >/dev/null 2>&1 & echo $!; done").split()
    try:
        burning = percent(machine, 8_000)
    finally:
        machine.sh(f"kill {' '.join(burners)}")
    print(f"asleep {asleep:.1f} %, burning {burning:.1f} %")
    assert asleep < burning - 5


def test_a_service_says_its_number_and_what_is_wrong_with_it_otherwise(machine: Machine) -> None:
    machine.sh(f"mkdir -p {MEASURE.rpartition('/')[0]}")
    question = metrics.Question(SERVICE)
    assert look(machine, question).unmeasured.endswith("has no bin/enstratus-measure")
    for body, number, why in (
        ("echo 12.5", 12.5, ""),
        ('echo " 7 "', 7.0, ""),
        ("echo high", None, "enstratus-measure has printed no number, but 'high'"),
        ("exit 3", None, "enstratus-measure ended with exit code 3"),
    ):
        machine.sh(f"printf '#!/bin/sh\\n{body}\\n' >{MEASURE}; chmod 755 {MEASURE}")
        seen = look(machine, question)
        assert (seen.answer, seen.number) == (Contact.ANSWERS, number)
        assert seen.unmeasured.endswith(why)


def test_who_refuses_is_not_silent(machine: Machine) -> None:
    refused = look(machine, login=login(new_key(), machine.access.login.user))
    assert refused.answer is Contact.REFUSES
    assert "refuses the user" in refused.why


def test_no_look_leaves_a_line_in_the_journal(machine: Machine) -> None:
    # Where nobody has run a script yet, there is no journal either.
    journal = "cat /enstratus/ws/log/agent.log 2>/dev/null || true"
    before = machine.sh(journal)
    counters(machine)
    look(machine, metrics.Question(SERVICE))
    assert machine.sh(journal) == before
