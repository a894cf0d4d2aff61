"""Lost servers give their slots free: found, said, checked against what goes with them, and noted as leaving."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from gantry import names
from gantry.operators import base, chosen, data, history, lost, replacing, turning
from gantry.operators import run as runs
from gantry.status import filled


@dataclasses.dataclass(frozen=True)
class Outlook:
    """What a run is going to do about lost servers.

    Attributes:
        missing: the slots that it fills, by tier.
        renewals: what it restores on them.
    """

    choice: replacing.Choice
    missing: Mapping[names.TierName, Collection[names.Slot]]
    renewals: data.Renewals


def outlook(run: runs.Run, findings: lost.Findings, memory: data.Memory, before: replacing.Slots) -> Outlook:
    """What follows for a run. Changes nothing but the memory of data that is about to be given up.

    Raises:
        UnknownServerError, WellError, NobodyAnswersError: as `replacing.choose`.
        DataLostError, ReplicantsLeftError: as `data.renewals`.
    """
    choice = replacing.choose(run.definition, run.inventory, findings, run.lost, before)
    # A number that is asked for counts as it is.
    choice = dataclasses.replace(
        choice, slots={tier: slots for tier, slots in choice.slots.items() if tier not in run.scaled_to}
    )
    staying = choice.staying(run.inventory)
    for service in data.databases(run.definition):
        for each in run.inventory.of_tier(run.definition.services[service].tier):
            if each.name in choice.servers and each.host_key is not None:
                # An earlier Gantry, or another Airflow, may have filled it without a note.
                memory.begin(service, each)
    missing = replacing.missing(run.definition, staying, run.wanted, choice.slots)
    renewals = data.renewals(
        run.definition, staying, missing, memory, lambda name: run.shelf(name).find(""), run.from_dump
    )
    return Outlook(choice, missing, renewals)


class FindLostOperator(base.StepOperator):
    """Looks at every server, and notes those that are lost as leaving: what comes after fills their slots anew."""

    def perform(self, context: Context, run: runs.Run) -> base.Result:
        """Refuse before anything is noted; a repeated call finds what it has noted."""
        findings = lost.examine(run.definition, run.inventory, run.cloud, run.health)
        remember(run, findings)
        for line in said(findings):
            self.log.warning("%s", line)
        before = filled.load(turning.store(run.definition.deployment).get(filled.KEY))
        found = outlook(run, findings, chosen.memory(run), before)
        if run.lost is not None:
            self._end_if_needless(context, run, findings, found)
        for server in run.inventory:
            why = found.choice.servers.get(server.name)
            if why is not None:
                self.log.info("%s (%s) is replaced: %s", server.name, server.instance_id, why)
                run.cloud.give_up(server, why)
        for renewal in found.renewals:
            for line in told(run, renewal):
                self.log.info("%s", line)
        return base.result(
            context,
            sorted(found.choice.servers),
            slots={tier: list(slots) for tier, slots in found.choice.slots.items()},
        )

    def _end_if_needless(
        self, context: Context, run: runs.Run, findings: lost.Findings, found: Outlook
    ) -> None:
        """Skip a run that would replace nothing. Raises NotYetLostError."""
        staying = found.choice.staying(run.inventory)
        stopped = replacing.resumed(run.definition, staying, run.wanted, found.choice.slots)
        if staying.leaving or stopped or any(found.missing.values()):
            return
        if findings.ailing:
            raise replacing.NotYetLostError(findings.ailing)
        # Its last step is skipped too, and would have done that.
        history.close_record(context, run)
        raise AirflowSkipException(f"no server of {run.definition.deployment} is lost: nothing to replace")


def remember(run: runs.Run, findings: lost.Findings) -> None:
    """Note since when servers are not well, and forget it of those that are."""
    new = [each.server for each in findings.troubles if each.server.ailing_since is None]
    if new:
        run.health.note_ailing(new, min(each.since for each in findings.troubles if each.server in new))
    again = [each for each in findings.well if each.ailing_since is not None]
    if again:
        run.health.note_well(again)


def said(findings: lost.Findings) -> Iterator[str]:
    """What a person has to know of servers that are not lost, and not well either."""
    for each in findings.ailing:
        yield f"{each.server.name}: {each}; it counts as lost from {lost.told(each.due)} on"
    for name, what in findings.strangers.items():
        yield (
            f"{name}: {what}. It is neither taken for the server nor replaced: find out who answers there; to have it "
            f"replaced, name it in NAME.recover"
        )
    for name, what in findings.refusing.items():
        yield f"{name}: {what}. It is there, so it is not replaced"


def told(run: runs.Run, renewal: data.Renewal) -> Iterator[str]:
    """What a lost database begins from."""
    for slot in renewal.slots:
        name = run.definition.name_of(run.definition.services[renewal.service].tier, slot)
        for datasource in run.definition.services[renewal.service].datasources:
            stored = renewal.backups.get(datasource)
            source = "its dump, as somebody wants it" if stored is None else stored.url
            yield f"{name}: {renewal.service}.{datasource} was lost with its server and begins from {source}"
