"""The request of each operation: one class each, with everything that its form says and takes."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from gantry import names
from gantry.names import Operation
from gantry.requests.errors import NotConfirmedError
from gantry.requests.fields import Choices, FieldKind, FormSection, OneOf, Switch, TierSizes, WordList
from gantry.requests.request import OperationRequest, field

if TYPE_CHECKING:
    from gantry.definition import models

_NO_SIZES: Mapping[str, int] = types.MappingProxyType({})

LONGEST_REASON = 500
"""Maximum length of a run's reason, in characters."""


def _managed_tiers(definition: models.Definition) -> list[str]:
    return [
        name
        for name in sorted(definition.tiers)
        if definition.launch_configuration_of(name).configuration_management is not None
    ]


def _services(definition: models.Definition) -> list[str]:
    return sorted(definition.services)


def _datasources(definition: models.Definition) -> list[str]:
    return [
        f"{name}.{datasource}"
        for name, service in sorted(definition.services.items())
        for datasource in sorted(service.datasources)
    ]


def _backups(definition: models.Definition) -> list[str]:
    return [] if definition.backups is None else sorted(definition.backups.of)


def _final_backup(definition: models.Definition) -> bool | None:
    return None if definition.backups is None else definition.backups.final


def _typed_name(consequence: str) -> FieldKind:
    return FieldKind(
        title="Name of the deployment",
        description=f"Type {{deployment}} {consequence}",
        section=FormSection.CONFIRMATION,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReasonedRequest(OperationRequest):
    """The part that all operations with a record share."""

    reason: str = field(
        FieldKind(
            title="Reason",
            description="Why? It is kept in the run's record.",
            section=FormSection.RECORD,
            longest=LONGEST_REASON,
        ),
        "",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MovableRequest(ReasonedRequest):
    """The part of operations that may be the first ones after the definition has moved to another DAG bundle."""

    new_bundle: str = field(
        FieldKind(
            title="New DAG bundle",
            description=(
                "Only where a run was refused because the definition has moved from one of Airflow's DAG bundles to "
                "another: the name of the one where it is now. The deployment is operated from there then."
            ),
            section=FormSection.CONFIRMATION,
            longest=250,
        ),
        "",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LostDataRequest(ReasonedRequest):
    """The part that operations share which may replace lost databases. Datasources are `SERVICE.DATASOURCE`."""

    from_dump: tuple[str, ...] = field(
        Choices(
            of=_datasources,
            what="datasource",
            title="Lost data that may start from its dump",
            description=(
                "If the server of one of these is lost, or nothing is noted of it, its data starts over from the "
                "definition's dump. Otherwise lost data is restored from its newest backup, and without one the run "
                "is refused."
            ),
            section=FormSection.DATA,
        ),
        (),
    )
    from_backup: tuple[str, ...] = field(
        Choices(
            of=_datasources,
            what="datasource",
            title="Data that begins from its newest backup",
            description=(
                "Only needed where a run was refused because nothing is noted of this data, and there may have been "
                "some. Data whose server is known to be lost is restored from its newest backup anyway."
            ),
            section=FormSection.DATA,
        ),
        (),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaunchRequest(LostDataRequest, MovableRequest):
    """What a launch is asked for. Every field has a default, so a scheduled run needs no input."""

    servers: Mapping[str, int] = field(
        TierSizes(
            changing=False,
            title="Servers of tier {tier}",
            description=(
                "How many servers the tier has at least after this launch ({min} to {max}). What runs already is "
                "kept; only what is missing is started."
            ),
            section=FormSection.TIERS,
        ),
        _NO_SIZES,
    )
    converge: tuple[str, ...] = field(
        Choices(
            of=_managed_tiers,
            what="tier with configuration management",
            title="Tiers to converge",
            description=(
                "Configuration management runs on all their servers even if nothing about it has changed. "
                "Leave empty to run it on new servers, and where run list, attributes or environment changed."
            ),
            section=FormSection.TIERS,
        ),
        (),
    )
    redeploy: tuple[str, ...] = field(
        Choices(
            of=_services,
            what="service",
            title="Services to redeploy",
            description=(
                "These are installed, configured and restarted even if nothing about them has changed. "
                "Leave empty to touch only what changed."
            ),
            section=FormSection.SERVICES,
        ),
        (),
    )
    reload_dump: tuple[str, ...] = field(
        Choices(
            of=_datasources,
            what="datasource",
            title="Data to replace by its dump",
            description=(
                "These are loaded from the definition's dump although they hold data, which is lost. Leave empty to "
                "load only what was never loaded; a dump that has changed is mentioned in the log."
            ),
            section=FormSection.DATA,
        ),
        (),
    )

    def sizes(self, definition: models.Definition) -> dict[str, int]:
        """Return the wanted number of servers of each tier: by default its `min`."""
        return {tier: self.servers.get(tier) or found.servers.min for tier, found in definition.tiers.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScaleRequest(ReasonedRequest):
    """What a scaling is asked for: numbers of servers. Tiers without one are left unchanged."""

    servers: Mapping[str, int] = field(
        TierSizes(
            changing=True,
            title="Servers of tier {tier}",
            description=(
                "How many servers the tier shall have ({min} to {max}). Of more, those of the highest slots are "
                "terminated. Leave empty to leave the tier as it is."
            ),
            section=FormSection.TIERS,
            option="TIER=N",
        ),
        _NO_SIZES,
    )

    def sizes(self, definition: models.Definition) -> dict[names.TierName, int]:
        """Return the wanted numbers of servers of the definition's tiers."""
        return {tier: self.servers[tier] for tier in definition.tiers if tier in self.servers}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecoverRequest(LostDataRequest):
    """What a recovery is asked for: the servers to replace, by name or `TIER-SLOT`; none: all that are found lost."""

    servers: tuple[str, ...] = field(
        WordList(
            title="Servers to replace",
            description=("Their names, or TIER-SLOT, one a line. Leave empty to replace every lost server."),
            section=FormSection.SERVERS,
            longest=100,
        ),
        (),
    )
    anyway: bool = field(
        Switch(
            title="Replace them even if they are well",
            description="Only those that are named. What is on them is lost.",
            section=FormSection.SERVERS,
        ),
        default=False,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackupRequest(ReasonedRequest):
    """What a backup run is asked for. A scheduled run makes all backups."""

    backups: tuple[str, ...] = field(
        Choices(
            of=_backups,
            what="backup",
            title="Backups to make",
            description="Leave empty to make all of them.",
            section=FormSection.BACKUPS,
            option="--only",
        ),
        (),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConfirmedRequest(ReasonedRequest):
    """The part that operations share for which the deployment's name has to be typed.

    Attributes:
        confirm: the typed name.
        warning: the text before a prompt for the name; `{name}` is replaced.
        nothing_done: what was not done if the name is wrong, for errors.
    """

    confirm: str = field(_typed_name("to go on."), "")
    warning: ClassVar[str]
    nothing_done: ClassVar[str]

    def require_confirmation(self, deployment: names.DeploymentName) -> None:
        """Raise NotConfirmedError if the deployment's name was not typed."""
        if self.confirm != deployment:
            raise NotConfirmedError(deployment, self.confirm, self.nothing_done)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RestoreRequest(ConfirmedRequest):
    """What a restore is asked for: which backup, and the deployment's name typed."""

    warning = "Data of {name} will be replaced with the backup's: what has changed since is lost."
    nothing_done = "nothing was restored"

    backup: str = field(
        OneOf(
            of=_backups,
            what="backup",
            title="Backup",
            description="What is restored.",
            section=FormSection.BACKUP,
            option="BACKUP",
        ),
        dataclasses.MISSING,
    )
    object: str = field(
        FieldKind(
            title="Object",
            description=(
                "Which one: the object's name, or its address s3://… in a folder that the definition allows. "
                "Leave empty for the newest."
            ),
            section=FormSection.BACKUP,
            longest=1200,
        ),
        "",
    )
    confirm: str = field(
        _typed_name("to replace its data with the backup's. What has changed since is lost."), ""
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TerminateRequest(ConfirmedRequest, MovableRequest):
    """What a termination is asked for. `final_backup` is None if the definition decides."""

    warning = "All servers of {name} will be terminated, and their data is lost with them."
    nothing_done = "nothing was terminated"

    confirm: str = field(_typed_name("to terminate all its servers. Their data is lost with them."), "")
    final_backup: bool | None = field(
        Switch(
            title="Final backup",
            description=(
                "Make all backups before anything is stopped. If one of them fails, nothing is stopped or terminated."
            ),
            section=FormSection.CONFIRMATION,
            default=_final_backup,
            requirement="does its definition say `backups:`?",
        ),
        None,
    )
    force: bool = field(
        Switch(
            title="Force",
            description=(
                "Skip servers that do not answer and services that do not stop: they are terminated anyway, and "
                "reported. Otherwise nothing is terminated then."
            ),
            section=FormSection.CONFIRMATION,
        ),
        default=False,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WatchRequest(OperationRequest):
    """A watch run, whose form has no fields."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrillRequest(ReasonedRequest):
    """What a drill is asked for: the definition determines what it restores."""


REQUESTS: dict[Operation, type[OperationRequest]] = {
    Operation.LAUNCH: LaunchRequest,
    Operation.SCALE: ScaleRequest,
    Operation.TERMINATE: TerminateRequest,
    Operation.BACKUP: BackupRequest,
    Operation.RESTORE: RestoreRequest,
    Operation.RECOVER: RecoverRequest,
    Operation.WATCH: WatchRequest,
    Operation.DRILL: DrillRequest,
}
"""In the order of `names.Operation`."""
