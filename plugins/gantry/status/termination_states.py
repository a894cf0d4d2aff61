"""States of a deployment during and after a termination."""

from __future__ import annotations

from gantry import names
from gantry.plan import UNTOUCHING, AgentState, DeploymentState, Effect, Phase, ServiceState, Step, StepKind
from gantry.status.deployment import DeploymentStatus, StateEvidence, TierStatus, is_up
from gantry.status.tasks import Progress


def status(scene: StateEvidence) -> DeploymentStatus:
    """Return the states that the tasks of a termination imply."""
    state, phase, failed = _deployment(scene)
    agents = _agents(scene)
    is_going = state in (DeploymentState.STOPPING, DeploymentState.STOPPED)
    return DeploymentStatus(
        state=state,
        phase=phase,
        failed=failed,
        tiers=tuple(
            TierStatus(
                each.tier,
                running=scene.running(each.tier, agents),
                wanted=0 if is_going else scene.wanted(each),
            )
            for each in scene.plan.tiers
        ),
        agents=agents,
        services={
            (step.service, server): _service(scene, step, agents.get(server))
            for step in scene.plan
            if step.kind is StepKind.STOP_SERVICE and step.service is not None and step.tier is not None
            for server in scene.servers(step.tier)
        },
        phases=scene.steps.phases(),
        steps=scene.steps.by_id(),
    )


def _deployment(scene: StateEvidence) -> tuple[DeploymentState, Phase | None, Phase | None]:
    progress = scene.steps.by_id()
    asked = [progress[step.id] for step in scene.plan if step.kind in UNTOUCHING]
    ends = [progress[step.id] for step in scene.plan if step.kind is StepKind.FINISH_TERMINATION]
    work = [
        step
        for step in scene.plan
        if step.kind not in UNTOUCHING and step.kind is not StepKind.FINISH_TERMINATION
    ]
    if all(progress[step.id].is_done for step in work) and Progress.FAILED not in ends:
        return DeploymentState.STOPPED, None, None
    if not any(progress[step.id].has_begun for step in work):
        # A refused approval succeeds and skips what follows.
        refused = any(progress[step.id] is Progress.LEFT_OUT for step in work)
        if scene.run_ended or refused or not all(each.is_done for each in asked):
            return scene.before(), None, None
    failures = [step.phase for step in scene.plan if progress[step.id] is Progress.FAILED]
    # The plan's own order: a termination goes through the phases backwards.
    unfinished = [
        step.phase
        for step in scene.plan
        # A final backup that was not requested stays undone.
        if step.facts.effect is not Effect.CHECKS and not progress[step.id].is_done
    ]
    if scene.run_ended:
        return DeploymentState.STOPPING, None, (failures or unfinished)[0]
    return DeploymentState.STOPPING, unfinished[0], failures[0] if failures else None


def _agents(scene: StateEvidence) -> dict[names.ServerName, AgentState]:
    if scene.inventory is not None:
        return {
            server.name: AgentState.RUNNING if is_up(server) else AgentState.UNREACHABLE
            for server in scene.inventory
        }
    gone = {
        step.tier
        for step in scene.plan
        if step.kind is StepKind.TERMINATE_SERVERS and scene.steps.progress(step.id) is Progress.SUCCEEDED
    }
    return {
        server: AgentState.RUNNING
        for each in scene.plan.tiers
        if each.tier not in gone
        for server in scene.servers(each.tier)
    }


def _service(scene: StateEvidence, stop: Step, agent: AgentState | None) -> ServiceState:
    progress = scene.steps.progress(stop.id)
    if progress is Progress.SUCCEEDED or agent is not AgentState.RUNNING:
        return ServiceState.STOPPED
    if progress is Progress.FAILED:
        return ServiceState.IMPAIRED
    # Leftovers of a failed launch were never seen running.
    return ServiceState.RUNNING if scene.previously_running else ServiceState.PAUSED
