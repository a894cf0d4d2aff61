"""Deployments as Airflow knows them: found, ready or not, and what their form allows."""

from __future__ import annotations

import pytest

from gantry.rest import client, deployments
from tests import airflow_api


def test_deployments_are_the_launch_dags_whose_loader_is_there(
    airflow: airflow_api.Airflow, ada: client.AirflowApi
) -> None:
    airflow.deployment("shop")
    airflow.deployment("gone").is_stale = True
    airflow.add(airflow_api.Dag("something-else", tags=()))
    assert [each.id for each in deployments.every(ada)] == ["shop"]


def test_an_unknown_one_is_answered_with_a_near_name_or_all(
    airflow: airflow_api.Airflow, ada: client.AirflowApi
) -> None:
    with pytest.raises(deployments.UnknownDeploymentError, match="no deployment 'shop'; there are none"):
        deployments.find(ada, "shop")
    airflow.deployment("bookshop")
    airflow.deployment("wiki")
    with pytest.raises(deployments.UnknownDeploymentError, match="did you mean 'bookshop'"):
        deployments.find(ada, "bokshop")
    with pytest.raises(deployments.UnknownDeploymentError, match="there are bookshop, wiki"):
        deployments.find(ada, "q")


def test_an_unknown_one_whose_loader_is_broken_says_why(
    airflow: airflow_api.Airflow, ada: client.AirflowApi
) -> None:
    airflow.import_errors += [
        ("other.py", "not this"),
        ("team/shop.py", "shop.yaml:3:1: unknown key 'tires'"),
    ]
    with pytest.raises(deployments.UnknownDeploymentError, match=r"shop.yaml:3:1: unknown key") as found:
        deployments.find(ada, "shop")
    assert "not this" not in str(found.value)
    airflow.forbidden.add("importErrors")
    with pytest.raises(deployments.UnknownDeploymentError, match="Airflow finds a new loader"):
        deployments.find(ada, "shop")


def test_somebody_elses_dag_is_no_deployment(airflow: airflow_api.Airflow, ada: client.AirflowApi) -> None:
    airflow.add(airflow_api.Dag("report", tags=("finance",)))
    with pytest.raises(deployments.UnknownDeploymentError, match="not Gantry's"):
        deployments.ready(ada, "report", "report", unpause=True)


def test_what_is_broken_gone_or_paused_is_not_triggered(
    airflow: airflow_api.Airflow, ada: client.AirflowApi
) -> None:
    dag = airflow.deployment("shop")
    assert deployments.ready(ada, "shop", "shop", unpause=False).id == "shop"
    dag.is_paused = True
    with pytest.raises(deployments.PausedError, match=r"--unpause.*schedule"):
        deployments.ready(ada, "shop", "shop", unpause=False)
    dag.is_stale = True
    with pytest.raises(deployments.GoneError, match=r"its loader shop.py no longer exists"):
        deployments.ready(ada, "shop", "shop", unpause=True)
    dag.has_import_errors = True
    airflow.import_errors.append(("shop.py", "shop.yaml:2:1: unknown key 'tires'"))
    with pytest.raises(deployments.BrokenDefinitionError, match=r"'shop':\nshop.yaml:2:1"):
        deployments.ready(ada, "shop", "shop", unpause=True)
    # Nothing was unpaused for nothing.
    assert dag.is_paused


def test_a_paused_one_is_unpaused_on_request(airflow: airflow_api.Airflow, ada: client.AirflowApi) -> None:
    dag = airflow.deployment("shop")
    dag.is_paused = True
    deployments.ready(ada, "shop", "shop", unpause=True)
    assert not dag.is_paused
