"""Choice of the servers to replace: from their health and a person's request to the slots to fill.

Pure decisions, executed by `find_lost` and shown by `gantry plan`.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Collection, Iterator, Mapping, Sequence

from gantry import errors, inventory, names, requests
from gantry.cloud import servers
from gantry.definition import models
from gantry.reconcile import server_health, tier_size

Slots = Mapping[names.TierName, Collection[names.Slot]]


class UnknownServerError(errors.GantryError):
    """A name that no server of the deployment has or could have."""

    def __init__(self, name: str, known: Collection[str]) -> None:
        self.name = name
        hint = errors.suggestion(name, sorted(known))
        super().__init__(f"there is no server {name!r} to be replaced{hint}\nNothing was changed.")


class ServerHealthyError(errors.GantryError):
    """Servers are to be replaced that show no sign of being unhealthy.

    Attributes:
        unclear: why a server's state is unknown, if it is.
    """

    def __init__(
        self,
        servers_: Sequence[names.ServerName],
        unclear: Mapping[names.ServerName, str] = types.MappingProxyType({}),
    ) -> None:
        self.servers = tuple(servers_)
        self.unclear = dict(unclear)
        well = ", ".join(each for each in servers_ if each not in unclear)
        told = [
            *(
                [f"{well}: answers, and no check reports a problem with it; nothing was changed"]
                if well
                else []
            ),
            *(
                f"{name}: that does not mean that it is lost: {why}; nothing was changed"
                for name, why in unclear.items()
            ),
        ]
        super().__init__(
            "\n".join(told) + "\nTo replace it anyway and discard what is on it, set `anyway` (a field of "
            "NAME.recover, --anyway on the command line)."
        )


class NoServerAnswersError(errors.GantryError):
    """Servers are silent, and none proves that the network path works: none is treated as lost."""

    transient = True

    def __init__(
        self, deployment: names.DeploymentName, troubles: Sequence[server_health.UnhealthyServer]
    ) -> None:
        self.deployment = deployment
        told = "\n".join(f"{each.server.name}: {each}" for each in troubles)
        if len(troubles) == 1:
            cause = (
                f"one server of {deployment} does not answer, and no other one shows whether the network path "
                f"works; its instance runs, and EC2's status checks report no problem"
            )
        else:
            cause = (
                f"not one server of {deployment} answers, so it is more likely that the network path to them is broken "
                f"than that all of them are"
            )
        words = " ".join(f"{each.server.tier}-{each.server.slot}" for each in troubles)
        super().__init__(
            f"{cause}; nothing was changed\n{told}\nLook at the network between Airflow's workers and the servers, and "
            f"at the instance's console output. To replace a server that is really lost, name it: in the field "
            f"`servers` of NAME.recover, or `gantry recover {deployment} {words}`."
        )


class NotAskedError(errors.GantryError):
    """A run that would replace lost servers could not check some of them."""

    transient = True

    def __init__(self, unreached: Mapping[names.ServerName, str]) -> None:
        self.unreached = dict(unreached)
        told = "\n".join(f"{name}: {why}" for name, why in unreached.items())
        super().__init__(
            f"some servers could not be reached, so their state is unknown; nothing was changed:\n{told}\n"
            f"Fix that and run this again; or name the servers and set `anyway` to have them replaced."
        )


class NotYetLostError(errors.GantryError):
    """Servers are unhealthy, and still have time to come back."""

    transient = True

    def __init__(self, troubles: Sequence[server_health.UnhealthyServer]) -> None:
        self.troubles = tuple(troubles)
        told = "\n".join(f"{each.server.name}: {each}; {each.outlook}" for each in troubles)
        super().__init__(
            f"nothing is lost yet, and nothing was changed:\n{told}\n"
            f"Run this again then, or name the servers to have them replaced at once."
        )


@dataclasses.dataclass(frozen=True)
class Choice:
    """The servers and slots to replace.

    Attributes:
        servers: the leaving servers, with the reason.
        anyway: those of them that are replaced on request even if they are healthy.
        slots: the slots to fill in any case, by tier: those of lost servers, including servers that are already gone.
    """

    servers: Mapping[names.ServerName, str]
    slots: Slots
    anyway: frozenset[names.ServerName] = frozenset()

    def staying(self, found: inventory.Inventory) -> inventory.Inventory:
        """Return the inventory without those servers."""
        return inventory.Inventory(
            tuple(each for each in found if each.name not in self.servers),
            (
                *found.leaving,
                *(
                    dataclasses.replace(each, lost=self.servers[each.name], given_up=each.name in self.anyway)
                    for each in found
                    if each.name in self.servers
                ),
            ),
        )


def choose(
    definition: models.Definition,
    found: inventory.Inventory,
    findings: server_health.HealthReport,
    named: requests.RecoverRequest | None,
    before: Slots,
) -> Choice:
    """Choose which servers are replaced.

    Args:
        definition: the deployment's definition.
        found: the deployment's servers.
        findings: the servers' health.
        named: the servers named by a person; None in a run that does not aim at replacing servers.
        before: the slots that were filled at the end of the last run.

    Raises:
        UnknownServerError, ServerHealthyError: a named server cannot be, or need not be, replaced.
        NoServerAnswersError: servers have been silent long enough to count as lost, but it may be the network.
    """
    anyway: frozenset[names.ServerName] = frozenset()
    if named is not None and named.servers:
        chosen, slots = _by_name(definition, found, findings, named)
        anyway = frozenset(chosen if named.anyway else ())
    else:
        if findings.cut_off and findings.is_overdue and not findings.lost:
            silent = [each for each in findings.troubles if not each.is_proven]
            raise NoServerAnswersError(definition.deployment, silent)
        chosen, slots = {each.server.name: str(each) for each in findings.lost}, {}
    return Choice(chosen, _slots(definition, found, chosen, slots, before), anyway)


def _by_name(
    definition: models.Definition,
    found: inventory.Inventory,
    findings: server_health.HealthReport,
    named: requests.RecoverRequest,
) -> tuple[dict[names.ServerName, str], dict[names.TierName, set[names.Slot]]]:
    there = {each.name: each for each in found if each.tier in definition.tiers}
    short = {f"{each.tier}-{each.slot}": each.name for each in there.values()}
    chosen: dict[names.ServerName, str] = {}
    gone: dict[names.TierName, set[names.Slot]] = {}
    for word in dict.fromkeys(named.servers):
        name = short.get(word, names.ServerName(word))
        if name not in there:
            tier, slot = _place(definition, word, [*there, *short])
            gone.setdefault(tier, set()).add(slot)
            continue
        wrong = findings.of(name)
        if wrong is None and there[name].state is not inventory.InstanceState.RUNNING:
            wrong = f"its instance is {there[name].state}"
        chosen[name] = wrong or ""
    well = [name for name, wrong in chosen.items() if not wrong]
    if well and not named.anyway:
        unclear = {**findings.busy, **findings.unreached}
        raise ServerHealthyError(well, {name: unclear[name] for name in well if name in unclear})
    return {name: wrong or "its replacement was requested" for name, wrong in chosen.items()}, gone


def _place(
    definition: models.Definition, word: str, known: Collection[str]
) -> tuple[names.TierName, names.Slot]:
    """Return the slot of a server that does not exist."""
    for tier in definition.tiers:
        for slot, name in enumerate(definition.names_of(tier), start=1):
            if word in (name, f"{tier}-{slot}"):
                return tier, names.Slot(slot)
    raise UnknownServerError(word, known)


def _slots(
    definition: models.Definition,
    found: inventory.Inventory,
    chosen: Collection[names.ServerName],
    named: Mapping[names.TierName, Collection[names.Slot]],
    before: Slots,
) -> dict[names.TierName, tuple[names.Slot, ...]]:
    slots = {}
    for tier, settings in definition.tiers.items():
        known = found.of_tier(tier)
        leaving = found.leaving_of_tier(tier)
        wanted = {each.slot for each in known if each.name in chosen}
        wanted |= {each.slot for each in leaving if each.lost is not None}
        wanted |= set(named.get(tier, ()))
        if inventory.scaled_to((*known, *leaving)) is None:
            # A tier's size after scaling is recorded on its servers; otherwise only the last run shows which ones are
            # gone.
            shrunk = {each.slot for each in leaving if each.lost is None}
            wanted |= set(before.get(tier, ())) - shrunk
        wanted -= {each.slot for each in known if each.name not in chosen}
        if wanted:
            slots[tier] = tuple(sorted(each for each in wanted if each <= settings.servers.max))
    return slots


def missing(
    definition: models.Definition, staying: inventory.Inventory, wanted: Mapping[str, int], slots: Slots
) -> dict[names.TierName, tuple[names.Slot, ...]]:
    """Return the slots that a launch would fill, by tier.

    Raises:
        ServerCountError: the requested number of servers is outside a tier's limits.
    """
    return {tier: intended.missing for tier, intended in _intended(definition, staying, wanted, slots)}


def resumed(
    definition: models.Definition, staying: inventory.Inventory, wanted: Mapping[str, int], slots: Slots
) -> tuple[inventory.Server, ...]:
    """Return the stopped servers that a launch would start again. Raises as `missing`."""
    return tuple(
        each for _, intended in _intended(definition, staying, wanted, slots) for each in intended.resumed
    )


def _intended(
    definition: models.Definition, staying: inventory.Inventory, wanted: Mapping[str, int], slots: Slots
) -> Iterator[tuple[names.TierName, servers.Intention]]:
    for tier in definition.tiers:
        count = tier_size.wanted_servers(definition, tier, wanted[tier])
        count = tier_size.or_remembered(definition, tier, count, staying)
        yield tier, servers.intend(staying.of_tier(tier), count, slots.get(tier, ()))
