"""Which steps of a launch have nothing to do, so that it can skip them."""

from __future__ import annotations

from collections.abc import Iterable

from gantry.plan import BEFORE_WORK, Group, GroupKind, Plan, StepKind
from gantry.plan.steps import step_id
from gantry.preview import report

_FIRST = frozenset({*BEFORE_WORK, StepKind.FIND_LOST})
_LAST = frozenset({StepKind.START_PROXY, StepKind.FINISH_LAUNCH})
"""They run in every launch that changes anything: what a balancer is set to depends on more than its own step."""


def needless_steps(
    plan: Plan, changes: Iterable[report.Change], objects: Iterable[report.ChangedObject] = ()
) -> frozenset[str]:
    """Return the ids of the steps that have nothing to do on any server, and come after none that has.

    What such a step would find is what was asked before the launch: nothing that runs before it changes anything. A
    step after one with something to do is never among them, whatever it is expected to do; nor is the `scale_up` that
    tells another step its servers.

    Args:
        plan: the launch's.
        changes: what its steps would do.
        objects: the archives and dumps that differ from those on servers. A step says in its log which it holds back.
    """
    busy = {each.step for each in changes}
    for each in objects:
        service = Group(GroupKind.SERVICE, each.of.partition(".")[0])
        busy.add(step_id(service, StepKind.INSTALL_DATASOURCES))
    quiet: set[str] = set()
    needless: set[str] = set()
    for step in plan:
        if step.id in busy or step.kind in _LAST or not quiet.issuperset(step.upstream):
            continue
        quiet.add(step.id)
        if step.kind not in _FIRST:
            needless.add(step.id)
    served = {step.tier for step in plan if step.per_server and step.id not in needless}
    return frozenset(
        each
        for each in needless
        if plan.by_id[each].kind is not StepKind.SCALE_UP or plan.by_id[each].tier not in served
    )
