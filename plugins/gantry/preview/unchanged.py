"""Whether a launch would change nothing: asked of every server once, before any of the launch's steps begins.

The steps decide by the same code (`dry_run.walk`). Whatever is in doubt counts as a change: then the steps run, and
each decides for itself.
"""

from __future__ import annotations

from gantry import requests
from gantry.preview import dry_run, report, scaling
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
    answers = dry_run.ask(stage, run.cloud)
    for name, why in answers.unknowns.items():
        return f"{name}: {why}"
    walked = dry_run.walk(stage, answers.states)
    if walked.changes:
        # Some only prepare another one: a server that leaves its load balancers has no reason of its own.
        return _told(next((each for each in walked.changes if each.reasons), walked.changes[0]))
    for each in walked.objects:
        # Such a dump is mentioned in the log of the step that does not load it.
        return f"{each.url} has changed"
    for balancer in dry_run.foreseen(stage, answers, walked):
        if balancer.changes or balancer.unknown is not None or balancer.refusal is not None:
            return f"{balancer.server}: {balancer.unknown or 'its load balancer changes'}"
    return None


def _told(change: report.Change) -> str:
    return f"{change.server}, {change.step}: {'; '.join(change.reasons) or 'there is something to do'}"
