"""The list that Gantry's own pages give to programs."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from gantry.rest import client, errors, summaries
from tests import airflow_api

CALL = f"GET {client.PAGES}/deployments"
RUN = {
    "dag": "shop", "id": "r1", "state": "success", "asked": "2026-11-20T04:00:00Z",
    "started": "2026-11-20T04:00:02Z", "ended": "2026-11-20T04:01:00Z", "user": "ada", "reason": "sale",
    "operation": "launch", "by": "ada",
}  # fmt: skip


def summary(name: str, **more: Any) -> dict[str, Any]:
    own = {"name": name, "state": "RUNNING", "failed": False, "paused": False, "import_error": False}
    return {**own, "worked": None, "settled": True, "services": [], **more}


def page(*found: dict[str, Any], number: int = 1, of: int = 1) -> dict[str, Any]:
    return {"deployments": list(found), "found": 9, "total": 9, "page": number, "pages": of}


def test_all_pages_are_read(airflow: airflow_api.Airflow, ada: client.AirflowApi) -> None:
    airflow.pages = [page(summary("a"), summary("b"), of=2), page(summary("b"), summary("c"), number=2, of=2)]
    assert [each.name for each in summaries.every(ada) or ()] == ["a", "b", "c"]
    assert airflow.asked[1:] == [CALL, CALL]


def test_the_last_run_comes_with_its_request(airflow: airflow_api.Airflow, ada: client.AirflowApi) -> None:
    airflow.pages = [page(summary("shop", worked=RUN))]
    (found,) = summaries.every(ada) or []
    assert found.worked is not None
    assert (found.worked.user, found.worked.reason) == ("ada", "sale")
    assert found.worked.asked == datetime.datetime(2026, 11, 20, 4, tzinfo=datetime.UTC)


def test_an_expired_token_is_exchanged_again(airflow: airflow_api.Airflow, ada: client.AirflowApi) -> None:
    airflow.pages = [page()]
    assert summaries.every(ada) == []
    airflow.expired |= airflow.tokens
    assert summaries.every(ada) == []


@pytest.mark.parametrize(
    "answer",
    [
        (200, "text/html", "<!doctype html><title>Airflow</title>"),
        (200, "application/json", "[]"),
        (200, "application/json", "null"),
        (200, "application/json", '{"deployments": [{"name": "shop", "state": "RUNNING"}], "pages": 1}'),
        (200, "application/json", '{"deployments": [], "pa'),
        (404, "application/json", '{"detail": "Not Found"}'),
        (404, "text/html", "nothing here"),
    ],
)
def test_what_is_no_such_list_is_none(
    airflow: airflow_api.Airflow, ada: client.AirflowApi, answer: tuple[int, str, str]
) -> None:
    airflow.answer_instead = lambda call: answer if call == CALL else None
    assert summaries.every(ada) is None


@pytest.mark.parametrize(
    ("code", "error"),
    [(401, errors.TokenRefusedError), (403, errors.ForbiddenError), (500, errors.BrokenError)],
)
def test_a_refusal_is_told(
    airflow: airflow_api.Airflow, ada: client.AirflowApi, code: int, error: type[errors.RestError]
) -> None:
    airflow.answer_instead = lambda call: (
        (code, "application/json", '{"detail": "no"}') if call == CALL else None
    )
    with pytest.raises(error, match=f"{client.PAGES}/deployments|refuses the token"):
        summaries.every(ada)
