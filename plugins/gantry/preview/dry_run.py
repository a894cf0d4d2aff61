"""Dry run of a launch: the plan's steps decide one after the other, and nothing is executed.

Servers are asked once what is applied there; from then on each step's work is assumed done before the next one
decides, as in a successful launch.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from gantry import errors, inventory, names, preflight, requests
from gantry.agent import fan_out, jobs, layout, ssh
from gantry.cloud import clients, health, servers, sources
from gantry.cloud.objects import Objects
from gantry.credentials import connections
from gantry.definition import models, source
from gantry.plan import Plan, Step, StepKind, launch_plan
from gantry.preview import balancers, data_loss, explain, needless, probe, report, scaling
from gantry.preview.report import Action
from gantry.preview.state import ServerState
from gantry.reconcile import (
    data_loss_check,
    data_placement,
    data_renewal,
    load_balancer_work,
    rolling_update_plan,
    server_health,
    step_run,
    step_work,
    update_batches,
)
from gantry.state import filled_slots

LOG = logging.getLogger("gantry")
_NEW = (Action.START, Action.REPLACE)


@dataclasses.dataclass(frozen=True)
class DryRunContext:
    """The inputs of a dry run.

    Attributes:
        scaled: the deployment after scaling up.
        objects: the current archives and dumps.
        renewals: what databases that replace lost ones are filled with.
        secrets: the secrets read so far, so that they are masked. Grows with each step that reads some.
    """

    definition: models.Definition
    plan: Plan
    request: requests.LaunchRequest
    scaled: scaling.Scaled
    objects: Objects
    renewals: data_renewal.Renewals = ()
    secrets: set[str] = dataclasses.field(default_factory=set, repr=False)

    def run(self, step: Step) -> step_run.StepRun:
        """Return one step's run, as its operator would have it."""
        return _Run(
            definition=self.definition,
            plan=self.plan,
            step=step,
            id="plan",
            # No launch has this id: work of an earlier launch's step does not count as this one's own.
            key=jobs.StepKey(step=f"plan.{step.id}", epoch="0", attempt="1"),
            wanted=self.request.sizes(self.definition),
            params=self.request.conf(),
            renewals=self.renewals,
            secrets=self.secrets,
            stage=self,
        )


@dataclasses.dataclass(frozen=True)
class _Run(step_run.StepRun):
    """A step's run that finds the servers in their future state, and shares the queries of all steps."""

    stage: DryRunContext = dataclasses.field(kw_only=True)

    @functools.cached_property
    def inventory(self) -> inventory.Inventory:
        """Return the deployment's servers after every tier is scaled up."""
        return self.stage.scaled.inventory

    @functools.cached_property
    def objects(self) -> Objects:
        """Return the archives and dumps in the cloud."""
        return self.stage.objects


