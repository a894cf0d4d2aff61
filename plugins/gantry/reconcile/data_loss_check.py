"""Servers with data are looked at once more: just before they are given up, and just before they are terminated.

Between a look and what follows from it there may be minutes, and for a server that is terminated although it has come
back there is no way back. One that shows that it is there is kept until a person has decided.
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
    """A server with data that was found lost, and that cannot be taken for lost.

    Attributes:
        why: it was found lost.
        now: what the second look says of it.
        is_there: whether it has shown that it is there; otherwise it could not be looked at.
    """

    server: Server
    why: str
    now: str
    is_there: bool

    def __str__(self) -> str:
        return f"{self.server.name} ({self.server.instance_id}) was found lost ({self.why}); {self.now}"


class NotLostError(errors.GantryError):
    """Servers with data that were about to be replaced, and that are not lost after all."""

    # The next try finds them well, and goes on without replacing them.
    transient = True

    def __init__(self, doubts: Sequence[Doubt]) -> None:
        self.doubts = tuple(doubts)
        told = "\n".join(map(str, doubts))
        super().__init__(
            f"a server with data was looked at once more before it is replaced, and it is not lost:\n{told}\n"
            f"Nothing was replaced. Run this again: a server that is well is kept. To have it replaced all the same, "
            f"and what is on it thrown away, name it in NAME.recover and say `anyway`."
        )


class AnswersAgainError(errors.GantryError):
    """Servers with data that others are to take the place of, or have, and that have come back."""

    def __init__(self, doubts: Sequence[Doubt], replaced: Iterable[names.ServerName]) -> None:
        self.doubts = tuple(doubts)
        self.transient = not any(each.is_there for each in doubts)
        told = "\n".join(map(str, doubts))
        instances = ", ".join(each.server.instance_id for each in doubts)
        filled = sorted(set(replaced))
        if filled:
            keep = (
                f"What has taken the place of {', '.join(filled)} has begun from a backup or a dump. Save from "
                f"{instances} what it lacks."
            )
        else:
            keep = (
                f"To keep it, take the tag {tags.LEAVING} away from {instances}, and terminate the instance that has "
                f"taken its slot, if there is one."
            )
        super().__init__(
            f"a server with data that was lost was looked at once more before it is terminated:\n{told}\n"
            f"It was neither stopped nor terminated. {keep} To give it up, terminate that instance in the cloud. Then "
            f"clear this task."
        )


def before_giving_up(run: step_run.StepRun, choice: replacement.Choice) -> None:
    """Look once more at servers with data that are about to be replaced.

    Raises:
        NotLostError: one of them is there, or could not be looked at.
    """
    suspects = [
        each
        for each in _holding_data(run.definition, run.inventory)
        if each.name in choice.servers and each.name not in choice.anyway
    ]
    others = [each for each in run.inventory if each.name not in choice.servers]
    # Who names a server has looked at the network already.
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
    """Look once more at servers with data that an earlier run has found lost, and has not come to terminate.

    Args:
        definition: the deployment's.
        found: its servers.
        at: where they are.
        memory: where the data is.

    Raises:
        AnswersAgainError: one of them is there.
    """
    # What is not known is no reason to stop here: nothing is taken from them yet.
    doubts = [each for each in _of_leaving(definition, found.leaving, found, at) if each.is_there]
    if doubts:
        raise AnswersAgainError(doubts, _replaced(definition, doubts, memory))


def before_terminating(
    run: step_run.StepRun, leaving: Iterable[Server], memory: data_placement.DataLocations
) -> None:
    """Look once more at lost servers with data that are about to be terminated.

    Raises:
        AnswersAgainError: one of them is there, or could not be looked at.
    """
    doubts = list(_of_leaving(run.definition, leaving, run.inventory, (run.cloud, run.health)))
    if doubts:
        raise AnswersAgainError(doubts, _replaced(run.definition, doubts, memory))


def _of_leaving(
    definition: models.Definition,
    leaving: Iterable[Server],
    staying: Iterable[Server],
    at: tuple[servers.Servers, health.Health],
) -> Iterator[Doubt]:
    """Doubts about lost servers with data; those that stay show whether the way works."""
    suspects = {
        each.instance_id: (each, each.lost)
        for each in _holding_data(definition, leaving)
        if each.lost is not None and not each.given_up
    }
    return _doubts(definition, suspects, server_health.running_of(definition, staying), at)


def _holding_data(definition: models.Definition, found: Iterable[Server]) -> Iterator[Server]:
    """Those that run, have been greeted, and belong to the tier of a service with datasources."""
    tiers = {definition.services[each].tier for each in data_placement.databases(definition)}
    for each in found:
        if each.tier in tiers and each.state is InstanceState.RUNNING and each.host_key is not None:
            yield each


def _replaced(
    definition: models.Definition, doubts: Iterable[Doubt], memory: data_placement.DataLocations
) -> Iterator[names.ServerName]:
    """Those whose slots others have been given data for."""
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
    # Who has taken a slot has the name of the server that leaves: here each is called by its instance.
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
    """Why a server cannot be taken for lost, or None where it is lost still."""
    match answer.contact:
        case Contact.SILENT:
            return (
                None
                if works or is_impaired
                else "it is silent, and so is every other server: it may be the network"
            )
        case Contact.UNREACHED:
            return None if is_impaired else f"it could not be looked at: {answer.said}"
        case Contact.ANSWERS:
            # One that was found lost for another cause than silence has answered then as well.
            is_well = not answer.impaired and not is_impaired
            return "it answers now" if is_well or why.startswith(server_health.SILENCE) else None
    return f"something answers there now: {answer.said}" if why.startswith(server_health.SILENCE) else None
