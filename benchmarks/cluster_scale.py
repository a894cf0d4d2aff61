"""Many definitions on an Airflow of several machines: what do they cost, and when do those run that are due at once?

    export PYTHONPATH=.:plugins
    docker/with-machine.sh --cluster .work/cluster/bin/python benchmarks/cluster_scale.py

`make demo CLUSTER=1` makes the environment that it needs. For each number of definitions, each with its own loader in
one bundle, it prints

- how long the DAG processor takes to read all, and each file;
- what all parts take of a processor while nothing is due, how large they and the database are;
- the page of all deployments;
- the bookshop's launch with a service installed again, and one with nothing changed: the whole, and how long its tasks
  wait between "due" and "runs". Nothing else runs meanwhile.

With the last number, `--due` of them are then due at once: each is a watch of a deployment that was never launched, one
task.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psycopg2.extensions
from benchmarks import cluster_field

from gantry.local.cluster import bookshop, stage
from gantry.local.demo import environment

IDLE_SECONDS = 30.0
EVERY = 60
"""Minutes from one watch to the next: none is due twice."""
_LONGEST_WAVE = 3600.0
_MEGA = 1024.0**2
_TICKS = 100.0
DEFINITION = """\
deployment: {name}
cloud: {{connection: aws_default, region: eu-central-1}}
launch_configurations:
  debian: {{image: gantry-debian-12, ssh: {{connection: bookshop_ssh}}}}
tiers:
  web: {{launch_configuration: debian, servers: 2}}
  data: {{launch_configuration: debian, servers: 1}}
services:
  shop: {{id: a2001, tier: web, archive: "s3://bookshop/shop.tar.gz", port: 8080, depends_on: [db]}}
  db: {{id: a1001, tier: data, archive: "s3://bookshop/db.tar.gz", port: 3306}}
"""
WATCHED = f"watch: {{every: {EVERY}m}}\n"


@dataclasses.dataclass(frozen=True)
class Field:
    """The cluster, its API, and its database."""

    shop: bookshop.ClusterBookshop
    database: psycopg2.extensions.connection

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the metadata database answers."""
        with self.database.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def value(self, query: str) -> float:
        """The only number of an answer; 0 for none."""
        ((found,),) = self.rows(query)
        return float(found or 0)


def connected(cluster: stage.Cluster) -> psycopg2.extensions.connection:
    """A connection to the metadata database, from this machine."""
    url = (cluster.machine("scheduler-1") / "secrets" / "sql_alchemy_conn").read_text().strip()
    address = cluster.network.addresses["postgres"]
    found = psycopg2.connect(
        url.replace("postgresql+psycopg2", "postgresql").replace("@postgres", f"@{address}")
    )
    found.autocommit = True
    return found


def define(field: Field, numbers: Sequence[int], due: int) -> None:
    """Put definitions and loaders on every machine."""
    for number in numbers:
        name = f"site-{number:04}"
        text = DEFINITION.format(name=name) + (WATCHED if number < due else "")
        field.shop.cluster.put(f"dags/{name}.yaml", text)
        field.shop.cluster.put(f"dags/{name}.py", cluster_field.LOADER)


def read(field: Field, count: int, limit: float = 3600) -> float:
    """Seconds until Airflow has all of them."""
    began = time.monotonic()
    while field.value("SELECT count(*) FROM dag WHERE dag_id ~ '^site-[0-9]+$' AND NOT is_stale") < count:
        if problems := field.rows("SELECT filename, stacktrace FROM import_error"):
            raise ValueError(problems[0])
        if time.monotonic() - began > limit:
            raise TimeoutError(f"not {count} definitions within {limit:.0f} s")
        time.sleep(1)
    return time.monotonic() - began


def processes(field: Field) -> Iterator[tuple[str, Path]]:
    """All processes of the cluster: the machine, and the folder below /proc."""
    for role in field.shop.cluster.roles:
        listed = cluster_field.processes(field.shop.cluster, role.name) if role.service != "prepare" else []
        for pid in listed:
            yield role.service, Path(f"/proc/{pid}")


def used(field: Field) -> dict[str, tuple[float, float]]:
    """CPU time in seconds, with ended children, and memory in MB (each page once), by service."""
    found: dict[str, tuple[float, float]] = {}
    for service, folder in processes(field):
        try:
            numbers = (folder / "stat").read_text().rpartition(")")[2].split()
            lines = (folder / "smaps_rollup").read_text().splitlines()
        except (OSError, ProcessLookupError):
            continue
        share = next(float(line.split()[1]) * 1024 / _MEGA for line in lines if line.startswith("Pss:"))
        seconds, memory = found.get(service, (0.0, 0.0))
        found[service] = (seconds + sum(map(int, numbers[11:15])) / _TICKS, memory + share)
    return found


