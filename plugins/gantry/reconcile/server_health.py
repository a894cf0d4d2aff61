"""Which servers are lost: what the cloud, a look over SSH and the services' checks say of them, and for how long.

Nothing is changed here. A launch's `find_lost`, the watch and `gantry plan` all ask the same.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence

from gantry import errors, inventory, names
from gantry.agent import reachability
from gantry.cloud import health, servers
from gantry.credentials import connections
from gantry.definition import models
from gantry.inventory import InstanceState, Server
from gantry.reconcile import step_run

SILENCE = "it does not answer"
"""What is said first of a server that is silent."""

_LEAST_GAP = datetime.timedelta(minutes=10)
"""Looks that are no further apart than that follow each other, however short a tier's `recovery_delay` is: so a person
has time to look at the first error and run the launch again."""

_DELAYS = 3
"""Looks that are no further apart than so many times the `recovery_delay` follow each other."""

_SLACK = datetime.timedelta(minutes=1)
"""A look of the watch comes late by what the one before it has taken."""


@dataclasses.dataclass(frozen=True)
class UnhealthyServer:
    """A server that is not well.

    Attributes:
        what: what is wrong with it, for a person.
        looks: those in a row that have found it so, this one included if it counts.
        due: when it counts as lost.
        is_proven: whether this look counts: it was not silence alone, or others have shown that the way works.
        was_so_before: whether looks have found it so before, which are too long ago to count.
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
        """What becomes of it, for a person."""
        if self.is_proven:
            return f"it counts as lost if a look from {told(self.due)} on finds it so too"
        return "it is not taken for lost: no other server shows that the way to it works"


@dataclasses.dataclass(frozen=True)
class HealthReport:
    """How a deployment's servers are.

    Attributes:
        lost: those that are to be replaced.
        ailing: those that are not well, and not lost either.
        well: those that have shown that they are there. What looks before have noted of them is over.
        strangers: where another SSH server answers; never replaced unless a person says so.
        refusing: those that answer and let nobody in; neither well nor lost.
        busy: those that take connections and close them; neither well nor lost.
        unreached: those that were not asked, as something was in the way; nothing is known of them.
        cut_off: whether servers are silent, and not one shows that the way works. Then silence is no loss: it may be
            the way to them.
        is_overdue: whether any of those has been silent for its `recovery_delay`.
    """

    lost: tuple[UnhealthyServer, ...] = ()
    ailing: tuple[UnhealthyServer, ...] = ()
    well: tuple[Server, ...] = ()
    strangers: Mapping[names.ServerName, str] = dataclasses.field(default_factory=dict)
    refusing: Mapping[names.ServerName, str] = dataclasses.field(default_factory=dict)
    busy: Mapping[names.ServerName, str] = dataclasses.field(default_factory=dict)
    unreached: Mapping[names.ServerName, str] = dataclasses.field(default_factory=dict)
    cut_off: bool = False
    is_overdue: bool = False

    @property
    def troubles(self) -> tuple[UnhealthyServer, ...]:
        """All servers that are not well."""
        return (*self.lost, *self.ailing)

    def of(self, name: names.ServerName) -> str | None:
        """What is wrong with a server, or None: one that is busy, or was not reached, may well be well."""
        for each in self.troubles:
            if each.server.name == name:
                return str(each)
        return self.strangers.get(name) or self.refusing.get(name)


NOTHING = HealthReport()
"""Of servers that nobody has looked at."""


def told(moment: datetime.datetime) -> str:
    """A moment, for a person."""
    return f"{moment.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"


def examine(
    definition: models.Definition, found: inventory.Inventory, cloud: servers.Servers, checks: health.Health
) -> HealthReport:
    """How the servers are now, all of them asked side by side.

    Those that are stopped or just being started are not asked: a launch resumes the ones and waits for the others.

    Raises:
        ConnectionFactError, UnknownConnectionError, UnusableKeyError: nobody can log in anywhere.
        CloudError: the cloud refused.
    """
    running = running_of(definition, found)
    if not running:
        return HealthReport()
    impaired = checks.impaired(running)
    answers = meet(definition, running, cloud)
    return judge(definition, running, answers, impaired, datetime.datetime.now(tz=datetime.UTC))


