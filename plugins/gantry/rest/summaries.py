"""The list of deployments as Gantry's own pages tell it to programs: one answer for many deployments."""

from __future__ import annotations

import pydantic

from gantry.rest import client, errors


class _Part(pydantic.BaseModel):
    """What is read of an answer. It may say more: it is of the pages' own version."""

    model_config = pydantic.ConfigDict(frozen=True)


class RunSummary(_Part):
    """The run that worked last, with what was asked for; times are ISO texts."""

    dag: str
    id: str
    state: str
    asked: str
    started: str | None
    ended: str | None
    user: str | None
    reason: str

    def as_run(self) -> client.ApiDagRun:
        """As Airflow's API would tell it; of what it was asked with, there is the reason only."""
        return client.ApiDagRun(
            dag=self.dag,
            id=self.id,
            state=self.state,
            asked=self.asked,
            started=self.started,
            ended=self.ended,
            conf={"reason": self.reason},
            user=self.user,
        )


class DeploymentSummary(_Part):
    """A deployment in the list.

    Attributes:
        worked: None where it has had no run that changes it.
        settled: whether older runs than the pages look at cannot matter to `state`, `failed` and `worked`.
    """

    name: str
    state: str
    failed: bool
    paused: bool
    import_error: bool
    worked: RunSummary | None
    settled: bool


class _Listing(_Part):
    deployments: tuple[DeploymentSummary, ...]
    page: int
    pages: int


def every(api: client.AirflowApi) -> list[DeploymentSummary] | None:
    """All deployments that the user may see, by name. None where that Airflow has no such list.

    That is so where its Gantry has no pages, or those of another version, which do not say all of this.

    Raises:
        RestError: the list is there, and was refused, or could not be made.
    """
    found: dict[str, DeploymentSummary] = {}
    page = pages = 1
    while page <= pages:
        try:
            answer = _Listing.model_validate(api.pages("/deployments", params={"page": page}))
        except (errors.NotFoundError, errors.NotAirflowError, pydantic.ValidationError):
            return None
        # Where a deployment comes or goes meanwhile, another may be on two pages.
        found |= {each.name: each for each in answer.deployments}
        page, pages = page + 1, answer.pages
    return list(found.values())
