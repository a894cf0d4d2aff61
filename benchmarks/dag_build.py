"""Building the bookshop's launch DAG from its definition, against the same DAG written by hand.

    .venv/bin/python benchmarks/dag_build.py

Both have the same tasks, edges, groups, parameters and page. The time is the process's own, the best of many
rounds, so that a busy machine does not count. Exits 1 when the definition takes more than twice as long.
"""

from __future__ import annotations

import datetime
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="gantry-benchmark-"))

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, BaseOperator, Param, TaskGroup, XComArg, task_group

import gantry.definition
from gantry import names
from gantry.dag import compile as dag_compile
from gantry.operators.launch_finish import FinishLaunchOperator
from gantry.operators.scale_up import HandshakeOperator, ScaleUpOperator
from gantry.operators.services import (
    ConfigureOperator,
    GrantAccessOperator,
    InstallDatasourcesOperator,
    InstallServicesOperator,
    StartProxyOperator,
)

BOOKSHOP = pathlib.Path(__file__).parents[1] / "include/bookshop/bookshop.yaml"
ROUNDS = 60
LIMIT = 2.0
Servers = XComArg | list[str]
LABEL = "{{ task.servers_label }}"
PAGE = str(dag_compile.operation_dag(gantry.definition.load(BOOKSHOP), names.Operation.LAUNCH).doc_md)


def from_definition() -> DAG:
    return dag_compile.operation_dag(gantry.definition.load(BOOKSHOP), names.Operation.LAUNCH)


def by_hand() -> DAG:
    params: dict[str, Any] = {
        f"servers_{tier}": Param(
            fewest,
            type="integer",
            minimum=fewest,
            maximum=most,
            title=f"Servers of tier {tier}",
            description="How many servers the tier has at least after this launch.",
            section="Tiers",
        )
        for tier, fewest, most in (("database", 1, 1), ("application", 2, 6), ("proxy", 1, 1))
    }
    params["redeploy"] = Param(
        [],
        type="array",
        items={"type": "string", "enum": ["app", "db"]},
        examples=["app", "db"],
        title="Services to redeploy",
        description="These are installed, configured and restarted even if nothing about them has changed.",
        section="Services",
    )
    params["reason"] = Param(
        "", type="string", maxLength=500, title="Reason", description="Why this launch?", section="Record"
    )
    with DAG(
        "bookshop",
        start_date=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
        schedule=None,
        catchup=False,
        max_active_runs=1,
        doc_md=PAGE,
        params=params,
        tags=["gantry", "launch"],
        default_args={"retries": 2, "retry_delay": datetime.timedelta(seconds=5), "owner": "gantry"},
    ) as dag:
        scale_ups: dict[str, ScaleUpOperator] = {}
        ready: dict[str, BaseOperator] = {}
        for tier in ("database", "application", "proxy"):
            with TaskGroup(f"tier-{tier}", prefix_group_id=False):
                scale_up = ScaleUpOperator(task_id=f"tier-{tier}.scale_up", task_display_name="scale up")
                scale_ups[tier] = scale_up

                @task_group(group_id=f"tier-{tier}-on-{tier}", prefix_group_id=False)
                def on_servers(servers: Servers, tier: str = tier) -> None:
                    handshake = HandshakeOperator(
                        task_id=f"tier-{tier}.handshake",
                        task_display_name="handshake",
                        servers=servers,
                        map_index_template=LABEL,
                    )
                    prepare = EmptyOperator(
                        task_id=f"tier-{tier}.prepare_configuration_management",
                        task_display_name="prepare configuration management",
                    )
                    execute = EmptyOperator(
                        task_id=f"tier-{tier}.execute_configuration_management",
                        task_display_name="execute configuration management",
                    )
                    handshake >> prepare >> execute
                    ready[tier] = execute
                    if tier != "proxy":
                        ready[tier] = InstallServicesOperator(
                            task_id=f"tier-{tier}.install_services",
                            task_display_name="install services",
                            servers=servers,
                            map_index_template=LABEL,
                        )
                        execute >> ready[tier]
                    scale_ups[tier] >> handshake

                on_servers.expand(servers=scale_up.output)

        made: dict[str, Any] = {}

        def step(
            operator: Callable[..., Any], group: str, name: str, tier: str, *before: BaseOperator
        ) -> None:
            @task_group(group_id=f"{group}-on-{tier}-{len(made)}", prefix_group_id=False)
            def on_servers(servers: Servers) -> None:
                made[name] = operator(
                    task_id=f"{group}.{name}",
                    task_display_name=name.replace("_", " "),
                    servers=servers,
                    map_index_template=LABEL,
                )

            on_servers.expand(servers=scale_ups[tier].output)
            for task in before:
                task >> made[name]

        with TaskGroup("service-db", prefix_group_id=False):

            @task_group(group_id="service-db-on-database", prefix_group_id=False)
            def on_database(servers: Servers) -> None:
                for name, operator in (("load", InstallDatasourcesOperator), ("ready", ConfigureOperator)):
                    made[name] = operator(
                        task_id=f"service-db.{name}",
                        task_display_name=name,
                        servers=servers,
                        map_index_template=LABEL,
                    )
                made["load"] >> made["ready"]

            on_database.expand(servers=scale_ups["database"].output)
            ready["database"] >> made["load"]
        with TaskGroup("service-app", prefix_group_id=False):
            step(
                GrantAccessOperator, "service-app", "grant_access_on_db", "database",
                made["ready"], scale_ups["application"],
            )  # fmt: skip
            step(
                ConfigureOperator, "service-app", "configure", "application",
                ready["application"], made["ready"], made["grant_access_on_db"],
            )  # fmt: skip
        with TaskGroup("balancer-front", prefix_group_id=False):
            step(
                StartProxyOperator,
                "balancer-front",
                "start_proxy",
                "proxy",
                ready["proxy"],
                made["configure"],
            )
        finish = FinishLaunchOperator(
            task_id="finish_launch",
            outlets=[Asset(name="deployment://bookshop", uri="deployment://bookshop", group="gantry")],
        )
        made["start_proxy"] >> finish
    return dag


def best(builders: list[Callable[[], object]]) -> list[float]:
    """The shortest time of each, in seconds, taken in turns."""
    times: list[list[float]] = [[] for _ in builders]
    for _ in range(ROUNDS):
        for build, taken in zip(builders, times, strict=True):
            begun = time.process_time()
            build()
            taken.append(time.process_time() - begun)
    return [min(taken) for taken in times]


def main() -> int:
    ours, theirs = from_definition(), by_hand()
    edges = [sum(len(task.downstream_task_ids) for task in dag.tasks) for dag in (ours, theirs)]
    print(
        f"tasks: {len(ours.tasks)} from the definition, {len(theirs.tasks)} by hand; edges: {edges[0]}, {edges[1]}"
    )
    if len(ours.tasks) != len(theirs.tasks):
        print("the two are not of the same size any more: bring by_hand up to date")
        return 1
    reading, definition, hand = best([lambda: gantry.definition.load(BOOKSHOP), from_definition, by_hand])
    print(f"reading and checking the definition: {reading * 1e3:6.1f} ms")
    print(f"definition to DAG, all together:     {definition * 1e3:6.1f} ms")
    print(f"by hand:                             {hand * 1e3:6.1f} ms")
    print(f"ratio:                               {definition / hand:6.2f} (limit {LIMIT:g})")
    return 0 if definition / hand <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
