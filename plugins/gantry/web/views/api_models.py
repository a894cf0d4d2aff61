"""Typed JSON models of the API. Each is created from the data that the pages show."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated

import pydantic
from pydantic import Field

from gantry import inventory as inventories
from gantry import overview, plan, status
from gantry.state import config_history, installed_versions, run_records
from gantry.web.queries import deployment_queries, listing, model


class ResponseModel(pydantic.BaseModel):
    """Base class of the parts of a response."""

    model_config = pydantic.ConfigDict(frozen=True)


class RunResponse(ResponseModel):
    """A run of an operation."""

    dag: str
    id: str
    operation: str
    state: Annotated[str, Field(description="Airflow's own value: `queued`, `running`, `success`, `failed`.")]
    asked: Annotated[datetime.datetime, Field(description="When it was requested, or was due.")]
    started: datetime.datetime | None
    ended: datetime.datetime | None
    by: Annotated[str, Field(description="Who requested it: a user, `schedule`, or empty if unknown.")]

    @classmethod
    def of(cls, found: overview.Run) -> RunResponse:
        """Create from the read model."""
        return cls(
            dag=found.dag,
            id=found.id,
            operation=found.operation_name,
            state=found.state,
            asked=found.asked,
            started=found.started,
            ended=found.ended,
            by=found.by,
        )


class Requested(RunResponse):
    """A run, with its request."""

    queued: Annotated[datetime.datetime | None, Field(description="When Airflow took it.")]
    user: Annotated[str | None, Field(description="Null if no user requested it.")]
    reason: str

    @classmethod
    def made_of(cls, found: overview.Run, request: deployment_queries.Request) -> Requested:
        """Create from the read model."""
        more = {"queued": request.queued, "user": found.user, "reason": request.reason}
        return cls.model_validate({**RunResponse.of(found).model_dump(), **more})


class TierResponse(ResponseModel):
    """The number of a tier's servers that run, and the minimum that a launch wants, taking scaling into account."""

    name: str
    running: int
    wanted: int

    @classmethod
    def of(cls, found: overview.TierView) -> TierResponse:
        """Create from the read model."""
        return cls(name=found.name, running=found.running, wanted=found.wanted)


class ServiceResponse(ResponseModel):
    """A service on all its servers."""

    name: str
    id: str
    tier: str
    state: plan.ServiceState | None
    version: Annotated[
        str, Field(description="Of the archive that is installed; empty where that is not known.")
    ]
    servers: Annotated[dict[str, plan.ServiceState], Field(description="Its state by server.")]

    @classmethod
    def of(cls, found: overview.ServiceView) -> ServiceResponse:
        """Create from the read model."""
        return cls(
            name=found.name,
            id=found.id,
            tier=found.tier,
            state=found.state,
            version=found.version,
            servers={str(server): state for server, state in found.states.items()},
        )


class ServiceDetail(ServiceResponse):
    """A service, with the recorded versions."""

    installed: Annotated[
        dict[str, installed_versions.Installed] | None,
        Field(
            description="What is installed by server, and by which run; a version of null is unfinished. "
            "Null for who may not read assets."
        ),
    ]
    differs: Annotated[bool, Field(description="Its servers have several versions, as far as that is shown.")]

    @classmethod
    def made_of(cls, found: overview.ServiceView, *, is_shown: bool) -> ServiceDetail:
        """Create from the read model."""
        installed = {str(server): each for server, each in found.installed.items()}
        return cls(
            **dict(ServiceResponse.of(found)),
            installed=installed if is_shown else None,
            differs=found.differs,
        )


class ProgressResponse(ResponseModel):
    """The progress of a run."""

    phase: str | None
    done: Annotated[int, Field(description="Phases that are done.")]
    of: Annotated[int, Field(description="Phases that it has work in.")]

    @classmethod
    def made_of(cls, found: overview.RunProgress) -> ProgressResponse:
        """Create from the read model."""
        return cls(phase=None if found.phase is None else found.phase.title, done=found.done, of=found.of)


Requests = Mapping[tuple[str, str], deployment_queries.Request]
"""The requests of runs, by DAG and run."""


