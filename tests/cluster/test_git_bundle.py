"""Definitions in git, as docs/distributed.md has them: launched, mended by a commit, and moved to another bundle."""

from __future__ import annotations

import textwrap
from typing import Any

from benchmarks import cluster_field

from gantry import errors
from tests.cluster import git_server

SHOP, STEP = "from-git", "service-probe.configure"


SCRIPTS = {
    "enstratus-configure": (
        '#!/bin/sh\ngrep -q mended "$2" || { echo \'not like this\'; exit 7; }\ncp "$2" /tmp/from-git\n'
    ),
    "enstratus-start": "#!/bin/sh\ntouch /tmp/from-git-runs\n",
    "enstratus-stop": "#!/bin/sh\nrm -f /tmp/from-git-runs\n",
    "enstratus-check": "#!/bin/sh\n[ -e /tmp/from-git-runs ] && echo OK || echo 'it does not run'\n",
}
"""Those of a service that is configured only by the right word."""


def definition(archive: str, word: str) -> str:
    return textwrap.dedent(f"""\
        deployment: {SHOP}
        cloud: {{connection: aws_default, region: eu-central-1}}
        launch_configurations:
          debian: {{image: gantry-debian-12, ssh: {{connection: bookshop_ssh, reconnect_for: 120s}}}}
        tiers:
          only: {{launch_configuration: debian, servers: 1}}
        services:
          probe: {{id: a2001, tier: only, archive: "{archive}", custom: {{word: {word}}}}}
        """)


def read_from(field: cluster_field.Field, bundle: str, version: str | None) -> None:
    """Wait until Airflow has the launch DAG from this bundle, in this version."""

    def is_read() -> bool:
        dag: dict[str, Any] = field.api.call("GET", f"/dags/{SHOP}")
        return (dag["bundle_name"], dag["bundle_version"]) == (bundle, version)

    cluster_field.await_(is_read, 240)


def failures(field: cluster_field.Field, run: str) -> dict[str, errors.Failure]:
    """What has stopped a run, by task."""
    return {
        each.task_id: failure
        for each in field.api.instances(SHOP, run)
        if each.state == "failed"
        for failure in field.api.failures(SHOP, run, each.task_id, each.map_index) or ()
    }


def commit_of(field: cluster_field.Field, run: str) -> str | None:
    found: str | None = field.api.call("GET", f"/dags/{SHOP}/dagRuns/{run}")["bundle_version"]
    return found


def test_a_launch_from_git_that_failed_is_mended_by_a_commit(
    field: cluster_field.Field, git: git_server.Repository
) -> None:
    archive = field.upload("from-git.tar.gz", SCRIPTS)
    first = git.push({f"{SHOP}.py": cluster_field.LOADER, f"{SHOP}.yaml": definition(archive, "wrong")})
    field.api.await_dag(SHOP)
    read_from(field, git_server.BUNDLE, first)

    run = field.api.trigger(SHOP)

    assert field.api.await_run(SHOP, run, 600) == "failed"
    found = failures(field, run)
    assert list(found) == [STEP], found
    assert "not like this" in found[STEP].detail
    assert found[STEP].script.startswith("configureService")
    assert commit_of(field, run) == first

    # The cause is mended, and the failed task cleared: it runs with the newest commit, as the compose file says.
    second = git.push({f"{SHOP}.yaml": definition(archive, "mended")})
    read_from(field, git_server.BUNDLE, second)
    field.api.clear(SHOP, run, STEP)

    assert field.api.await_run(SHOP, run, 600) == "success", failures(field, run)
    assert commit_of(field, run) == second
    assert "mended" in field.sh(SHOP, "cat /tmp/from-git")
    # What had succeeded was not run again.
    begun = {script: count for (moment, script), count in field.calls(SHOP).items() if moment == "begin"}
    assert (begun["installService"], begun["configureService"], begun["startService"]) == (1, 2, 1)
    assert {
        each.try_number for each in field.api.instances(SHOP, run) if each.task_id == "tier-only.scale_up"
    } == {1}


def test_a_definition_in_another_bundle_is_refused_unless_it_has_moved_on_purpose(
    field: cluster_field.Field, git: git_server.Repository
) -> None:
    text = (git.tree / "dags" / f"{SHOP}.yaml").read_text()
    git.push({f"{SHOP}.py": None, f"{SHOP}.yaml": None})
    field.shop.cluster.put(f"dags/{SHOP}.yaml", text)
    field.shop.cluster.put(f"dags/{SHOP}.py", cluster_field.LOADER)
    read_from(field, git_server.FOLDER, None)

    run = field.api.trigger(SHOP)

    assert field.api.await_run(SHOP, run, 300) == "failed"
    found = failures(field, run)
    assert list(found) == ["turn"], found
    assert f"is operated from the DAG bundle {git_server.BUNDLE!r}" in found["turn"].headline
    assert f"--new-bundle {git_server.FOLDER}" in found["turn"].advice

    run = field.api.trigger(SHOP, new_bundle=git_server.FOLDER)
    assert field.api.await_run(SHOP, run, 300) == "success", failures(field, run)
    # From now on it needs no word about it, and a termination lets it go.
    field.api.await_dag(f"{SHOP}.terminate")
    run = field.api.trigger(f"{SHOP}.terminate", confirm=SHOP)
    assert field.api.await_run(f"{SHOP}.terminate", run, 300) == "success"
