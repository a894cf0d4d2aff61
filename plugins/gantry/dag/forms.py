"""Trigger forms: scalars, choices and lists of words, each in a section and with a description."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Param

from gantry.definition import models
from gantry.plan import scalable


def launch_params(definition: models.Definition) -> dict[str, Any]:
    """Return the form of a launch. Every field has a default, so a scheduled run needs no input."""
    params: dict[str, Any] = {}
    for name, tier in definition.tiers.items():
        params[f"servers_{name}"] = Param(
            tier.servers.min,
            type="integer",
            minimum=tier.servers.min,
            maximum=tier.servers.max,
            title=f"Servers of tier {name}",
            description=(
                f"How many servers the tier has at least after this launch ({tier.servers.min} to "
                f"{tier.servers.max}). What runs already is kept; only what is missing is started."
            ),
            section="Tiers",
        )
    managed = [
        name
        for name in sorted(definition.tiers)
        if definition.launch_configuration_of(name).configuration_management is not None
    ]
    if managed:
        params["converge"] = _choice(
            managed,
            title="Tiers to converge",
            description=(
                "Configuration management runs on all their servers even if nothing about it has changed. "
                "Leave empty to run it on new servers, and where run list, attributes or environment changed."
            ),
            section="Tiers",
        )
    services = sorted(definition.services)
    if services:
        params["redeploy"] = _choice(
            services,
            title="Services to redeploy",
            description=(
                "These are installed, configured and restarted even if nothing about them has changed. "
                "Leave empty to touch only what changed."
            ),
            section="Services",
        )
    params |= _from_dump(definition)
    params |= _reload_dump(definition)
    params["reason"] = _reason("Why this launch? It is kept in the run's record.")
    return params


def recover_params(definition: models.Definition) -> dict[str, Any]:
    """Return the form of a recovery: the servers to replace, and data that may be lost with them."""
    return {
        "servers": Param(
            [],
            type="array",
            items={"type": "string", "minLength": 1, "maxLength": 100},
            title="Servers to replace",
            description=(
                "Their names, or TIER-SLOT, one a line. Leave empty to replace every server that is found lost."
            ),
            section="Servers",
        ),
        "anyway": Param(
            default=False,
            type="boolean",
            title="Replace them even if they are well",
            description="Only those that are named. What is on them is lost.",
            section="Servers",
        ),
        **_from_dump(definition),
        "reason": _reason(),
    }


def _datasources(definition: models.Definition) -> list[str]:
    return [
        f"{name}.{datasource}"
        for name, service in sorted(definition.services.items())
        for datasource in sorted(service.datasources)
    ]


def _reload_dump(definition: models.Definition) -> dict[str, Any]:
    datasources = _datasources(definition)
    if not datasources:
        return {}
    return {
        "reload_dump": _choice(
            datasources,
            title="Data to replace by its dump",
            description=(
                "These are loaded from the definition's dump although they hold data, which is lost. Leave empty to "
                "load only what was never loaded; a dump that has changed is mentioned in the log."
            ),
            section="Data",
        )
    }


def _from_dump(definition: models.Definition) -> dict[str, Any]:
    datasources = _datasources(definition)
    if not datasources:
        return {}
    return {
        "from_dump": _choice(
            datasources,
            title="Lost data that may start from its dump",
            description=(
                "If the server of one of these is lost, or nothing is noted of it, its data starts over from the "
                "definition's dump. Otherwise lost data is restored from its newest backup, and without one the run "
                "is refused."
            ),
            section="Data",
        ),
        "from_backup": _choice(
            datasources,
            title="Data that begins from its newest backup",
            description=(
                "Only needed where a run was refused because nothing is noted of this data, and there may have been "
                "some. Data whose server is known to be lost is restored from its newest backup anyway."
            ),
            section="Data",
        ),
    }


def _reason(description: str = "Why?") -> Param:
    return Param("", type="string", maxLength=500, title="Reason", description=description, section="Record")


def scale_params(definition: models.Definition) -> dict[str, Any]:
    """Return the form of a scaling: a number for each scalable tier; empty leaves it unchanged."""
    params: dict[str, Any] = {
        f"servers_{name}": Param(
            None,
            type=["null", "integer"],
            minimum=definition.tiers[name].servers.min,
            maximum=definition.tiers[name].servers.max,
            title=f"Servers of tier {name}",
            description=(
                f"How many servers the tier shall have ({definition.tiers[name].servers.min} to "
                f"{definition.tiers[name].servers.max}). Of more, those of the highest slots are terminated. "
                "Leave empty to leave the tier as it is."
            ),
            section="Tiers",
        )
        for name in scalable(definition)
    }
    params["reason"] = _reason("Why? It is kept in the run's record.")
    return params


def _choice(choices: Sequence[str], *, title: str, description: str, section: str) -> Param:
    """Return a multiple choice of these names, none of them by default."""
    return Param(
        [],
        type="array",
        items={"type": "string", "enum": list(choices)},
        examples=list(choices),
        title=title,
        description=description,
        section=section,
    )


def backups_of(definition: models.Definition) -> models.Backups:
    """Return what is backed up. Only for a definition with backups."""
    if definition.backups is None:
        raise LookupError(f"{definition.deployment} has no backups")
    return definition.backups


def backup_params(definition: models.Definition) -> dict[str, Any]:
    """Return the form of a backup run. A scheduled run makes all backups."""
    return {
        "backups": _choice(
            sorted(backups_of(definition).of),
            title="Backups to make",
            description="Leave empty to make all of them.",
            section="Backups",
        ),
        "reason": _reason(),
    }


def restore_params(definition: models.Definition) -> dict[str, Any]:
    """Return the form of a restore: what, which backup, and the deployment's name typed."""
    known = sorted(backups_of(definition).of)
    return {
        "backup": Param(
            known[0],
            type="string",
            enum=known,
            title="Backup",
            description="What is restored.",
            section="Backup",
        ),
        "object": Param(
            "",
            type="string",
            maxLength=1200,
            title="Object",
            description=(
                "Which one: the object's name, or its address s3://… in a folder that the definition allows. "
                "Leave empty for the newest."
            ),
            section="Backup",
        ),
        "confirm": Param(
            "",
            type="string",
            title="Name of the deployment",
            description=(
                f"Type {definition.deployment} to replace its data with the backup's. What has changed since is lost."
            ),
            section="Confirmation",
        ),
        "reason": _reason(),
    }


