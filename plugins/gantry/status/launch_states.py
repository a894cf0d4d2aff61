"""States of a deployment during and after a launch."""

from __future__ import annotations

import dataclasses
import datetime

from gantry import names
from gantry.plan import (
    UNTOUCHING,
    AgentState,
    DeploymentState,
    GroupKind,
    Phase,
    ServiceState,
    Step,
    StepKind,
)
from gantry.status.deployment import ApprovalState, DeploymentStatus, StateEvidence, TierStatus
from gantry.status.tasks import Progress

_CHECK = "awaitService"
"""The script that waits for a service's check. A failure of a step that ends with it means a failed check."""


def status(scene: StateEvidence) -> DeploymentStatus:
    """Return the states that the tasks of a launch imply."""
    state, phase, failed = _deployment(scene)
    agents = _agents(scene)
    return DeploymentStatus(
        state=state,
        phase=phase,
        failed=failed,
        tiers=tuple(
            TierStatus(each.tier, running=scene.running(each.tier, agents), wanted=scene.wanted(each))
            for each in scene.plan.tiers
        ),
        agents=agents,
        services={
            (work.service, server): _service(scene, work.on(server, scene.first_of(work.tier)), server)
            for work in _works(scene)
            for server in scene.servers(work.tier)
            if server in agents
        },
        phases=scene.steps.phases(),
        steps=scene.steps.by_id(),
        approval=_approval(scene),
    )


def _deployment(scene: StateEvidence) -> tuple[DeploymentState, Phase | None, Phase | None]:
    """Return the deployment's state, the current phase, and the failed phase."""
    progress = scene.steps.by_id()
    if not _has_begun(scene):
        # The approval is missing, pending, refused or too late; or other runs are working.
        waits = _approval(scene) is ApprovalState.AWAITED or _awaits_turn(scene)
        unanswered = [step.phase for step in _before_work(scene) if progress[step.id] is Progress.FAILED]
        return scene.before(), Phase.PRE_LAUNCH if waits else None, min(unanswered, default=None)
    if _is_complete(scene):
        return DeploymentState.RUNNING, None, None
    state = DeploymentState.MAINTENANCE if scene.previously_running else DeploymentState.LAUNCHING
    unfinished = [step.phase for step in scene.plan if not progress[step.id].is_done]
    failures = [step.phase for step in scene.plan if progress[step.id] is Progress.FAILED]
    if scene.run_ended:
        return state, None, min(failures or unfinished)
    begun = {step.phase for step in scene.plan if progress[step.id].has_begun}
    # Between two phases the next one is shown, rather than none.
    running = min((phase for phase in unfinished if phase in begun), default=min(unfinished))
    return state, running, min(failures, default=None)


def _questions(scene: StateEvidence) -> list[Step]:
    return [step for step in scene.plan if step.kind is StepKind.APPROVE]


def _has_begun(scene: StateEvidence) -> bool:
    """Return whether the run has changed the deployment. An approval or a wait changes nothing."""
    return any(scene.steps.progress(step.id).has_begun for step in scene.plan if step.kind not in UNTOUCHING)


def _before_work(scene: StateEvidence) -> list[Step]:
    return [step for step in scene.plan if step.kind in UNTOUCHING]


def _awaits_turn(scene: StateEvidence) -> bool:
    waiting = [step for step in scene.plan if step.kind is StepKind.TURN]
    return not scene.run_ended and any(
        scene.steps.progress(step.id) is Progress.IN_PROGRESS for step in waiting
    )


def _approval(scene: StateEvidence) -> ApprovalState | None:
    for question in _questions(scene):
        progress = scene.steps.progress(question.id)
        if progress is Progress.IN_PROGRESS and not scene.run_ended:
            return ApprovalState.AWAITED
        if progress is Progress.SUCCEEDED:
            # A refused approval succeeds and skips what follows.
            after = [scene.steps.progress(step.id) for step in scene.plan if question.id in step.upstream]
            return ApprovalState.REFUSED if Progress.LEFT_OUT in after else ApprovalState.GIVEN
    return None


def _is_complete(scene: StateEvidence) -> bool:
    """Return whether everything is done. The last step only reports that, so only the end of the run requires it."""
    enough = {Progress.SUCCEEDED} if scene.run_ended else set(Progress) - {Progress.FAILED, Progress.LEFT_OUT}
    return all(
        scene.steps.progress(step.id) in enough
        if step.kind is StepKind.FINISH_LAUNCH
        else scene.steps.progress(step.id).is_done
        for step in scene.plan
    )