class SummaryResponse(ResponseModel):
    """A deployment in the list."""

    name: str
    description: str
    tags: tuple[str, ...]
    state: plan.DeploymentState
    failed: Annotated[bool, Field(description="The run that made the state what it is did not get further.")]
    paused: Annotated[bool, Field(description="Its launch DAG is paused.")]
    import_error: Annotated[bool, Field(description="Airflow cannot read its definition now.")]
    last_run: Annotated[RunResponse | None, Field(description="The one that was asked for last.")]
    worked: Annotated[
        Requested | None,
        Field(description="Of the runs that change it, the one that worked last or waits for its turn."),
    ]
    settled: Annotated[
        bool,
        Field(description="Runs older than those read cannot affect `state`, `failed` and `worked`."),
    ]
    next_redeploy: datetime.datetime | None
    tiers: tuple[TierResponse, ...]
    services: tuple[ServiceResponse, ...]
    progress: Annotated[ProgressResponse | None, Field(description="Of the run in progress.")]
    awaits_answer: Annotated[bool, Field(description="The run waits for a person.")]

    @classmethod
    def of(cls, found: overview.DeploymentOverview, requests: Requests) -> SummaryResponse:
        """Create from the read model."""
        row, dag = found.row, found.row.dag
        worked = row.worked
        return cls(
            name=row.name,
            description=dag.description,
            tags=dag.tags,
            state=row.standing.state,
            failed=row.standing.failed,
            paused=dag.is_paused,
            import_error=dag.is_broken,
            last_run=None if row.last is None else RunResponse.of(row.last),
            worked=None
            if worked is None
            else Requested.made_of(worked, requests.get(worked.key, deployment_queries.Request())),
            settled=row.is_settled,
            next_redeploy=dag.due,
            tiers=tuple(map(TierResponse.of, found.tiers)),
            services=tuple(map(ServiceResponse.of, found.services)),
            progress=None if found.progress is None else ProgressResponse.made_of(found.progress),
            awaits_answer=found.awaits_answer,
        )


class ListingResponse(ResponseModel):
    """A page of the list."""

    deployments: tuple[SummaryResponse, ...]
    found: Annotated[int, Field(description="How many are as wanted, on all pages.")]
    total: Annotated[int, Field(description="How many the user may see.")]
    page: int
    pages: int

    @classmethod
    def of(cls, made: listing.Listing, requests: Requests) -> ListingResponse:
        """Create from the read model."""
        return cls(
            deployments=tuple(SummaryResponse.of(each, requests) for each in made.summaries),
            found=made.found,
            total=made.total,
            page=made.wanted.page,
            pages=made.pages,
        )


class InstanceResponse(ResponseModel):
    """A server according to the cloud."""

    id: str
    state: inventories.InstanceState
    private_address: str | None
    public_address: str | None
    image: str
    size: str
    launched_at: datetime.datetime
    console: Annotated[str | None, Field(description="Its page in the cloud's console, where there is one.")]


class ServerResponse(ResponseModel):
    """A server."""

    name: str
    tier: str
    agent: plan.AgentState | None
    services: dict[str, plan.ServiceState]
    installed: Annotated[
        dict[str, installed_versions.Installed] | None,
        Field(description="What is installed, by service; null for users who may not read assets."),
    ]
    instance: Annotated[InstanceResponse | None, Field(description="None where the cloud did not say.")]

    @classmethod
    def of(cls, found: overview.ServerView, link: str | None, *, is_shown: bool) -> ServerResponse:
        """Create from the read model."""
        each = found.instance
        return cls(
            name=found.name,
            tier=found.tier,
            agent=found.agent,
            services={str(name): state for name, state in found.services.items()},
            installed={str(name): each for name, each in found.installed.items()} if is_shown else None,
            instance=None
            if each is None
            else InstanceResponse(
                id=each.instance_id,
                state=each.state,
                private_address=each.private_address,
                public_address=each.public_address,
                image=each.image,
                size=each.size,
                launched_at=each.launched_at,
                console=link,
            ),
        )


class DeploymentResponse(ResponseModel):
    """The current state of a deployment."""

    name: str
    description: str
    tags: tuple[str, ...]
    state: plan.DeploymentState
    failed_at: Annotated[str | None, Field(description="The phase that the last run failed at.")]
    run: Annotated[
        RunResponse | None, Field(description="The run in progress, or the one that determines the state.")
    ]
    bundle: Annotated[
        str, Field(description="The DAG bundle that Airflow has read its definition from last.")
    ]
    left_bundle: Annotated[
        str,
        Field(
            description="That of the last operation, if it is another one: operations are refused then. Or empty."
        ),
    ]
    next_redeploy: datetime.datetime | None
    progress: ProgressResponse | None
    tiers: tuple[TierResponse, ...]
    servers: tuple[ServerResponse, ...]
    services: tuple[ServiceDetail, ...]
    addresses: Annotated[dict[str, str], Field(description="Where people reach it, by load balancer.")]
    cloud_trouble: Annotated[str, Field(description="Why the cloud does not report the servers.")]
    history: Annotated[
        tuple[run_records.Record, ...] | None,
        Field(description="Records of its runs, the newest first; null for users who may not read assets."),
    ]

    @classmethod
    def of(cls, found: model.DeploymentDetails) -> DeploymentResponse:
        """Create from the read model."""
        seen, dag = found.current, found.current.row.dag
        is_shown = seen.history is not None
        return cls(
            name=seen.row.name,
            description=dag.description,
            tags=dag.tags,
            state=seen.state,
            failed_at=None if seen.failed_at is None else seen.failed_at.title,
            run=None if seen.run is None else RunResponse.of(seen.run),
            bundle=dag.bundle,
            left_bundle=seen.left_bundle,
            next_redeploy=dag.due,
            progress=None if seen.progress is None else ProgressResponse.made_of(seen.progress),
            tiers=tuple(map(TierResponse.of, seen.tiers)),
            servers=tuple(
                ServerResponse.of(
                    each, None if each.instance is None else found.link(each.instance), is_shown=is_shown
                )
                for each in seen.servers
            ),
            services=tuple(ServiceDetail.made_of(each, is_shown=is_shown) for each in seen.services),
            addresses={str(name): address for name, address in found.addresses.items()},
            cloud_trouble=found.trouble,
            history=seen.history,
        )


