"""Which servers are lost: what the cloud, a look over SSH and the services' checks say of them, and for how long.

Nothing is changed here. A launch's `find_lost`, the watch and `gantry plan` all ask the same.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence

from gantry import errors, inventory, names
from gantry.agent import contact
from gantry.cloud import health, servers
from gantry.definition import models
from gantry.inventory import InstanceState, Server
from gantry.operators import connections
from gantry.operators import run as runs


@dataclasses.dataclass(frozen=True)
class Trouble:
    """A server that is not well.

    Attributes:
        what: what is wrong with it, for a person.
        since: since when that is known.
        due: when it counts as lost.
        is_silent: whether nothing but its silence says so.
    """

    server: Server
    what: str
    since: datetime.datetime
    due: datetime.datetime
    is_silent: bool = False

    def __str__(self) -> str:
        return f"{self.what}, since {told(self.since)}"


@dataclasses.dataclass(frozen=True)
class Findings:
    """How a deployment's servers are.

    Attributes:
        lost: those that are to be replaced.
        ailing: those that are not well, and have time left.
        well: those that answered, and of which nobody says anything bad.
        strangers: where somebody else answers than the server; never replaced unless a person says so.
        refusing: those that answer and let nobody in; neither well nor lost.
        cut_off: whether not one of several servers answers. Then none is lost: it is more likely the way to them.
        is_overdue: whether any of them has no time left.
    """

    lost: tuple[Trouble, ...] = ()
    ailing: tuple[Trouble, ...] = ()
    well: tuple[Server, ...] = ()
    strangers: Mapping[names.ServerName, str] = dataclasses.field(default_factory=dict)
    refusing: Mapping[names.ServerName, str] = dataclasses.field(default_factory=dict)
    cut_off: bool = False
    is_overdue: bool = False

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """All servers that are not well."""
        return (*self.lost, *self.ailing)

    def of(self, name: names.ServerName) -> str | None:
        """What is wrong with a server, or None."""
        for each in self.troubles:
            if each.server.name == name:
                return str(each)
        return self.strangers.get(name) or self.refusing.get(name)


NOTHING = Findings()
"""Of servers that nobody has looked at."""


def told(moment: datetime.datetime) -> str:
    """A moment, for a person."""
    return f"{moment.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"


def examine(
    definition: models.Definition, found: inventory.Inventory, cloud: servers.Servers, checks: health.Health
) -> Findings:
    """How the servers are now, all of them asked side by side.

    Those that are stopped or just being started are not asked: a launch resumes the ones and waits for the others.

    Raises:
        ConnectionFactError, UnknownConnectionError, UnusableKeyError: nobody can log in anywhere.
        CloudError: the cloud refused.
    """
    running = [
        each for each in found if each.state is InstanceState.RUNNING and each.tier in definition.tiers
    ]
    if not running:
        return Findings()
    impaired = checks.impaired(running)
    answers = meet(definition, running, cloud)
    return judge(definition, running, answers, impaired, datetime.datetime.now(tz=datetime.UTC))


def meet(
    definition: models.Definition, running: Iterable[Server], cloud: servers.Servers
) -> dict[names.ServerName, contact.Answer]:
    """How servers that run are met, and what the checks say that count for their tiers. Raises as `examine`."""
    calls, answers = [], {}
    for server in running:
        try:
            calls.append(_call(definition, server, cloud))
        except (servers.LostServerError, servers.NoAddressError) as error:
            # One that has never been greeted, and has not said anything on its console either.
            reason = "it has shown no host key on its console" if server.host_key is None else _line(error)
            answers[server.name] = contact.Answer(contact.Contact.SILENT, reason)
    return answers | contact.call(calls)


def _call(definition: models.Definition, server: Server, cloud: servers.Servers) -> contact.Call:
    if server.host_key is None:
        server = dataclasses.replace(server, host_key=cloud.console_host_key(server))
    tier = definition.tiers[server.tier]
    checked = definition.services_of(server.tier) if tier.replace_impaired else {}
    access = connections.access(definition.launch_configuration_of(server.tier).ssh)
    return contact.Call(runs.target(server, server.name), access, checked)


def _line(error: errors.GantryError) -> str:
    return str(error).partition("\n")[0]


def judge(
    definition: models.Definition,
    running: Sequence[Server],
    answers: Mapping[names.ServerName, contact.Answer],
    impaired: Mapping[str, str],
    now: datetime.datetime,
) -> Findings:
    """What follows from what was seen.

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
    for server in running:
        answer = answers[server.name]
        wrong = [*_wrong(definition, answer, sick), *_of(impaired, server.instance_id)]
        if wrong:
            since = server.ailing_since or now
            troubles.append(
                Trouble(
                    server,
                    "; ".join(wrong),
                    since,
                    since + definition.tiers[server.tier].recovery_delay,
                    is_silent=answer.contact is contact.Contact.SILENT and server.instance_id not in impaired,
                )
            )
        elif answer.contact is contact.Contact.ANSWERS and not answer.impaired:
            well.append(server)
    cut_off = len(running) > 1 and all(
        any(each.server == server and each.is_silent for each in troubles) for server in running
    )
    lost = () if cut_off else tuple(each for each in troubles if each.due <= now)
    return Findings(
        lost=lost,
        ailing=tuple(each for each in troubles if each not in lost),
        well=tuple(well),
        strangers=_met(running, answers, contact.Contact.STRANGER),
        refusing=_met(running, answers, contact.Contact.REFUSES),
        cut_off=cut_off,
        is_overdue=any(each.due <= now for each in troubles),
    )


def _sick(
    definition: models.Definition,
    running: Sequence[Server],
    answers: Mapping[names.ServerName, contact.Answer],
    impaired: Mapping[str, str],
) -> frozenset[names.ServiceName]:
    """The services of which a server is not well, or that run nowhere: what depends on them cannot be well."""
    healthy = {each.tier for each in running}
    for server in running:
        if answers[server.name].contact is contact.Contact.SILENT or server.instance_id in impaired:
            healthy.discard(server.tier)
    told = {name for each in answers.values() for name in each.impaired}
    return frozenset(
        name for name, each in definition.services.items() if name in told or each.tier not in healthy
    )


def _wrong(
    definition: models.Definition, answer: contact.Answer, sick: frozenset[names.ServiceName]
) -> Iterator[str]:
    if answer.contact is contact.Contact.SILENT:
        yield f"it does not answer ({answer.said})"
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
    running: Sequence[Server], answers: Mapping[names.ServerName, contact.Answer], how: contact.Contact
) -> dict[names.ServerName, str]:
    return {each.name: answers[each.name].said for each in running if answers[each.name].contact is how}