def rehearse(
    definition: models.Definition,
    request: requests.LaunchRequest,
    kept: Mapping[str, Any] | None = None,
    *,
    ran: bool = False,
    read: source.DefinitionData | None = None,
) -> report.Report:
    """Return what a launch would do now.

    Args:
        definition: the deployment's definition.
        request: its trigger form, filled in.
        kept: the deployment's state in Airflow; None if Airflow cannot be asked.
        ran: whether a run has ever loaded data, as far as Airflow knows.
        read: the files that the definition was read from, for positions in errors.

    Raises:
        NotReadyError: the problems found by the preflight checks.
        GantryError: an error at which a launch would fail before it changes anything: a connection, an image, an
            archive, a template, data that is lost or may be; or a request that the deployment's form does not offer.
    """
    request.check_for(definition)
    needs = preflight.of_definition(definition, launch_plan(definition))
    looked = list(preflight.examine(definition, needs, request.sizes(definition)))
    preflight.refuse(looked, read)
    cloud = servers.Servers(clients.ec2(definition.cloud), definition, LOG)
    checks = health.Health(clients.ec2(definition.cloud), definition.cloud.connection)
    memory, there = data_loss.StoredFacts(kept, ran=ran), cloud.find()
    data_loss_check.before_beginning(
        definition, there, (cloud, checks), data_placement.DataLocations(memory, definition)
    )
    findings = server_health.examine(definition, there, cloud, checks)
    scaled = scaling.scale(
        cloud,
        definition,
        request.sizes(definition),
        findings,
        filled_slots.load(memory.get(filled_slots.KEY)),
    )
    objects = Objects.of(sources.S3Access(definition.cloud.connection, definition.cloud.region))
    scaled, renewals = data_loss.foresee(definition, scaled, findings, objects, request, memory)
    stage = DryRunContext(definition, launch_plan(definition), request, scaled, objects, renewals)
    answers = ask(stage, cloud)
    walked = walk(stage, answers.states)
    found = report.Report(
        deployment=definition.deployment,
        servers=tuple(stage.scaled.report(definition, answers.unknowns)),
        objects=walked.objects,
        changes=walked.changes,
        repeated=walked.repeated,
        remarks=tuple(str(each) for each in looked if each.standing is preflight.CheckOutcome.UNKNOWN),
        balancers=foreseen(stage, answers, walked),
    )
    if any(each.is_new for each in there) or not found.keeps_all:
        return found
    # The launch skips what is needless; see `unchanged`.
    skipped = needless.needless_steps(stage.plan, found.changes, found.objects)
    nothing = found.nothing_to_do and not found.objects
    repeated = () if nothing else (each for each in found.repeated if each.step not in skipped)
    return dataclasses.replace(found, repeated=tuple(repeated))


@dataclasses.dataclass(frozen=True)
class Walked:
    """What the plan's steps would do, and the servers' state afterwards. See `report.Report`.

    `work` is all work on each server, in order; it contains secrets.
    """

    changes: tuple[report.Change, ...]
    repeated: tuple[report.Change, ...]
    objects: tuple[report.ChangedObject, ...]
    states: Mapping[names.ServerName, ServerState]
    work: Mapping[names.ServerName, Sequence[fan_out.Work]] = dataclasses.field(repr=False)


def walk(stage: DryRunContext, states: Mapping[names.ServerName, ServerState]) -> Walked:
    """Go through the plan's steps; each decides as if the ones before it were done.

    Args:
        stage: the inputs of the steps.
        states: what is applied on each server now. Servers that are missing here are skipped.
    """
    now = dict(states)
    everywhere = [each for each in stage.scaled.inventory if each.tier in stage.definition.tiers]
    changes = [change for each in everywhere for change in _rename(stage, each)]
    changes += [change for each in everywhere for change in _handshake(stage, each, now)]
    walking = _Walking(stage, now, changes)
    for step in decided(stage.plan):
        run = stage.run(step)
        if step.kind is StepKind.UPDATE:
            walking.roll(run)
            continue
        decide, questions = step_work.decide(run), step_work.questions(run)
        for server in run.inventory.of_tier(run.tier):
            walking.decide(step, server, decide, questions)
    return Walked(
        changes=tuple(walking.changes),
        repeated=tuple(walking.repeated),
        objects=tuple(
            report.ChangedObject(kind, of, url, tuple(on), held=held)
            for (kind, of, url, held), on in walking.objects.items()
        ),
        states=now,
        work=walking.work,
    )