class ServerFacts(ResponseModel):
    """The configuration files that a server received. Terminated servers still have theirs."""

    server: str
    services: Annotated[
        dict[str, tuple[config_history.ConfigDelivery, ...]],
        Field(description="The last files by service, the newest first, without their secrets."),
    ]

    @classmethod
    def of(cls, server: str, found: tuple[model.ConfigHistory, ...]) -> ServerFacts:
        """Create from the read model."""
        return cls(server=server, services={str(each.service): each.handed for each in found})


class StepResponse(ResponseModel):
    """A step of a run."""

    id: str
    phase: str
    progress: status.Progress
    started: datetime.datetime | None
    ended: datetime.datetime | None
    critical: Annotated[bool, Field(description="It is one of those that decided how long the run took.")]


class FailureResponse(ResponseModel):
    """What stopped a task."""

    headline: str
    detail: Annotated[
        str | None,
        Field(description="What was seen, such as a log's end; null for users who may not read task logs."),
    ]
    advice: Annotated[str, Field(description="What to do; empty where the headline says that too.")]
    server: str
    script: str
    code: Annotated[int | None, Field(description="The script's exit code.")]


class FailedTaskResponse(ResponseModel):
    """A failed task instance of a run."""

    task: str
    map_index: int
    servers: str
    failures: Annotated[
        tuple[FailureResponse, ...] | None,
        Field(
            description="Empty if no reason was recorded (see its log); null for users who may not read XComs."
        ),
    ]

    @classmethod
    def of(cls, found: overview.FailedTask) -> FailedTaskResponse:
        """Create from the read model."""
        view = found.instance.view
        return cls(
            task=view.task_id,
            map_index=view.map_index,
            servers=found.servers,
            failures=None
            if found.failures is None
            else tuple(
                FailureResponse(
                    headline=each.headline,
                    detail=None if found.is_shortened else each.detail,
                    advice=each.advice,
                    server=each.server,
                    script=each.script,
                    code=each.code,
                )
                for each in found.failures
            ),
        )


class RunDetail(ResponseModel):
    """The current state of a run, or its final one."""

    run: RunResponse
    recorded: Annotated[
        bool, Field(description="Whether Airflow has forgotten the run, so that only its record is left.")
    ]
    reason: str
    state: Annotated[
        plan.DeploymentState | None, Field(description="Of the deployment; None for what leaves it alone.")
    ]
    failed_at: str | None
    progress: Annotated[ProgressResponse | None, Field(description="Null if only the run's record is left.")]
    tiers: tuple[TierResponse, ...]
    services: tuple[ServiceResponse, ...]
    steps: tuple[StepResponse, ...]
    failures: Annotated[
        tuple[FailedTaskResponse, ...], Field(description="The failed tasks, the first to fail first.")
    ]

    @classmethod
    def of(cls, found: overview.RunSnapshot, failed: tuple[overview.FailedTask, ...]) -> RunDetail:
        """Create from the read model."""
        states, known, times = found.states, found.known, found.timeline
        progress = overview.progress(found)
        critical = () if times is None else {link.step.id for link in times.critical_path}
        return cls(
            run=RunResponse.of(found.run),
            recorded=found.is_recorded,
            reason=found.run.reason,
            state=None if states is None else states.state,
            failed_at=None if states is None or states.failed is None else states.failed.title,
            progress=None if progress is None else ProgressResponse.made_of(progress),
            tiers=()
            if known is None or states is None
            else tuple(map(TierResponse.of, overview.tiers(known, states))),
            services=()
            if known is None or states is None
            else tuple(map(ServiceResponse.of, overview.services(known, states))),
            steps=tuple(
                StepResponse(
                    id=each.step.id,
                    phase=phase.phase.title,
                    progress=each.progress,
                    started=each.span.started,
                    ended=each.span.ended,
                    critical=each.step.id in critical,
                )
                for phase in (() if times is None else times.phases)
                for each in phase.steps
            ),
            failures=tuple(map(FailedTaskResponse.of, failed)),
        )
