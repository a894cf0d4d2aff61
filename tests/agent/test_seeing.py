"""What a look finds on a server: whether it answers, and how busy it is."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from gantry import names
from gantry.agent import metrics
from gantry.agent.reachability import Contact

from .machines import Machine, login, new_key

pytestmark = pytest.mark.docker

SERVICE = names.ServiceId("a4009")
MEASURE = f"/mnt/services/{SERVICE}/bin/enstratus-measure"


def look(
    machine: Machine, question: metrics.Question | None = None, **access: object
) -> metrics.MetricsResult:
    reached = dataclasses.replace(machine.access, **access)  # type: ignore[arg-type]
    (seen,) = asyncio.run(metrics.look([metrics.MetricsRequest(machine.target, reached, question)]))
    return seen


def counters(machine: Machine) -> metrics.Counters:
    seen = look(machine, metrics.Question())
    assert seen.answer is Contact.ANSWERS
    assert seen.cpu is not None, seen
    return seen.cpu


def test_what_a_server_has_worked_is_counted_and_what_others_work_is_not(machine: Machine) -> None:
    # A process that works for three seconds of processor time, whatever else works on this machine, and however long
    # that takes. A share of the time that passes would depend on both.
    worked = 3_000
    start = counters(machine)
    idle = counters(machine)
    machine.sh("bash -c 'ulimit -t 3; while :; do :; done' 2>/dev/null || true")
    end = counters(machine)
    print(f"a look costs {idle.busy - start.busy} ms, burning is seen as {end.busy - idle.busy} ms")
    assert idle.busy - start.busy < worked / 3
    # The kernel's limit counts in ticks, which on a busy machine may be some tenths off.
    assert worked / 2 < end.busy - idle.busy < worked * 1.5
    assert end.percent(idle) == 100 * (end.busy - idle.busy) / (end.possible - idle.possible)


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