def idle(field: Field) -> None:
    """What each service takes while nothing is due."""
    before, began = used(field), time.monotonic()
    time.sleep(IDLE_SECONDS)
    after, seconds = used(field), time.monotonic() - began
    for service, (cpu, memory) in sorted(after.items()):
        share = (cpu - before.get(service, (0.0, 0.0))[0]) / seconds
        print(f"  idle, {service}: {share:.2f} of a processor, {memory:.0f} MB", flush=True)


def pages(field: Field) -> None:
    """The page of all deployments, and Airflow's own list."""
    cluster = field.shop.cluster
    said = httpx.post(
        f"{cluster.url}/auth/token", json={"username": stage.USER, "password": cluster.password}
    ).raise_for_status()
    headers = {"Authorization": f"Bearer {said.json()['access_token']}"}
    for path in ("/gantry/", "/api/v2/dags?limit=50"):
        times = []
        for _ in range(5):
            began = time.monotonic()
            httpx.get(f"{cluster.url}{path}", headers=headers, timeout=60).raise_for_status()
            times.append(time.monotonic() - began)
        print(f"  {path}: first {times[0]:.2f} s, then {min(times[1:]):.2f} s", flush=True)


def waits(field: Field, where: str) -> str:
    """How long tasks waited: until the scheduler queued them, and then until they ran."""
    found = field.rows(
        "SELECT extract(epoch FROM queued_dttm - scheduled_dttm), extract(epoch FROM start_date - queued_dttm) "
        f"FROM task_instance WHERE start_date IS NOT NULL AND scheduled_dttm IS NOT NULL AND {where}"
    )
    told = []
    for number, name in enumerate(("queued", "runs")):
        seconds = sorted(float(row[number]) for row in found)
        told.append(
            f"{name} after {statistics.median(seconds):.2f} s (95 %: {seconds[int(len(seconds) * 0.95)]:.2f} s)"
        )
    return f"{len(found)} tasks, {', '.join(told)}"


def launch(field: Field, what: str, *redeploy: str) -> None:
    """The bookshop, alone."""
    run = field.shop.api.trigger(environment.DAG, redeploy=redeploy, reason="benchmark")
    state = field.shop.api.await_run(environment.DAG, run, 1800)
    where = f"dag_id = '{environment.DAG}' AND run_id = '{run}'"
    seconds = field.value(f"SELECT extract(epoch FROM end_date - queued_at) FROM dag_run WHERE {where}")
    print(f"  launch, {what}: {state} after {seconds:.1f} s; {waits(field, where)}", flush=True)


def wave(field: Field, due: int) -> None:
    """Let all watches go at once, and wait until each has ended."""
    where = "dag_id ~ '^site-[0-9]+[.]watch$'"
    field.shop.api.call(
        "PATCH",
        "/dags",
        params={"dag_id_pattern": "site-%.watch", "limit": due},
        json={"is_paused": False},
    )
    began = time.time()
    ended = f"SELECT count(DISTINCT dag_id) FROM dag_run WHERE {where} AND state IN ('success', 'failed')"
    while field.value(ended) < due:
        if time.time() - began > _LONGEST_WAVE:
            raise TimeoutError(f"{due} runs have not ended within {_LONGEST_WAVE:.0f} s")
        time.sleep(1)
    failed = field.value(f"SELECT count(*) FROM dag_run WHERE {where} AND state = 'failed'")
    print(
        f"  {due} due at once: over after {time.time() - began:.0f} s, {failed:.0f} failed; {waits(field, where)}"
    )


def measure(field: Field, count: int, before: int, due: int) -> None:
    """All of it with so many definitions."""
    print(f"{count} definitions", flush=True)
    define(field, range(before, count), due)
    seconds = read(field, count)
    parse = field.rows(
        "SELECT avg(last_parse_duration), max(last_parse_duration) FROM dag WHERE NOT is_stale"
    )[0]
    print(
        f"  read after {seconds:.0f} s ({count - before} files more); a file {parse[0]:.2f} s, at most {parse[1]:.2f} s"
    )
    size = field.value("SELECT pg_database_size('airflow')")
    dags = field.value("SELECT count(*) FROM dag WHERE NOT is_stale")
    print(f"  {dags:.0f} DAGs; the database has {size / _MEGA:.0f} MB", flush=True)
    idle(field)
    pages(field)
    launch(field, "app again", "app")
    launch(field, "nothing changed")


def main() -> None:
    """Start the cluster, measure, and remove it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--definitions", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--due", type=int, default=200, help="how many of them at once")
    asked = parser.parse_args()
    with bookshop.running(cluster_field.ROOT, print) as shop:
        field = Field(shop, connected(shop.cluster))
        shop.api.await_dag(environment.DAG)
        launch(field, "the first")
        before = 0
        for count in asked.definitions:
            measure(field, count, before, asked.due if count == asked.definitions[-1] else 0)
            before = count
        wave(field, min(asked.due, before))


if __name__ == "__main__":
    main()
