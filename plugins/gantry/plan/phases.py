"""Phases of a launch, as data: the states during each of them."""

from __future__ import annotations

import dataclasses
import enum


class Phase(enum.IntEnum):
    """The launch's phases in order. The value is the number that people know them by."""

    PRE_LAUNCH = 0
    SCALE_UP = 1
    PREPARE_CONFIGURATION_MANAGEMENT = 2
    EXECUTE_CONFIGURATION_MANAGEMENT = 3
    INSTALL_SERVICES = 4
    CONFIGURE_DEPENDENCIES = 5
    CONFIGURE_DEPENDENTS = 6
    START_PROXY = 7

    @property
    def title(self) -> str:
        """Return the displayed title, for example `service download and install`."""
        return FACTS[self].title


class DeploymentState(enum.StrEnum):
    """The state of a deployment."""

    STOPPED = "STOPPED"
    LAUNCHING = "LAUNCHING"
    RUNNING = "RUNNING"
    MAINTENANCE = "MAINTENANCE"
    STOPPING = "STOPPING"


class AgentState(enum.StrEnum):
    """The state of a server's agent."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    UNREACHABLE = "UNREACHABLE"


class ServiceState(enum.StrEnum):
    """The state of a service on one server."""

    PAUSED = "PAUSED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    IMPAIRED = "IMPAIRED"
    STOPPED = "STOPPED"


@dataclasses.dataclass(frozen=True)
class PhaseFacts:
    """One row of the launch's table.

    `depended_on` is the state of the services that others depend on, `dependent` that of all others, during the phase.
    """

    title: str
    deployment: DeploymentState
    depended_on: ServiceState | None
    dependent: ServiceState | None
    scripts: tuple[str, ...] = ()


FACTS: dict[Phase, PhaseFacts] = {
    Phase.PRE_LAUNCH: PhaseFacts("pre-launch", DeploymentState.STOPPED, None, None),
    Phase.SCALE_UP: PhaseFacts(
        "scale up", DeploymentState.LAUNCHING, ServiceState.PAUSED, ServiceState.PAUSED
    ),
    Phase.PREPARE_CONFIGURATION_MANAGEMENT: PhaseFacts(
        "prepare configuration management",
        DeploymentState.LAUNCHING,
        ServiceState.PAUSED,
        ServiceState.PAUSED,
    ),
    Phase.EXECUTE_CONFIGURATION_MANAGEMENT: PhaseFacts(
        "execute configuration management",
        DeploymentState.LAUNCHING,
        ServiceState.PAUSED,
        ServiceState.PAUSED,
        ("runConfigurationManagement-CHEF", "runConfigurationManagement-SCRIPT"),
    ),
    Phase.INSTALL_SERVICES: PhaseFacts(
        "service download and install",
        DeploymentState.LAUNCHING,
        ServiceState.STARTING,
        ServiceState.PAUSED,
        ("installService",),
    ),
    Phase.CONFIGURE_DEPENDENCIES: PhaseFacts(
        "configure dependencies",
        DeploymentState.LAUNCHING,
        ServiceState.STARTING,
        ServiceState.PAUSED,
        ("installDataSource", "configureService", "stopService", "startService"),
    ),
    Phase.CONFIGURE_DEPENDENTS: PhaseFacts(
        "configure dependent services",
        DeploymentState.LAUNCHING,
        ServiceState.RUNNING,
        ServiceState.STARTING,
        ("grantDatabaseAccess", "configureService", "stopService", "startService"),
    ),
    Phase.START_PROXY: PhaseFacts(
        "start proxy",
        DeploymentState.LAUNCHING,
        ServiceState.RUNNING,
        ServiceState.RUNNING,
        ("startProxy",),
    ),
}
