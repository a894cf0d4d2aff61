"""A whole deployment, as written."""

from __future__ import annotations

import datetime
from typing import Annotated

import pydantic
from pydantic import Field

from gantry import names
from gantry.definition.fields import (
    BalancerName,
    ConfigurationName,
    CustomerId,
    DeploymentName,
    Duration,
    Model,
    ServiceName,
    TierName,
    UserId,
)
from gantry.definition.models import runs
from gantry.definition.models.servers import Cloud, LaunchConfiguration, Tier
from gantry.definition.models.services import LoadBalancer, Service, ServicePort


class Definition(Model):
    """A whole deployment, as written."""

    deployment: DeploymentName = Field(
        description="Name of the deployment and of its launch DAG.", examples=["bookshop"]
    )
    description: str = Field(
        default="", description="A line for people.", examples=["A small bookshop on three tiers"]
    )
    tags: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field(
        default=(), description="More tags for the DAGs.", examples=[["shops", "team-blue"]]
    )
    schedule: str | None = Field(
        default=None,
        description=(
            "Cron expression (five fields) or `@daily` and the like: the launch is repeated then, and converges. "
            "Left out: launched by hand only."
        ),
        examples=["0 4 * * 0"],
    )
    timezone: str = Field(
        default="UTC", description="The time zone that the schedule is meant in.", examples=["Europe/Berlin"]
    )
    customer_id: CustomerId = Field(
        default=names.CustomerId("c100"),
        description="`c` and digits; also the user that services run as.",
        examples=["c100"],
    )
    user_id: UserId = Field(
        default="gantry",
        description="Handed to `installService` and `configureService` as the one on whose behalf.",
        examples=["gantry"],
    )
    fan_out: Annotated[int, Field(strict=True, ge=runs.SMALLEST_FAN_OUT, le=runs.LARGEST_FAN_OUT)] = Field(
        default=8,
        description=(
            "Into how many task instances a tier's servers are dealt per step; more servers than that share one, "
            "which drives them side by side."
        ),
        examples=[8],
    )
    attend_time: Duration = Field(
        default=datetime.timedelta(seconds=30),
        description="How long a worker follows a script before it leaves it to the triggerer.",
        examples=["30s"],
    )
    timeouts: runs.Timeouts = Field(
        default=runs.Timeouts(),
        description="How long each kind of step may take.",
        examples=[{"configure": "5m", "check": "90s"}],
    )
    cloud: Cloud = Field(description="Which cloud the servers run in.", examples=[{"region": "eu-central-1"}])
    launch_configurations: Annotated[dict[ConfigurationName, LaunchConfiguration], Field(min_length=1)] = (
        Field(
            description="How servers are made, by name.",
            examples=[{"debian": {"image": "ami-0123456789abcdef0", "ssh": {"connection": "bookshop_ssh"}}}],
        )
    )
    tiers: Annotated[dict[TierName, Tier], Field(min_length=1)] = Field(
        description="Sets of like servers, by name.",
        examples=[{"web": {"launch_configuration": "debian", "servers": 2}}],
    )
    services: dict[ServiceName, Service] = Field(
        default_factory=dict,
        description="What is installed on the servers, by name.",
        examples=[{"page": {"id": "a3001", "tier": "web", "archive": "s3://hello/page.tar.gz"}}],
    )
    load_balancers: dict[BalancerName, LoadBalancer] = Field(
        default_factory=dict,
        description="What spreads traffic over services, by name.",
        examples=[{"main": {"tier": "front", "service": "page", "name": "hello.example.com"}}],
    )

    @pydantic.field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return runs.known_time_zone(value)

    @pydantic.field_validator("schedule")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        return runs.schedule(value)

    def services_of(self, tier: names.TierName) -> dict[names.ServiceName, Service]:
        """The services that run on a tier, in the order of the file."""
        return {name: service for name, service in self.services.items() if service.tier == tier}

    def launch_configuration_of(self, tier: names.TierName) -> LaunchConfiguration:
        """The launch configuration that a tier's servers are made from."""
        return self.launch_configurations[self.tiers[tier].launch_configuration]

    def port_behind(self, balancer: LoadBalancer) -> ServicePort:
        """The port that a load balancer sends to."""
        service = self.services[balancer.service]
        if balancer.service_port is not None and balancer.service_port in service.ports:
            return service.ports[balancer.service_port]
        return service.listens[0]

    def customer_of(self, service: Service) -> names.CustomerId:
        """The customer that a service belongs to."""
        return service.customer_id or self.customer_id

    def user_of(self, service: Service) -> str:
        """The user on whose behalf a service is installed and configured."""
        return service.user_id or self.user_id
