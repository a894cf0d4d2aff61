"""Table of step kinds: one row each, with everything that applies to all steps of the kind.

A new kind is a name in `gantry.names.StepKind`, a row here, and an operator in `gantry.operators.registry`.
"""

from __future__ import annotations

import dataclasses
import enum

from gantry.names import Operation, StepKind
from gantry.plan.phases import Phase


class Effect(enum.Enum):
    """The effect of a step on the deployment: the weakest that applies, from a question to a change."""

    ASKS = "asks"
    """Asks a person for approval. Other operations do not wait meanwhile."""

    LOOKS = "looks"
    """Belongs to a run that changes nothing, and so takes no lock."""

    WAITS = "waits"
    """Waits until no other operation is working."""

    CHECKS = "checks"
    """Comes before a termination's changes: everything still works as before."""

    CHOOSES = "chooses"
    """Chooses what the steps after it work on. Everything still works as before."""

    CHANGES = "changes"
    """Changes the deployment, its servers or what runs on them."""

    RECORDS = "records"
    """Records what was done."""


class Requirement(enum.Enum):
    """What a step needs, and so what is checked before an operation begins."""

    NEW_SERVERS = "new servers"
    """May start servers of its tier. Steps of a tier without this log in to existing servers."""

    MANAGEMENT = "configuration management"
    TIER_ARCHIVES = "archives of the tier's services"
    ARCHIVE = "archive of the service"
    DUMPS = "dumps of the service"
    CONNECTIONS = "connections of the service"
    CERTIFICATE = "certificate of the balancer"
    BACKUPS = "backups"


@dataclasses.dataclass(frozen=True)
class KindFacts:
    """Properties of every step of a kind.

    Attributes:
        effect: its effect on the deployment.
        phase: the phase of a launch that it belongs to; None for the phase in which its service is set up. Outside of
            a launch, the phase that it undoes or `PRE_LAUNCH`.
        per_server: whether its work is distributed over the servers of its tier, with several task instances in
            parallel.
        row: the name of a separate group of its task instances, if any: they wait until the step before is done on
            every server, and the step after waits for all of them. Empty: a server proceeds to the next step
            independently.
        previewed: whether `gantry plan` shows what it would change on each server.
        installs: whether it installs a service's archive on servers. Then it also records the version found there.
        needs: what it needs.
        triggers: the operation that it triggers if a check of the servers calls for it. Of several, the first row
            takes precedence.
        carries_definition: whether its task carries the definition for the pages. One step of each plan does.
        keeps_state: whether its task protects the asset with the deployment's state.
        opens_application: whether its task has a link to the application.
        title: its task's displayed title; empty for the kind's name.
        short: the same for tight spaces.
    """

    effect: Effect
    phase: Phase | None
    per_server: bool = False
    row: str = ""
    previewed: bool = False
    installs: bool = False
    needs: frozenset[Requirement] = frozenset()
    triggers: Operation | None = None
    carries_definition: bool = False
    keeps_state: bool = False
    opens_application: bool = False
    title: str = ""
    short: str = ""


def _needs(*needs: Requirement) -> frozenset[Requirement]:
    return frozenset(needs)