def _agents(scene: StateEvidence) -> dict[names.ServerName, AgentState]:
    scale_ups = {step.tier: step for step in scene.plan if step.kind is StepKind.SCALE_UP}
    handshakes = {step.tier: step for step in scene.plan if step.kind is StepKind.HANDSHAKE}
    found: dict[names.ServerName, AgentState] = {}
    for each in scene.plan.tiers:
        scaling = scene.steps.progress(scale_ups[each.tier].id)
        for server in scene.servers(each.tier):
            step = handshakes[each.tier].id
            handshake = scene.steps.progress_on(step, server)
            if step in scene.steps.needless:
                # It was asked, and has answered.
                handshake = Progress.SUCCEEDED
            state = _agent(scene, server, scaling, handshake)
            if state is not None:
                found[server] = state
    return found


def _agent(
    scene: StateEvidence, server: names.ServerName, scaling: Progress, handshake: Progress
) -> AgentState | None:
    is_known = scene.instance(server) is not None
    answered = handshake is Progress.SUCCEEDED or _ran_before(scene, server) or _was_greeted(scene, server)
    if handshake is Progress.FAILED or (scene.is_lost(server) and (answered or is_known)):
        return AgentState.UNREACHABLE
    if answered:
        return AgentState.RUNNING
    is_asked_for = scaling in (Progress.IN_PROGRESS, Progress.SUCCEEDED)
    return AgentState.STARTING if is_asked_for or is_known else None


def _was_greeted(scene: StateEvidence, server: names.ServerName) -> bool:
    """Return whether an earlier run has left it running, as far as known without the cloud."""
    return scene.inventory is None and any(server in each for each in scene.greeted.values())


def _ran_before(scene: StateEvidence, server: names.ServerName) -> bool:
    """Return whether a server already belonged to the deployment before the run."""
    if not scene.previously_running:
        return False
    instance = scene.instance(server)
    if instance is None:
        return scene.inventory is None
    began = _began(scene)
    return began is None or instance.launched_at < began


def _began(scene: StateEvidence) -> datetime.datetime | None:
    starts = (task.started for step in scene.plan for task in scene.steps.tasks(step.id))
    return min((start for start in starts if start is not None), default=None)


@dataclasses.dataclass(frozen=True)
class _Work:
    """The inputs of a service's state: its own steps, and those of the services that it depends on.

    Attributes:
        replicants: the step that sets up the replicants of a replicated service; then `own` is its master's.
    """

    service: names.ServiceName
    tier: names.TierName
    install: Step
    own: tuple[Step, ...]
    needed: tuple[Step, ...]
    replicants: Step | None = None

    def on(self, server: names.ServerName, master: names.ServerName) -> _Work:
        """Return the work on one server."""
        if self.replicants is None or server == master:
            return self
        # A replicant waits for its master as a service waits for its dependencies.
        return dataclasses.replace(self, own=(self.replicants,), needed=self.own[-1:])


def _works(scene: StateEvidence) -> list[_Work]:
    plan = scene.plan
    own: dict[names.ServiceName, list[Step]] = {}
    replicants: dict[names.ServiceName, Step] = {}
    for step in plan:
        # A grant is work on the servers of another service.
        if step.group.kind is not GroupKind.SERVICE or step.kind is StepKind.GRANT_ACCESS:
            continue
        service = names.ServiceName(step.group.name)
        if step.kind is StepKind.CONFIGURE_REPLICANTS:
            replicants[service] = step
        else:
            own.setdefault(service, []).append(step)
    installs = {step.tier: step for step in plan if step.kind is StepKind.INSTALL_SERVICES}
    works = []
    for service, steps in own.items():
        tier = steps[0].tier
        if tier is None:
            continue
        upstream = (plan.by_id[each] for each in steps[0].upstream)
        others = tuple(
            each for each in upstream if each.group.kind is GroupKind.SERVICE and each.group != steps[0].group
        )
        works.append(_Work(service, tier, installs[tier], tuple(steps), others, replicants.get(service)))
    return works


def _service(scene: StateEvidence, work: _Work, server: names.ServerName) -> ServiceState:
    steps = (work.install, *work.own)
    progress = [scene.steps.progress_on(step.id, server) for step in steps]
    ran_before = _ran_before(scene, server)
    if Progress.FAILED in progress:
        at_check = _CHECK in steps[progress.index(Progress.FAILED)].scripts
        return ServiceState.IMPAIRED if at_check or ran_before else ServiceState.STOPPED
    if progress[-1] is Progress.SUCCEEDED or steps[-1].id in scene.steps.needless:
        return ServiceState.STOPPED if scene.is_lost(server) else ServiceState.RUNNING
    needs_are_met = all(scene.steps.progress(step.id).is_done for step in work.needed)
    has_begun = any(each.has_begun for each in progress[1:]) or (progress[0].has_begun and needs_are_met)
    if has_begun and not scene.run_ended:
        return ServiceState.STARTING
    if ran_before and not has_begun:
        return ServiceState.STOPPED if scene.is_lost(server) else ServiceState.RUNNING
    return ServiceState.PAUSED
