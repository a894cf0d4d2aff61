"""A whole deployment, as written."""

from __future__ import annotations

import datetime
import zoneinfo
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from gantry import names
from gantry.definition import template_facts
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
    VariableName,
)
from gantry.definition.models import notifications, runs
from gantry.definition.models import scaling as clock
from gantry.definition.models.backups import Backups
from gantry.definition.models.servers import Cloud, LaunchConfiguration, Tier
from gantry.definition.models.services import LoadBalancer, Service, ServicePort
from gantry.definition.models.updates import Update
from gantry.definition.models.variables import Variable
from gantry.definition.models.watch import Watch

SERVER_NAME = "{{ deployment.name }}-{{ tier.name }}-{{ server.slot }}"
LONGEST_NAME_TEMPLATE = 200
"""Characters. The resulting name has at most 63."""

WRITTEN = "written by a person"
"""The validation context for the content of a file."""


class Definition(Model):
    """A whole deployment, as written."""

    deployment: DeploymentName = Field(
        description="Name of the deployment and of its launch DAG.", examples=["bookshop"]
    )
    description: str = Field(
        default="", description="A one-line description.", examples=["A small bookshop on three tiers"]
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
        default="UTC",
        description="The time zone of the schedules.",
        examples=["Europe/Berlin"],
    )
    scaling: tuple[clock.ScalingTime, ...] = Field(
        default=(),
        description=(
            "Times at which tiers become larger or smaller, while the deployment has servers. Left out: scaled by "
            "hand only."
        ),
        examples=[
            [
                {"schedule": "0 8 * * 1-5", "servers": {"web": 4}},
                {"schedule": "0 20 * * *", "servers": {"web": 2}},
            ]
        ],
    )
    owner: Annotated[str, Field(min_length=1, max_length=100)] = Field(
        default="gantry", description="Airflow's owner of the tasks.", examples=["team-blue"]
    )
    customer_id: CustomerId = Field(
        default=names.CustomerId("c100"),
        description="`c` and digits; also the user that services run as.",
        examples=["c100"],
    )
    user_id: UserId = Field(
        default="gantry",
        description=(
            "Passed to `installService` and `configureService` as the user on whose behalf they run."
        ),
        examples=["gantry"],
    )
    fan_out: Annotated[int, Field(strict=True, ge=runs.SMALLEST_FAN_OUT, le=runs.LARGEST_FAN_OUT)] = Field(
        default=8,
        description=(
            "How many task instances a tier's servers are distributed over in each step. If there are more servers, "
            "a task instance works on several of them in parallel."
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
    retries: runs.Retries = Field(
        default=2,
        description=(
            "How often a step is retried after a temporary failure: a lost worker, a throttled call, an unreachable "
            "server. For failures of scripts see `steps`."
        ),
        examples=[2],
    )
    retry_delay: Duration = Field(
        default=datetime.timedelta(seconds=5),
        description="How long to wait before a step is retried.",
        examples=["30s"],
    )
    pool: runs.Pool | None = Field(
        default=None,
        description="Airflow pool of all tasks. Left out: Airflow's default pool.",
        examples=["launches"],
    )
    max_active_tasks: runs.Count | None = Field(
        default=None,
        description=(
            "How many tasks of a run may work at the same time. Left out: as Airflow is configured."
        ),
        examples=[32],
    )
    dagrun_timeout: Duration | None = Field(
        default=None,
        description=(
            "A launch that takes longer is stopped, together with its scripts, and fails. Left out: no limit."
        ),
        examples=["2h"],
    )
    steps: dict[runs.StepName, runs.StepSettings] = Field(
        default_factory=dict,
        description="How Airflow runs the tasks of a kind of step, by its name.",
        examples=[{"configure": {"retries": 3, "retry_delay": "30s"}}],
    )
    approval: notifications.Approval | None = Field(
        default=None,
        description="A person has to agree before anything is started. Left out: no approval is needed.",
        examples=[{"response_timeout": "8h"}],
    )
    on_failure: Literal["keep", "remove_new"] = Field(
        default="keep",
        description=(
            "What happens to the servers that a failed launch has started: `keep` leaves them, to be looked at and "
            "for the next launch to continue with; `remove_new` terminates those with which the deployment was never "
            "RUNNING, and leaves the others as they are."
        ),
        examples=["remove_new"],
    )
    deadline: notifications.Deadline | None = Field(
        default=None,
        description="When a launch should be over, and who is notified when it is not. Left out: no one.",
        examples=[
            {
                "interval": "30m",
                "callback": [{"notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier"}],
            }
        ],
    )
    on_success_callback: tuple[notifications.Notifier, ...] = Field(
        default=(),
        description="Who is notified that the deployment is RUNNING.",
        examples=[[{"notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier"}]],
    )
    on_failure_callback: tuple[notifications.Notifier, ...] = Field(
        default=(),
        description="Who is notified that a launch, a scaling or a termination has failed.",
        examples=[[{"notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier"}]],
    )
    cloud: Cloud = Field(description="Which cloud the servers run in.", examples=[{"region": "eu-central-1"}])
    launch_configurations: Annotated[dict[ConfigurationName, LaunchConfiguration], Field(min_length=1)] = (
        Field(
            description="How servers are created, by name.",
            examples=[{"debian": {"image": "ami-0123456789abcdef0", "ssh": {"connection": "bookshop_ssh"}}}],
        )
    )
    tiers: Annotated[dict[TierName, Tier], Field(min_length=1)] = Field(
        description="Groups of servers of the same kind, by name.",
        examples=[{"web": {"launch_configuration": "debian", "servers": 2}}],
    )
    server_name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME_TEMPLATE)] = Field(
        default=SERVER_NAME,
        description=(
            "Names of servers: a template that can use `deployment.name`, `tier.name` and `server.slot`. Each name "
            "is a host name that is unique within the deployment, of at most 63 characters."
        ),
        examples=['{{ tier.name }}{{ "%02d" | format(server.slot) }}-{{ deployment.name }}'],
    )
    services: dict[ServiceName, Service] = Field(
        default_factory=dict,
        description="What is installed on the servers, by name.",
        examples=[{"page": {"id": "a3001", "tier": "web", "archive": "s3://hello/page.tar.gz"}}],
    )
    load_balancers: dict[BalancerName, LoadBalancer] = Field(
        default_factory=dict,
        description="What distributes traffic over the servers of services, by name.",
        examples=[{"main": {"tier": "front", "service": "page", "name": "hello.example.com"}}],
    )

    backups: Backups | None = Field(
        default=None,
        description="What is backed up. Left out: nothing, and there are no DAGs for it.",
        examples=[{"of": {"data": "db.main"}, "to": "s3://hello/backups/", "schedule": "0 2 * * *"}],
    )

    watch: Watch | None = Field(
        default=None,
        description=(
            "How often the servers are checked. Left out: they are not watched, and there is no DAG for it."
        ),
        examples=[{"every": "1m"}],
    )

    variables: dict[VariableName, Variable] = Field(
        default_factory=dict,
        description="Values that differ between environments, by name. Each is used as `${NAME}` in any value.",
        examples=[{"size": "t3.small", "servers": {"type": "integer", "default": 2}}],
    )

    @pydantic.field_validator("approval", mode="before")
    @classmethod
    def _written_out(cls, value: object, info: pydantic.ValidationInfo) -> object:
        if value is None and info.context == WRITTEN:
            # `approval:` without a value does not mean that no approval is required. (A dumped definition contains
            # None deliberately.)
            raise ValueError("write approval: {} to ask for one, or leave the key out")
        return value

    @pydantic.field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return runs.known_time_zone(value)

    @pydantic.field_validator("schedule")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        return runs.schedule(value)

    @pydantic.field_validator("server_name")
    @classmethod
    def _only_expressions(cls, value: str) -> str:
        # Loops could take minutes, and names are generated at each parse of the DAG.
        if "{%" in value:
            raise ValueError("a server's name is text and expressions {{ … }}, and no statements {% … %}")
        return value

    def name_of(self, tier: names.TierName, slot: int) -> names.ServerName:
        """Return the name of the server that fills a slot of a tier, even of a tier that the definition no longer has.

        Raises:
            TemplateError: `server_name` cannot be rendered, which does not happen in a checked definition.
        """
        if self.server_name == SERVER_NAME:
            return names.ServerName(f"{self.deployment}-{tier}-{slot}")
        # Jinja is loaded only if needed.
        from gantry import templates  # noqa: PLC0415

        facts = template_facts.InServerName(
            deployment=template_facts.TemplateNamed(name=self.deployment),
            tier=template_facts.TemplateNamed(name=tier),
            server=template_facts.Numbered(slot=slot),
        )
        return names.ServerName(templates.render(self.server_name, facts.known()))

    def names_of(self, tier: names.TierName) -> tuple[names.ServerName, ...]:
        """Return the names that the servers of a tier can have, by slot."""
        return tuple(self.name_of(tier, slot) for slot in range(1, self.tiers[tier].servers.max + 1))

    def resource_tags(self, tier: names.TierName) -> dict[str, str]:
        """Return the tags of a tier's instances and their resources; the launch configuration's take precedence."""
        return {**self.cloud.tags, **self.launch_configuration_of(tier).tags}

    def services_of(self, tier: names.TierName) -> dict[names.ServiceName, Service]:
        """Return the services that run on a tier, in the order of the file."""
        return {name: service for name, service in self.services.items() if service.tier == tier}

    def step_settings(self, step: str) -> runs.StepSettings | None:
        """Return the settings for the tasks of a kind of step, if any."""
        return next((settings for name, settings in self.steps.items() if name == step), None)

    def retries_every_failure(self, step: str) -> bool:
        """Return whether the definition sets the retries of a kind of step, which then apply to any failure."""
        settings = self.step_settings(step)
        return settings is not None and settings.retries is not None

    def launch_configuration_of(self, tier: names.TierName) -> LaunchConfiguration:
        """Return the launch configuration of a tier's servers."""
        return self.launch_configurations[self.tiers[tier].launch_configuration]

    def scaled_at(self, moment: datetime.datetime) -> dict[names.TierName, int]:
        """Return the scheduled numbers of servers at a time (with a time zone), by tier; others are absent."""
        zone = zoneinfo.ZoneInfo(self.timezone)
        return clock.at(self.scaling, moment.astimezone(zone).replace(tzinfo=None))

    def update_of(self, name: ServiceName) -> Update | None:
        """Return how a service is updated while it serves; None if all its servers are set up in parallel.

        A service with datasources is a database: its servers have different roles, and a balancer cannot spare one.
        """
        service = self.services[name]
        is_balanced = any(each.service == name for each in self.load_balancers.values())
        return (service.update or Update()) if is_balanced and not service.datasources else None

    def drain_of(self, name: ServiceName) -> datetime.timedelta:
        """Return how long open requests may take after a server of a service was removed from the balancers."""
        return (self.services[name].update or Update()).drain

    def balancers_before(self, name: ServiceName) -> dict[names.BalancerName, LoadBalancer]:
        """Return the load balancers that a server leaves when its address leaves the service's balancers.

        They may also balance other services of its tier: a server is removed by its address.
        """
        tiers = {each.tier for each in self.load_balancers.values() if each.service == name}
        return {
            key: each
            for key, each in self.load_balancers.items()
            if each.tier in tiers and self.services[each.service].tier == self.services[name].tier
        }

    def port_behind(self, balancer: LoadBalancer) -> ServicePort:
        """Return the port that a load balancer sends to."""
        service = self.services[balancer.service]
        if balancer.service_port is not None and balancer.service_port in service.ports:
            return service.ports[balancer.service_port]
        return service.listens[0]

    def customer_of(self, service: Service) -> names.CustomerId:
        """Return the customer that a service belongs to."""
        return service.customer_id or self.customer_id

    def user_of(self, service: Service) -> str:
        """Return the user on whose behalf a service is installed and configured."""
        return service.user_id or self.user_id