STEP_KINDS: dict[StepKind, KindFacts] = {
    StepKind.APPROVE: KindFacts(Effect.ASKS, Phase.PRE_LAUNCH),
    StepKind.TURN: KindFacts(
        Effect.WAITS, Phase.PRE_LAUNCH, carries_definition=True, keeps_state=True, title="wait for turn"
    ),
    StepKind.FIND_LOST: KindFacts(Effect.CHOOSES, Phase.PRE_LAUNCH, keeps_state=True),
    StepKind.SCALE_UP: KindFacts(Effect.CHANGES, Phase.SCALE_UP, needs=_needs(Requirement.NEW_SERVERS)),
    StepKind.HANDSHAKE: KindFacts(Effect.CHANGES, Phase.SCALE_UP, per_server=True),
    StepKind.PREPARE_CONFIGURATION_MANAGEMENT: KindFacts(
        Effect.CHANGES,
        Phase.PREPARE_CONFIGURATION_MANAGEMENT,
        per_server=True,
        previewed=True,
        needs=_needs(Requirement.MANAGEMENT),
        short="prepare",
    ),
    StepKind.EXECUTE_CONFIGURATION_MANAGEMENT: KindFacts(
        Effect.CHANGES,
        Phase.EXECUTE_CONFIGURATION_MANAGEMENT,
        per_server=True,
        previewed=True,
        needs=_needs(Requirement.MANAGEMENT),
        short="execute",
    ),
    StepKind.INSTALL_SERVICES: KindFacts(
        Effect.CHANGES,
        Phase.INSTALL_SERVICES,
        per_server=True,
        previewed=True,
        installs=True,
        needs=_needs(Requirement.TIER_ARCHIVES),
        short="install",
    ),
    StepKind.INSTALL_DATASOURCES: KindFacts(
        Effect.CHANGES,
        None,
        per_server=True,
        previewed=True,
        needs=_needs(Requirement.DUMPS, Requirement.CONNECTIONS),
        short="datasources",
    ),
    StepKind.UPDATE: KindFacts(
        Effect.CHANGES,
        None,
        previewed=True,
        installs=True,
        needs=_needs(Requirement.ARCHIVE, Requirement.CONNECTIONS),
    ),
    StepKind.CONFIGURE: KindFacts(
        Effect.CHANGES, None, per_server=True, previewed=True, needs=_needs(Requirement.CONNECTIONS)
    ),
    StepKind.RESTART: KindFacts(
        Effect.CHANGES, None, per_server=True, previewed=True, needs=_needs(Requirement.CONNECTIONS)
    ),
    # They copy from a master whose own step has to be done.
    StepKind.CONFIGURE_REPLICANTS: KindFacts(
        Effect.CHANGES,
        None,
        per_server=True,
        row="replicants",
        previewed=True,
        needs=_needs(Requirement.CONNECTIONS),
        short="replicants",
    ),
    # A dependent of a database gets access on every one of its servers.
    StepKind.GRANT_ACCESS: KindFacts(
        Effect.CHANGES,
        None,
        per_server=True,
        row="grants",
        previewed=True,
        needs=_needs(Requirement.CONNECTIONS),
    ),
    StepKind.START_PROXY: KindFacts(
        Effect.CHANGES,
        Phase.START_PROXY,
        per_server=True,
        previewed=True,
        needs=_needs(Requirement.CERTIFICATE),
        opens_application=True,
    ),
    StepKind.FINISH_LAUNCH: KindFacts(
        Effect.CHANGES, Phase.START_PROXY, opens_application=True, short="finish"
    ),
    StepKind.REMOVE_NEW_SERVERS: KindFacts(Effect.CHANGES, Phase.SCALE_UP),
    StepKind.CHOOSE_SERVERS: KindFacts(Effect.CHOOSES, Phase.SCALE_UP),
    StepKind.RELEASE_NODES: KindFacts(Effect.CHANGES, Phase.SCALE_UP),
    StepKind.RETIRE_SERVERS: KindFacts(Effect.CHANGES, Phase.START_PROXY),
    StepKind.CONFIRM: KindFacts(Effect.ASKS, Phase.PRE_LAUNCH),
    StepKind.ASK_SERVERS: KindFacts(Effect.CHECKS, Phase.PRE_LAUNCH),
    StepKind.STOP_PROXY: KindFacts(Effect.CHANGES, Phase.START_PROXY),
    StepKind.STOP_SERVICE: KindFacts(Effect.CHANGES, Phase.CONFIGURE_DEPENDENTS),
    StepKind.TERMINATE_SERVERS: KindFacts(Effect.CHANGES, Phase.SCALE_UP),
    StepKind.CLEAN_UP_CONFIGURATION_MANAGEMENT: KindFacts(
        Effect.CHANGES, Phase.PREPARE_CONFIGURATION_MANAGEMENT, short="clean up"
    ),
    StepKind.FINISH_TERMINATION: KindFacts(Effect.CHANGES, Phase.PRE_LAUNCH, short="finish"),
    StepKind.BACK_UP: KindFacts(Effect.CHECKS, Phase.PRE_LAUNCH, needs=_needs(Requirement.BACKUPS)),
    StepKind.KEEP_BACKUP: KindFacts(Effect.CHECKS, Phase.PRE_LAUNCH),
    StepKind.CONFIRM_RESTORE: KindFacts(Effect.ASKS, Phase.PRE_LAUNCH),
    StepKind.RESTORE: KindFacts(Effect.CHANGES, Phase.PRE_LAUNCH, needs=_needs(Requirement.BACKUPS)),
    StepKind.WATCH: KindFacts(Effect.LOOKS, Phase.PRE_LAUNCH, carries_definition=True),
    StepKind.TRIGGER_RECOVER: KindFacts(Effect.LOOKS, Phase.PRE_LAUNCH, triggers=Operation.RECOVER),
    StepKind.TRIGGER_SCALE: KindFacts(Effect.LOOKS, Phase.PRE_LAUNCH, triggers=Operation.SCALE),
    StepKind.KEEP_RECORD: KindFacts(Effect.RECORDS, Phase.PRE_LAUNCH),
    StepKind.CHOOSE_BACKUPS: KindFacts(Effect.CHOOSES, Phase.PRE_LAUNCH, needs=_needs(Requirement.BACKUPS)),
    StepKind.CHECK_BACKUP: KindFacts(Effect.CHANGES, Phase.PRE_LAUNCH),
    StepKind.REMOVE_DRILL_SERVERS: KindFacts(Effect.CHANGES, Phase.PRE_LAUNCH),
    StepKind.FINISH_DRILL: KindFacts(Effect.CHANGES, Phase.PRE_LAUNCH),
}
"""In the order of `names.StepKind`."""


def with_effect(*effects: Effect) -> frozenset[StepKind]:
    """Return the kinds that have one of these effects."""
    return frozenset(kind for kind, facts in STEP_KINDS.items() if facts.effect in effects)


BEFORE_WORK = with_effect(Effect.ASKS, Effect.LOOKS, Effect.WAITS)
"""Steps that do not need the lock."""

UNTOUCHING = BEFORE_WORK | with_effect(Effect.CHECKS, Effect.CHOOSES)
"""Steps after which everything in the deployment still works as before."""

TRIGGERED = {kind: facts.triggers for kind, facts in STEP_KINDS.items() if facts.triggers is not None}
"""The operations that a check of the servers may trigger, by kind of the triggering step, by precedence."""