@dataclasses.dataclass
class _Walking:
    """The progress of a dry run. `now` is the servers' state at that point."""

    stage: DryRunContext
    now: dict[names.ServerName, ServerState]
    changes: list[report.Change]
    repeated: list[report.Change] = dataclasses.field(default_factory=list)
    objects: dict[tuple[report.ObjectKind, str, str, bool], list[names.ServerName]] = dataclasses.field(
        default_factory=dict
    )
    work: dict[names.ServerName, list[fan_out.Work]] = dataclasses.field(default_factory=dict, repr=False)

    def decide(
        self, step: Step, server: inventory.Server, decide: fan_out.Decide, questions: fan_out.Questions
    ) -> None:
        """Let a step decide about a server whose state is known."""
        state = self.now.get(server.name)
        if state is not None:
            self._take(
                step, server, state, decide(rolling_update_plan.target(server), state.applied(questions))
            )

    def roll(self, run: step_run.StepRun) -> None:
        """Go through the batches of an update."""
        found, questions = rolling_update_plan.of(run), step_work.questions(run)
        nodes = self._said(found.nodes, questions)
        if not found.outdated(nodes):
            return
        order = found.order(nodes, self._said(found.balancers, fan_out.Questions()))
        if order.stray:
            self._on_balancers(found, lambda target, _: found.join(target.name, order.stray, nodes))
        for batch in order.batches:
            self._batch(found, batch, nodes, questions)

    def _batch(
        self,
        found: rolling_update_plan.Rollout,
        batch: update_batches.Batch,
        nodes: rolling_update_plan.Said,
        questions: fan_out.Questions,
    ) -> None:
        self._on_balancers(found, lambda target, _: found.leave(target.name, batch))
        for node in found.nodes:
            if node.name in batch:
                self.decide(found.run.step, node, found.decide, questions)
        self._on_balancers(found, lambda target, _: found.join(target.name, batch, nodes))

    def _on_balancers(self, found: rolling_update_plan.Rollout, decide: fan_out.Decide) -> None:
        for balancer in found.balancers:
            self.decide(found.run.step, balancer, decide, fan_out.Questions())

    def _said(
        self, servers: Iterable[inventory.Server], questions: fan_out.Questions
    ) -> rolling_update_plan.Said:
        known = (each.name for each in servers if each.name in self.now)
        return {name: self.now[name].applied(questions) for name in known}

    def _take(self, step: Step, server: inventory.Server, state: ServerState, found: fan_out.Work) -> None:
        """Record the changes of some work, and assume it done."""
        scene = explain.StepContext(
            definition=self.stage.definition,
            step=step,
            server=server,
            state=state,
            work=found,
            request=self.stage.request,
            secrets=frozenset(self.stage.secrets),
            servers={
                each.private_address or "": each.name for each in self.stage.scaled.inventory.everything
            },
            earlier=tuple(each for each in self.changes if each.server == server.name),
            renewal=next(
                (
                    each
                    for each in self.stage.renewals
                    if each.service == step.service and server.slot in each.slots
                ),
                None,
            ),
        )
        self.changes += explain.explain(scene)
        self.repeated += explain.repeated(scene)
        for held, found_ in ((False, explain.other_objects(scene)), (True, explain.held_objects(scene))):
            for what in found_:
                self.objects.setdefault((*what, held), []).append(server.name)
        self.work.setdefault(server.name, []).append(found)
        self.now[server.name] = state.after(found)


def decided(plan: Plan) -> Iterable[Step]:
    """Return the steps that decide per server."""
    return (step for step in plan if step.facts.previewed and step.skipped is None)


def _rename(stage: DryRunContext, server: inventory.Server) -> Iterable[report.Change]:
    """Return the change of the name in the cloud, if the definition's name has changed since."""
    if servers.is_misnamed(server):
        step = _of_tier(stage, StepKind.SCALE_UP, server.tier)
        yield report.Change(
            step=step.id,
            kind=step.kind,
            server=server.name,
            reasons=("the definition names it so now",),
            details=(f"the cloud shows this name, and no longer {server.tagged_name or 'none'}",),
        )


def _of_tier(stage: DryRunContext, kind: StepKind, tier: names.TierName) -> Step:
    return next(each for each in stage.plan if each.kind is kind and each.tier == tier)


