"""What a look finds on a server: whether it answers, and how busy it is."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from gantry import names
from gantry.agent import metrics
from gantry.agent.reachability import Contact
from gantry.local.cloud import inspect_servers

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


BURN = 'while read -r ns _ </proc/$$/schedstat && [ "$ns" -lt 2000000000 ]; do :; done; echo "$ns"'
"""Works for two seconds of processor time by the kernel's own count, and says how many nanoseconds it were. A limit of
processor time (`ulimit -t`) counts in ticks, which on a busy machine are up to half of it too many."""


def test_what_a_server_has_worked_is_counted_and_what_others_work_is_not(machine: Machine) -> None:
    # Whatever else works on this machine, and however long it takes: a share of the time would depend on both.
    start = counters(machine)
    idle = counters(machine)
    # By Docker, so that it counts as the container's own.
    worked = int(inspect_servers.run(machine.container, f"bash -c '{BURN}'").out) / 1_000_000
    end = counters(machine)
    print(f"a look costs {idle.busy - start.busy} ms, {worked:.0f} ms are seen as {end.busy - idle.busy} ms")
    assert idle.busy - start.busy < 1_000
    assert worked * 0.9 < end.busy - idle.busy < worked + 1_000
    share = 100 * (end.busy - idle.busy) / (end.possible - idle.possible)
    assert end.percent(idle) == pytest.approx(share)


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
