"""Whether a launch would change nothing: asked of every server once, before any of the launch's steps begins.

The steps decide by the same code (`dry_run.walk`). Whatever is in doubt counts as a change: then the steps run, and
each decides for itself.
"""

from __future__ import annotations

from gantry import requests
from gantry.preview import dry_run, probe, report, scaling
from gantry.reconcile import step_run


def doubt(run: step_run.StepRun) -> str | None:
    """Return in one line why the steps of a launch have to run, or None if each of them would do nothing.

    Only for a run whose servers are all there, in the wanted number, and healthy. Asks the servers, and reads what the
    steps need: connections, archives, dumps.

    Raises:
        GantryError: something that the steps need is not available.
    """
    for server in run.inventory:
        if server.is_new:
            return f"{server.name} has not been in a finished launch yet"
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
    found = _difference(some, dry_run.walk(stage, some.states))
    if found is not None:
        return found
    others = dry_run.ask(stage, run.cloud, {each.name for each in run.inventory} - first)
    answers = probe.Answers(
        {**some.states, **others.states},
        {**some.unknowns, **others.unknowns},
        {**some.asked, **others.asked},
    )
    walked = dry_run.walk(stage, answers.states)
    found = _difference(answers, walked)
    if found is not None:
        return found
    for balancer in dry_run.foreseen(stage, answers, walked):
        if balancer.changes or balancer.unknown is not None or balancer.refusal is not None:
            return f"{balancer.server}: {balancer.unknown or 'its load balancer changes'}"
    return None


def _difference(answers: probe.Answers, walked: dry_run.Walked) -> str | None:
    for name, why in answers.unknowns.items():
        return f"{name}: {why}"
    if walked.changes:
        # Some only prepare another one: a server that leaves its load balancers has no reason of its own.
        return _told(next((each for each in walked.changes if each.reasons), walked.changes[0]))
    for each in walked.objects:
        # Such a dump is mentioned in the log of the step that does not load it.
        return f"{each.url} has changed"
    return None


def _told(change: report.Change) -> str:
    return f"{change.server}, {change.step}: {'; '.join(change.reasons) or 'there is something to do'}"
