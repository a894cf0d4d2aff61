"""Detection of lost servers from the cloud's status, a check over SSH and the services' checks, over time.

Changes nothing. Used by a launch's `find_lost`, by the watch and by `gantry plan`.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence

from gantry import inventory, names
from gantry.agent import reachability
from gantry.cloud import health, servers
from gantry.credentials import connections
from gantry.definition import models
from gantry.inventory import InstanceState, Server
from gantry.reconcile import step_run

SILENCE = "it does not answer"
"""The beginning of the message about a silent server."""

_LEAST_GAP = datetime.timedelta(minutes=10)
"""Checks at most this far apart count as consecutive, however short a tier's `recovery_delay` is: this leaves a person
time to look at the first error and to run the launch again."""

_DELAYS = 3
"""Checks count as consecutive if they are at most this many `recovery_delay`s apart."""

_SLACK = datetime.timedelta(minutes=1)
"""Tolerance: a check of the watch is delayed by the duration of the previous one."""


@dataclasses.dataclass(frozen=True)
class UnhealthyServer:
    """A server that is not healthy.

    Attributes:
        what: what is wrong with it, for people.
        looks: the number of consecutive checks that found it so, including this one if it counts.
        due: when it counts as lost.
        is_proven: whether this check counts: it found more than silence, or other servers proved that the network path
            works.
        was_so_before: whether earlier checks found it so, too long ago to count.
    """

    server: Server
    what: str
    looks: inventory.Ailing
    due: datetime.datetime
    is_proven: bool = True
    was_so_before: bool = False

    def __str__(self) -> str:
        return f"{self.what}, since {told(self.looks.since)}"

    @property
    def outlook(self) -> str:
        """Describe what happens next with the server, for people."""
        if self.is_proven:
            return f"it counts as lost if a check from {told(self.due)} on finds the same"
        return "it does not count as lost: no other server shows that the network path works"


@dataclasses.dataclass(frozen=True)
class HealthReport:
    """The health of a deployment's servers.

    Attributes:
        lost: servers to be replaced.
        ailing: servers that are unhealthy, but not lost.
        well: servers that have shown that they are there. Earlier findings about them are obsolete.
        key_mismatches: servers where another SSH server answers; replaced only on request.
        refusing: servers that answer and refuse the login; neither healthy nor lost.
        busy: servers that accept connections and close them; neither healthy nor lost.
        unreached: servers that were not checked, as something prevented it; their state is unknown.
        cut_off: whether servers are silent and none proves that the network path works. Then silence does not count as
            a loss: it may be the network.
        is_overdue: whether one of those has been silent for its `recovery_delay`.
    """

    lost: tuple[UnhealthyServer, ...] = ()
    ailing: tuple[UnhealthyServer, ...] = ()
    well: tuple[Server, ...] = ()
    key_mismatches: Mapping[names.ServerName, str] = dataclasses.field(default_factory=dict)
    refusing: Mapping[names.ServerName, str] = dataclasses.field(default_factory=dict)
    busy: Mapping[names.ServerName, str] = dataclasses.field(default_factory=dict)
    unreached: Mapping[names.ServerName, str] = dataclasses.field(default_factory=dict)
    cut_off: bool = False
    is_overdue: bool = False

    @property
    def troubles(self) -> tuple[UnhealthyServer, ...]:
        """Return all servers that are unhealthy."""
        return (*self.lost, *self.ailing)

    def of(self, name: names.ServerName) -> str | None:
        """Return what is wrong with a server, or None: a busy or unreached one may be healthy."""
        for each in self.troubles:
            if each.server.name == name:
                return str(each)
        return self.key_mismatches.get(name) or self.refusing.get(name)


NOTHING = HealthReport()
"""The report when no servers were checked."""


def told(moment: datetime.datetime) -> str:
    """Format a time, for people."""
    return f"{moment.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"


def examine(
    definition: models.Definition, found: inventory.Inventory, cloud: servers.Servers, checks: health.Health
) -> HealthReport:
    """Check the servers' health now, all in parallel.

    Stopped and starting servers are not checked: a launch resumes the former and waits for the latter.

    Raises:
        ConnectionFactError, UnknownConnectionError, UnusableKeyError: no server can be logged in to.
        CloudError: the cloud refused.
    """
    running = running_of(definition, found)
    if not running:
        return HealthReport()
    impaired = checks.impaired(running)
    answers = meet(definition, running, cloud)
    return judge(definition, running, answers, impaired, datetime.datetime.now(tz=datetime.UTC))


def running_of(definition: models.Definition, found: Iterable[Server]) -> list[Server]:
    """Return the servers that can be checked."""
    return [each for each in found if each.state is InstanceState.RUNNING and each.tier in definition.tiers]


def meet(
    definition: models.Definition, running: Iterable[Server], cloud: servers.Servers
) -> dict[names.ServerName, reachability.ServerAnswer]:
    """Return how running servers answer, and the result of the checks that count for their tiers.

    Raises as `examine`.
    """
    calls, answers = [], {}
    for server in running:
        try:
            calls.append(_call(definition, server, cloud))
        except servers.LostServerError:
            # Never greeted, and without output on its console: it has not come up.
            answers[server.name] = reachability.ServerAnswer(
                reachability.Contact.SILENT, "its console has no host key", by_cloud=True
            )
        except servers.NoAddressError as error:
            answers[server.name] = reachability.ServerAnswer(
                reachability.Contact.UNREACHED, error.failure.headline
            )
    return answers | reachability.call(calls)


def _call(definition: models.Definition, server: Server, cloud: servers.Servers) -> reachability.ServerProbe:
    if server.host_key is None:
        server = dataclasses.replace(server, host_key=cloud.console_host_key(server))
    tier = definition.tiers[server.tier]
    checked = definition.services_of(server.tier) if tier.replace_impaired else {}
    access = connections.access(definition.launch_configuration_of(server.tier).ssh)
    return reachability.ServerProbe(step_run.target(server, server.name), access, checked)


def judge(
    definition: models.Definition,
    running: Sequence[Server],
    answers: Mapping[names.ServerName, reachability.ServerAnswer],
    impaired: Mapping[str, str],
    now: datetime.datetime,
) -> HealthReport:
    """Judge the servers' health from this check and the recorded earlier ones.

    A server is lost if this check finds it unhealthy, and the consecutive checks with that result began at least its
    tier's `recovery_delay` ago. Silence counts only if another server proves that the network path works.

    Args:
        definition: sets how long a tier's servers have to come back.
        running: the servers that were checked.
        answers: how each of them answered.
        impaired: the failures of the cloud's checks, by instance.
        now: the time of the check.
    """
    troubles = []
    well = []
    sick = _sick(definition, running, answers, impaired)
    works = way_works(answers[each.name] for each in running)
    for server in running:
        answer = answers[server.name]
        wrong = [*_wrong(definition, answer, sick), *_of(impaired, server.instance_id)]
        if wrong:
            is_silent = (
                answer.contact is reachability.Contact.SILENT
                and not answer.by_cloud
                and server.instance_id not in impaired
            )
            is_proven = works or not is_silent
            looks = _looks(definition, server, now, is_proven=is_proven)
            due = looks.since + definition.tiers[server.tier].recovery_delay
            begins = is_proven and looks.since == now
            was_so_before = begins and server.ailing is not None and not server.ailing.unproven
            troubles.append(UnhealthyServer(server, "; ".join(wrong), looks, due, is_proven, was_so_before))
        elif answer.contact is not reachability.Contact.UNREACHED and not answer.impaired:
            well.append(server)
    lost = tuple(each for each in troubles if each.is_proven and each.due <= now)
    return HealthReport(
        lost=lost,
        ailing=tuple(each for each in troubles if each not in lost),
        well=tuple(well),
        key_mismatches=_met(running, answers, reachability.Contact.STRANGER),
        refusing=_met(running, answers, reachability.Contact.REFUSES),
        busy=_met(running, answers, reachability.Contact.BUSY),
        unreached=_met(running, answers, reachability.Contact.UNREACHED),
        cut_off=not all(each.is_proven for each in troubles),
        is_overdue=any(not each.is_proven and each.due <= now for each in troubles),
    )


def way_works(answers: Iterable[reachability.ServerAnswer]) -> bool:
    """Return whether a verified server was reached: then the silence of another is not caused by the network."""
    return any(
        each.contact in (reachability.Contact.ANSWERS, reachability.Contact.REFUSES) for each in answers
    )


def _looks(
    definition: models.Definition, server: Server, now: datetime.datetime, *, is_proven: bool
) -> inventory.Ailing:
    """Return the consecutive checks that found a server unhealthy, up to this one.

    Earlier ones count only if they are consecutive: a server's state within a gap of weeks is unknown. They do not
    count if its instance was started since.
    """
    before = server.ailing
    follows = (
        before is not None
        and abs(now - before.seen) <= longest_gap(definition, server.tier)
        and before.since >= server.launched_at
    )
    if before is None or not follows or (is_proven and before.unproven):
        return inventory.Ailing(now, now, unproven=not is_proven)
    # A check that may only have met a network failure adds nothing about a server that was proven unhealthy.
    return before if not is_proven and not before.unproven else dataclasses.replace(before, seen=now)


def longest_gap(definition: models.Definition, tier: names.TierName) -> datetime.timedelta:
    """Return the maximum time between two checks of a tier's servers that still count as consecutive."""
    gap = max(_LEAST_GAP, _DELAYS * definition.tiers[tier].recovery_delay)
    if definition.watch is None:
        return gap
    return max(gap, 2 * definition.watch.every + _SLACK)