def _handshake(
    stage: DryRunContext, server: inventory.Server, states: Mapping[names.ServerName, ServerState]
) -> Iterable[report.Change]:
    """Return the agent's scripts that a running server lacks or has in another version."""
    state = states.get(server.name)
    if state is None or not state.stale or stage.scaled.actions[server.name] in _NEW:
        return
    step = _of_tier(stage, StepKind.HANDSHAKE, server.tier)
    yield report.Change(
        step=step.id,
        kind=step.kind,
        server=server.name,
        reasons=("the agent's scripts are not there, or others than this Gantry brings",),
        files=tuple(f"/enstratus/{each}" for each in state.stale),
    )


def ask(
    stage: DryRunContext, cloud: servers.Servers, only: Collection[names.ServerName] | None = None
) -> probe.Answers:
    """Return what is applied on each server (or `only` on these), and for the others why it is unknown.

    Queries all in parallel.
    """
    states: dict[names.ServerName, ServerState] = {}
    unknowns: dict[names.ServerName, str] = {}
    asked: dict[names.ServerName, probe.ProbeRequest[ServerState]] = {}
    for tier in stage.definition.tiers:
        interest = _interest(stage, tier)
        access = connections.access(stage.definition.launch_configuration_of(tier).ssh)
        for server in stage.scaled.inventory.of_tier(tier):
            if only is not None and server.name not in only:
                continue
            match stage.scaled.actions[server.name]:
                case Action.START | Action.REPLACE:
                    states[server.name] = ServerState()
                case Action.RESUME:
                    unknowns[server.name] = "it is stopped; what is applied there, it tells when it runs"
                case _:
                    try:
                        target = _reached(server, cloud)
                    except errors.GantryError as error:
                        unknowns[server.name] = _reason(server, error)
                    else:
                        asked[server.name] = probe.state(target, access, interest)
    for name, said in probe.look(tuple(asked.values())).items():
        if isinstance(said, ServerState):
            states[name] = said
        else:
            unknowns[name] = probe.reason(name, said)
    return probe.Answers(states, unknowns, asked)


def foreseen(
    stage: DryRunContext, answers: probe.Answers, walked: Walked
) -> tuple[report.BalancerPreview, ...]:
    """Return how the configuration of each load balancer's server changes, asking all that can tell."""
    tiers = dict.fromkeys(each.tier for each in stage.definition.load_balancers.values())
    on = tuple(each.name for tier in tiers for each in stage.scaled.inventory.of_tier(tier))
    return balancers.foresee(on, answers, walked.work, stage.secrets)


def _interest(stage: DryRunContext, tier: names.TierName) -> probe.Interest:
    """Return everything that the steps on a tier's servers will ask."""
    asked = [step_work.questions(stage.run(step)) for step in decided(stage.plan) if step.tier == tier]
    definition = stage.definition
    balanced = (each for each in definition.load_balancers.values() if each.tier == tier)
    return probe.Interest(
        checked=tuple(dict.fromkeys(each.checked for each in asked if each.checked is not None)),
        files=tuple(dict.fromkeys(path for each in asked for path in each.files)),
        configs=(
            *(layout.service_config(each.id) for each in definition.services_of(tier).values()),
            *(load_balancer_work.balancer_config(definition, each) for each in balanced),
        ),
    )


def _reached(server: inventory.Server, cloud: servers.Servers) -> ssh.Target:
    """Return how to reach a server; one without a handshake so far shows its host key on its console."""
    if server.host_key is None and server.state is inventory.InstanceState.RUNNING:
        server = dataclasses.replace(server, host_key=cloud.console_host_key(server))
    return step_run.target(server, server.name)


def _reason(server: inventory.Server, error: errors.GantryError) -> str:
    if server.state is not inventory.InstanceState.RUNNING:
        return f"its instance is {server.state}"
    if server.host_key is None and isinstance(error, servers.LostServerError):
        return "it has not shown its host key on its console yet"
    return probe.reason(server.name, error)
