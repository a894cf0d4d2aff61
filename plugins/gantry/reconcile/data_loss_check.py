"""Second check of lost servers with data, right before they are given up and right before they are terminated.

Minutes may pass between a check and its consequence, and terminating a server that has come back cannot be undone. A
server that shows signs of life is kept until a person decides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from gantry import errors, inventory, names
from gantry.agent import reachability
from gantry.agent.reachability import Contact
from gantry.cloud import health, servers, tags
from gantry.definition import models
from gantry.inventory import InstanceState, Server
from gantry.reconcile import data_placement, replacement, server_health, step_run


@dataclasses.dataclass(frozen=True)
class Doubt:
    """A server with data that was found lost, but cannot safely be treated as lost.

    Attributes:
        why: why it was found lost.
        now: the result of the second check.
        is_there: whether it showed a sign of life; otherwise it could not be checked.
    """

    server: Server
    why: str
    now: str
    is_there: bool

    def __str__(self) -> str:
        return f"{self.server.name} ({self.server.instance_id}) was reported as lost ({self.why}); {self.now}"


class NotLostError(errors.GantryError):
    """Servers with data were about to be replaced, but are not lost after all."""

    # The next try finds them healthy, and continues without replacing them.
    transient = True

    def __init__(self, doubts: Sequence[Doubt]) -> None:
        self.doubts = tuple(doubts)
        told = "\n".join(map(str, doubts))
        super().__init__(
            f"a server with data was checked again before its replacement, and it is not lost:\n{told}\n"
            f"Nothing was replaced. Run this again: a healthy server is kept. To replace it anyway and "
            f"discard its data, name it in NAME.recover and set `anyway`."
        )


class ReturnedServersError(errors.GantryError):
    """Lost servers with data have come back, after or while others take their places."""

    def __init__(self, doubts: Sequence[Doubt], replaced: Iterable[names.ServerName]) -> None:
        self.doubts = tuple(doubts)
        self.transient = not any(each.is_there for each in doubts)
        told = "\n".join(map(str, doubts))
        instances = ", ".join(each.server.instance_id for each in doubts)
        filled = sorted(set(replaced))
        if filled:
            keep = (
                f"The replacement of {', '.join(filled)} has begun from a backup or a dump. Save from "
                f"{instances} what it lacks."
            )
        else:
            keep = (
                f"To keep it, take the tag {tags.LEAVING} away from {instances}, and terminate the instance that has "
                f"taken its slot, if there is one."
            )
        super().__init__(
            f"a server with data that was lost was checked again before its termination:\n{told}\n"
            f"It was neither stopped nor terminated. {keep} To give it up, terminate that instance in the cloud. Then "
            f"clear this task."
        )


def before_giving_up(run: step_run.StepRun, choice: replacement.Choice) -> None:
    """Check servers with data again before they are replaced.

    Raises:
        NotLostError: one of them is there, or could not be checked.
    """
    suspects = [
        each
        for each in _holding_data(run.definition, run.inventory)
        if each.name in choice.servers and each.name not in choice.anyway
    ]
    others = [each for each in run.inventory if each.name not in choice.servers]
    # A person who names a server has already checked the network.
    is_named = run.lost is not None and bool(run.lost.servers)
    doubts = list(
        _doubts(
            run.definition,
            {each.instance_id: (each, choice.servers[each.name]) for each in suspects},
            server_health.running_of(run.definition, others),
            (run.cloud, run.health),
            is_named=is_named,
        )
    )
    back = [each.server for each in doubts if each.is_there]
    if back:
        run.health.note_well(back)
    if doubts:
        raise NotLostError(doubts)


def before_beginning(
    definition: models.Definition,
    found: inventory.Inventory,
    at: tuple[servers.Servers, health.Health],
    memory: data_placement.DataLocations,
) -> None:
    """Check servers with data again that an earlier run found lost but has not terminated yet.

    Args:
        definition: the deployment's definition.
        found: the deployment's servers.
        at: the cloud and its health checks.
        memory: the record of where the data is.

    Raises:
        ReturnedServersError: one of them is there.
    """
    # An unknown state is no reason to stop here: nothing is taken from these servers yet.
    doubts = [each for each in _of_leaving(definition, found.leaving, found, at) if each.is_there]
    if doubts:
        raise ReturnedServersError(doubts, _replaced(definition, doubts, memory))


def before_terminating(
    run: step_run.StepRun, leaving: Iterable[Server], memory: data_placement.DataLocations
) -> None:
    """Check lost servers with data again before they are terminated.

    Raises:
        ReturnedServersError: one of them is there, or could not be checked.
    """
    doubts = list(_of_leaving(run.definition, leaving, run.inventory, (run.cloud, run.health)))
    if doubts:
        raise ReturnedServersError(doubts, _replaced(run.definition, doubts, memory))


def _of_leaving(
    definition: models.Definition,
    leaving: Iterable[Server],
    staying: Iterable[Server],
    at: tuple[servers.Servers, health.Health],
) -> Iterator[Doubt]:
    """Yield doubts about lost servers with data; the staying servers show whether the network path works."""
    suspects = {
        each.instance_id: (each, each.lost)
        for each in _holding_data(definition, leaving)
        if each.lost is not None and not each.given_up
    }
    return _doubts(definition, suspects, server_health.running_of(definition, staying), at)


def _holding_data(definition: models.Definition, found: Iterable[Server]) -> Iterator[Server]:
    """Yield servers that run, have been greeted, and belong to the tier of a service with datasources."""
    tiers = {definition.services[each].tier for each in data_placement.databases(definition)}
    for each in found:
        if each.tier in tiers and each.state is InstanceState.RUNNING and each.host_key is not None:
            yield each


def _replaced(
    definition: models.Definition, doubts: Iterable[Doubt], memory: data_placement.DataLocations
) -> Iterator[names.ServerName]:
    """Yield servers whose slots already have data on another server."""
    for server in (each.server for each in doubts):
        for service in data_placement.databases(definition):
            if definition.services[service].tier == server.tier:
                note = memory.of(service, server.slot)
                if note is not None and note.instance != server.instance_id:
                    yield server.name


def _doubts(
    definition: models.Definition,
    suspects: Mapping[str, tuple[Server, str]],
    others: Sequence[Server],
    at: tuple[servers.Servers, health.Health],
    *,
    is_named: bool = False,
) -> Iterator[Doubt]:
    if not suspects:
        return
    cloud, checks = at
    # A replacement has the same name as the leaving server, so servers are identified by instance here.
    called = {
        instance: dataclasses.replace(server, name=names.ServerName(instance))
        for instance, (server, _) in suspects.items()
    }
    answers = server_health.meet(definition, [*called.values(), *others], cloud)
    works = is_named or server_health.way_works(answers.values())
    impaired = checks.impaired(list(called.values()))
    for instance, (server, why) in suspects.items():
        answer = answers[names.ServerName(instance)]
        found = _objection(answer, why, is_impaired=instance in impaired, works=works)
        if found is not None:
            is_there = answer.contact not in (Contact.SILENT, Contact.UNREACHED)
            yield Doubt(server, why, found, is_there)


def _objection(answer: reachability.ServerAnswer, why: str, *, is_impaired: bool, works: bool) -> str | None:
    """Return why a server cannot be treated as lost, or None if it is still lost."""
    match answer.contact:
        case Contact.SILENT:
            return (
                None
                if works or is_impaired
                else "it does not answer, nor does any other server: it may be the network"
            )
        case Contact.UNREACHED:
            return None if is_impaired else f"it could not be checked: {answer.said}"
        case Contact.ANSWERS:
            # A server that was found lost for another reason than silence answered back then, too.
            is_well = not answer.impaired and not is_impaired
            return "it answers now" if is_well or why.startswith(server_health.SILENCE) else None
    return (
        f"a server answers at that address now: {answer.said}"
        if why.startswith(server_health.SILENCE)
        else None
    )