_MAYBE_DOWN = (reachability.Contact.SILENT, reachability.Contact.UNREACHED)


def _sick(
    definition: models.Definition,
    running: Sequence[Server],
    answers: Mapping[names.ServerName, reachability.ServerAnswer],
    impaired: Mapping[str, str],
) -> frozenset[names.ServiceName]:
    """Return the services with an unhealthy server, or with none running: their dependents cannot be healthy."""
    healthy = {each.tier for each in running}
    for server in running:
        if answers[server.name].contact in _MAYBE_DOWN or server.instance_id in impaired:
            healthy.discard(server.tier)
    told = {name for each in answers.values() for name in each.impaired}
    return frozenset(
        name for name, each in definition.services.items() if name in told or each.tier not in healthy
    )


def _wrong(
    definition: models.Definition, answer: reachability.ServerAnswer, sick: frozenset[names.ServiceName]
) -> Iterator[str]:
    if answer.contact is reachability.Contact.SILENT:
        yield f"{SILENCE} ({answer.said})"
    for name in answer.impaired:
        # Otherwise the loss of a database would cost all servers that need it.
        if sick.isdisjoint(_needs(definition, name)):
            # Not the check's output: this text goes to places without masking, and the output may contain anything.
            yield f"service {name} is IMPAIRED: its check does not say OK"


def _needs(definition: models.Definition, service: names.ServiceName) -> Iterator[names.ServiceName]:
    """Yield the services that a service depends on, directly or not. A checked definition has no cycle."""
    for each in definition.services[service].depends_on:
        yield each.service
        yield from _needs(definition, each.service)


def _of(impaired: Mapping[str, str], instance: str) -> Iterator[str]:
    if instance in impaired:
        yield impaired[instance]


def _met(
    running: Sequence[Server],
    answers: Mapping[names.ServerName, reachability.ServerAnswer],
    how: reachability.Contact,
) -> dict[names.ServerName, str]:
    return {each.name: answers[each.name].said for each in running if answers[each.name].contact is how}