def running_of(definition: models.Definition, found: Iterable[Server]) -> list[Server]:
    """Those of some servers that can be looked at."""
    return [each for each in found if each.state is InstanceState.RUNNING and each.tier in definition.tiers]


def meet(
    definition: models.Definition, running: Iterable[Server], cloud: servers.Servers
) -> dict[names.ServerName, reachability.ServerAnswer]:
    """How servers that run are met, and what the checks say that count for their tiers. Raises as `examine`."""
    calls, answers = [], {}
    for server in running:
        try:
            calls.append(_call(definition, server, cloud))
        except servers.LostServerError:
            # It has never been greeted, and has not said anything on its console either: it has not come up.
            answers[server.name] = reachability.ServerAnswer(
                reachability.Contact.SILENT, "it has shown no host key on its console", by_cloud=True
            )
        except servers.NoAddressError as error:
            answers[server.name] = reachability.ServerAnswer(reachability.Contact.UNREACHED, _line(error))
    return answers | reachability.call(calls)


def _call(definition: models.Definition, server: Server, cloud: servers.Servers) -> reachability.ServerProbe:
    if server.host_key is None:
        server = dataclasses.replace(server, host_key=cloud.console_host_key(server))
    tier = definition.tiers[server.tier]
    checked = definition.services_of(server.tier) if tier.replace_impaired else {}
    access = connections.access(definition.launch_configuration_of(server.tier).ssh)
    return reachability.ServerProbe(step_run.target(server, server.name), access, checked)


def _line(error: errors.GantryError) -> str:
    return str(error).partition("\n")[0]


def judge(
    definition: models.Definition,
    running: Sequence[Server],
    answers: Mapping[names.ServerName, reachability.ServerAnswer],
    impaired: Mapping[str, str],
    now: datetime.datetime,
) -> HealthReport:
    """What follows from what was seen, and from what looks before have noted.

    A server is lost if this look has found it not well, and the looks in a row that have, began at least its tier's
    `recovery_delay` ago. Silence counts only where another server has shown that the way works.

    Args:
        definition: says how long a tier's servers have.
        running: the servers that were looked at.
        answers: how each was met.
        impaired: what the cloud's checks say is wrong, by instance.
        now: the moment of the look.
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
        strangers=_met(running, answers, reachability.Contact.STRANGER),
        refusing=_met(running, answers, reachability.Contact.REFUSES),
        busy=_met(running, answers, reachability.Contact.BUSY),
        unreached=_met(running, answers, reachability.Contact.UNREACHED),
        cut_off=not all(each.is_proven for each in troubles),
        is_overdue=any(not each.is_proven and each.due <= now for each in troubles),
    )


def way_works(answers: Iterable[reachability.ServerAnswer]) -> bool:
    """Whether a server that has proven who it is has been reached. Then silence of another is not the network's."""
    return any(
        each.contact in (reachability.Contact.ANSWERS, reachability.Contact.REFUSES) for each in answers
    )


def _looks(
    definition: models.Definition, server: Server, now: datetime.datetime, *, is_proven: bool
) -> inventory.Ailing:
    """The looks in a row that have found a server not well, up to this one.

    Those before count only if they follow each other: nobody knows how the server was in a gap of weeks. Nor do they if
    its instance has been started since.
    """
    before = server.ailing
    follows = (
        before is not None
        and abs(now - before.seen) <= longest_gap(definition, server.tier)
        and before.since >= server.launched_at
    )
    if before is None or not follows or (is_proven and before.unproven):
        return inventory.Ailing(now, now, unproven=not is_proven)
    # A look that may have seen the way alone says nothing new of a server that was found not well for certain.
    return before if not is_proven and not before.unproven else dataclasses.replace(before, seen=now)


def longest_gap(definition: models.Definition, tier: names.TierName) -> datetime.timedelta:
    """How far apart two looks at a tier's servers may be and follow each other all the same."""
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
    """The services of which a server is not well, or that run nowhere: what depends on them cannot be well."""
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
        # Otherwise a lost database would cost all servers that need it.
        if sick.isdisjoint(_needs(definition, name)):
            # Not what it says: that goes to places where nothing is masked, and it may be anything.
            yield f"service {name} is IMPAIRED: its check does not say OK"


def _needs(definition: models.Definition, service: names.ServiceName) -> Iterator[names.ServiceName]:
    """The services that a service depends on, and what those depend on. A checked definition has no circle."""
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
