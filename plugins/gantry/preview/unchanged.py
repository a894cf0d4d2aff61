"""What a launch has to do: asked of every server once, before any of the launch's steps begins.

The steps decide by the same code (`dry_run.walk`). Whatever is in doubt counts as a change: then the steps run, and
each decides for itself.
"""

from __future__ import annotations

import dataclasses

from gantry import requests
from gantry.preview import dry_run, needless, probe, report, scaling
from gantry.reconcile import step_run


@dataclasses.dataclass(frozen=True)
class LaunchForecast:
    """What a launch has to do.

    Attributes:
        doubt: in one line, why some of its steps have to run; None if each of them would do nothing.
        needless: the ids of the steps that need not run, where others do; see `needless.needless_steps`.
    """

    doubt: str | None
    needless: frozenset[str] = frozenset()


def look(run: step_run.StepRun) -> LaunchForecast:
    """Return what a launch has to do.

    Only for a run whose servers are all there, in the wanted number, and healthy. Asks the servers, and reads what the
    steps need: connections, archives, dumps.

    Raises:
        GantryError: something that the steps need is not available.
    """
    for server in run.inventory:
        if server.is_new:
            return LaunchForecast(f"{server.name} has not been in a finished launch yet")
    stage = dry_run.DryRunContext(
        definition=run.definition,
        plan=run.plan,
        request=run.asked(requests.LaunchRequest),
        scaled=scaling.kept(run.inventory),
        objects=run.objects,
    )
    # What is new is mostly new on every server: one of each tier tells, and the others are not asked in vain.
    first = {each.name for tier in run.definition.tiers for each in run.inventory.of_tier(tier)[:1]}
    some = dry_run.ask(stage, run.cloud, first)
    found = _forecast(stage, some, dry_run.walk(stage, some.states))
    if found.doubt is not None and not found.needless:
        return found
    others = dry_run.ask(stage, run.cloud, {each.name for each in run.inventory} - first)
    answers = probe.Answers(
        {**some.states, **others.states},
        {**some.unknowns, **others.unknowns},
        {**some.asked, **others.asked},
    )
    walked = dry_run.walk(stage, answers.states)
    found = _forecast(stage, answers, walked)
    if found.doubt is not None:
        return found
    for balancer in dry_run.foreseen(stage, answers, walked):
        if balancer.changes or balancer.unknown is not None or balancer.refusal is not None:
            doubt = f"{balancer.server}: {balancer.unknown or 'its load balancer changes'}"
            return LaunchForecast(doubt, needless.needless_steps(stage.plan, ()))
    return LaunchForecast(None)


def _forecast(stage: dry_run.DryRunContext, answers: probe.Answers, walked: dry_run.Walked) -> LaunchForecast:
    """Return what there is to do, apart from the balancers' configuration."""
    for name, why in answers.unknowns.items():
        return LaunchForecast(f"{name}: {why}")
    doubt = None
    if walked.changes:
        # Some only prepare another one: a server that leaves its load balancers has no reason of its own.
        doubt = _told(next((each for each in walked.changes if each.reasons), walked.changes[0]))
    elif walked.objects:
        # Such a dump is mentioned in the log of the step that does not load it.
        doubt = f"{walked.objects[0].url} has changed"
    if doubt is None:
        return LaunchForecast(None)
    return LaunchForecast(doubt, needless.needless_steps(stage.plan, walked.changes, walked.objects))


def _told(change: report.Change) -> str:
    return f"{change.server}, {change.step}: {'; '.join(change.reasons) or 'there is something to do'}"
