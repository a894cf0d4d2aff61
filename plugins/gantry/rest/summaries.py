"""List of deployments from the pages' API: one request for many deployments."""

from __future__ import annotations

import datetime

import pydantic

from gantry.rest import client, errors


class _Part(pydantic.BaseModel):
    """The part of an answer that is read. It may have more fields, of the pages' own version."""

    model_config = pydantic.ConfigDict(frozen=True)


class RunSummary(_Part):
    """The last run that worked, with its request."""

    dag: str
    id: str
    state: str
    asked: datetime.datetime
    started: datetime.datetime | None
    ended: datetime.datetime | None
    user: str | None
    reason: str


class DeploymentSummary(_Part):
    """A deployment in the list.

    Attributes:
        worked: None if it has had no run that changes it.
        settled: whether older runs than the pages read cannot affect `state`, `failed` and `worked`.
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
    """Return all deployments that the user may see, by name. None if that Airflow has no such list.

    That is the case if its Gantry has no pages, or those of another version, which lack some fields.

    Raises:
        RestError: the list exists, but was refused or failed.
    """
    found: dict[str, DeploymentSummary] = {}
    page = pages = 1
    while page <= pages:
        try:
            answer = _Listing.model_validate(api.pages("/deployments", params={"page": page}))
        except (errors.NotFoundError, errors.NotAirflowError, pydantic.ValidationError):
            return None
        # If deployments are added or removed meanwhile, one may be on two pages.
        found |= {each.name: each for each in answer.deployments}
        page, pages = page + 1, answer.pages
    return list(found.values())