def watch_params(definition: models.Definition) -> dict[str, Any]:  # noqa: ARG001 - as the other forms
    """Return the form of a watch run, which has no fields."""
    return {}


def drill_params(_: models.Definition) -> dict[str, Any]:
    """Return the form of a drill: the definition determines what it restores."""
    return {"reason": _reason()}


def termination_params(definition: models.Definition) -> dict[str, Any]:
    """Return the form of a termination: the deployment's name has to be typed."""
    params: dict[str, Any] = {
        "confirm": Param(
            "",
            type="string",
            title="Name of the deployment",
            description=(
                f"Type {definition.deployment} to terminate all its servers. Their data is lost with them."
            ),
            section="Confirmation",
        ),
    }
    if definition.backups is not None:
        params["final_backup"] = Param(
            definition.backups.final,
            type="boolean",
            title="Final backup",
            description=(
                "Make all backups before anything is stopped. If one of them fails, nothing is stopped or terminated."
            ),
            section="Confirmation",
        )
    params["force"] = Param(
        default=False,
        type="boolean",
        title="Force",
        description=(
            "Skip what does not answer or does not stop: it is terminated all the same, and reported. Otherwise "
            "nothing is terminated then."
        ),
        section="Confirmation",
    )
    params["reason"] = _reason()
    return params
