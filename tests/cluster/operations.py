"""A rolling update and a backup on the cluster, both in the middle of a long script, while visitors ask the site."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import textwrap
from collections.abc import Iterator

from benchmarks import cluster_field
from benchmarks.cluster_field import BY_TRIGGERER, BY_WORKER

from gantry.local.demo import example
from tests.airflow import rolling_site
from tests.airflow.stage import Machine, archive, machines
from tests.airflow.visitors import Visitors

VAULT = "vault"
BACKUP = f"{VAULT}.backup"
_FOLDER = f"backups/{VAULT}/catalog/"
_DUMP = "/mnt/services/a1001/bin/enstratus-backupDataSource"
_BEGUN = "/tmp/begun"
_WAITS = (
    f"touch {_BEGUN}\nnumber=0\n"
    'while [ ! -e /tmp/hurry ] && [ "$number" -lt 6000 ]; do number=$((number + 1)); sleep 0.2; done\n'
)
"""Put before what a script does, so that it lasts until it is told to end."""
_SCRIPTS = ("installService", "configureService", "stopService", "startService")


def _vault() -> str:
    return textwrap.dedent(f"""\
        attend_time: 2s
        deployment: {VAULT}
        cloud: {{connection: aws_default, region: eu-central-1}}
        launch_configurations:
          debian: {{image: gantry-debian-12-prepared, ssh: {{connection: bookshop_ssh}}}}
        tiers:
          database: {{launch_configuration: debian, servers: 1}}
        services:
          db:
            id: a1001
            tier: database
            archive: s3://{example.BUCKET}/dbService.tar.gz
            port: 3306
            datasources:
              catalog: {{dump: "s3://{example.BUCKET}/datasource.sql", connection: bookshop_catalog}}
        backups:
          of: {{catalog: db.catalog}}
          to: s3://{example.BUCKET}/backups/
        """)


@dataclasses.dataclass(frozen=True)
class Operations:
    """The site, whose update stays with its worker, and the vault, whose backup a triggerer follows."""

    field: cluster_field.Field

    @property
    def vault(self) -> Machine:
        """The server with the database."""
        (found,) = machines(self.field.shop.cloud, VAULT).values()
        return found

    @property
    def site(self) -> dict[str, Machine]:
        """The servers of the site."""
        return machines(self.field.shop.cloud, rolling_site.SITE)

    @property
    def address(self) -> str:
        """Where the site is visited."""
        return self.site["front-1"].sh("hostname -I").split()[0]

    def upload(self, version: str, before: str = "") -> None:
        """Make a version the site's archive."""
        self.field.shop.cloud.client("s3").put_object(
            Bucket=example.BUCKET,
            Key=rolling_site.ARCHIVE,
            Body=archive(rolling_site.scripts(version, before=before)),
        )

    def calls(self) -> dict[tuple[str, str, str], int]:
        """How often each script has begun and ended, by server, script and `begin` or `end`."""
        watched: dict[str, tuple[Machine, tuple[str, ...]]] = {
            server: (self.site[server], _SCRIPTS) for server in rolling_site.SERVERS
        }
        watched[VAULT] = (self.vault, ("backupDataSource", "uploadBackup"))
        return {
            (server, script, moment): machine.calls(script, moment)
            for server, (machine, scripts) in watched.items()
            for script in scripts
            for moment in ("begin", "end")
        }

    def backups(self) -> dict[str, int]:
        """The complete backups: the size in each one's manifest, by the name of the dump. Others are an error."""
        s3 = self.field.shop.cloud.client("s3")
        listed = s3.list_objects_v2(Bucket=example.BUCKET, Prefix=_FOLDER).get("Contents", ())
        sizes = {each["Key"].removeprefix(_FOLDER): each["Size"] for each in listed}
        dumps = {name: size for name, size in sizes.items() if name.endswith(".sql")}
        assert set(sizes) == {*dumps, *(f"{name}.json" for name in dumps)}
        for name, size in dumps.items():
            text = s3.get_object(Bucket=example.BUCKET, Key=f"{_FOLDER}{name}.json")["Body"].read()
            assert json.loads(text)["size"] == size
        return dumps

    @contextlib.contextmanager
    def begun(self, version: str) -> Iterator[Trial]:
        """Both operations, in the middle of their scripts, and the site's visitors."""
        self.upload(version, before=_WAITS)
        waiting = (self.site["web-1"], self.vault)
        for machine in (*self.site.values(), self.vault):
            machine.sh(f"rm -f /tmp/hurry {_BEGUN}")
        before, kept = self.calls(), self.backups()
        with Visitors(self.address, rolling_site.HOST) as visitors:
            steps = {
                BY_WORKER: cluster_field.Step(
                    rolling_site.SITE, self.field.api.trigger(rolling_site.SITE), rolling_site.UPDATE
                ),
                BY_TRIGGERER: cluster_field.Step(
                    BACKUP, self.field.api.trigger(BACKUP), "backup-catalog.back_up"
                ),
            }
            trial = Trial(self.field, steps, self, before, kept, visitors)
            for machine in waiting:

                def is_begun(machine: Machine = machine) -> bool:
                    return machine.sh(f"[ -e {_BEGUN} ] && echo yes || :") != ""

                cluster_field.await_(is_begun, 400)
            cluster_field.await_(lambda: trial.place(BY_TRIGGERER).triggerer != "", 300)
            yield trial


@dataclasses.dataclass(frozen=True)
class Trial(cluster_field.Trial):
    """Both operations, their scripts going on.

    Attributes:
        before: how often each script had begun and ended before.
        kept: the backups that were there before.
        visitors: ask the site all the time.
    """

    operations: Operations
    before: dict[tuple[str, str, str], int]
    kept: dict[str, int]
    visitors: Visitors

    def ends_well(self, version: str) -> None:
        """Let the scripts end. Both operations succeed, each script ran once, nobody was turned away."""
        for machine in (*self.operations.site.values(), self.operations.vault):
            machine.sh("touch /tmp/hurry")
        assert self.states(600) == {BY_WORKER: "success", BY_TRIGGERER: "success"}
        calls = {key: count - self.before[key] for key, count in self.operations.calls().items()}
        assert {key: count for key, count in calls.items() if count != 1} == {}
        assert len(set(self.operations.backups()) - set(self.kept)) == 1
        assert self.operations.vault.secrets_in_transit() == []
        for server in rolling_site.SERVERS:
            told = self.operations.site[server].sh("curl -s -m 2 http://127.0.0.1:8000/")
            assert told.partition(" ")[0] == version
        print(
            f"{self.visitors.asked} requests, {len(self.visitors.lost)} lost: {dict(self.visitors.answers)}"
        )
        assert self.visitors.lost == []
        assert self.visitors.asked > 200


def furnish(field: cluster_field.Field) -> Operations:
    """Define and launch both deployments. The next backup lasts until it is told to end."""
    found = Operations(field)
    found.upload("one")
    definitions = {
        rolling_site.SITE: rolling_site.definition(start="1500s"),
        VAULT: _vault(),
    }
    for name, text in definitions.items():
        field.shop.cluster.put(f"dags/{name}.yaml", text)
        field.shop.cluster.put(f"dags/{name}.py", cluster_field.LOADER)
    for name in (*definitions, BACKUP):
        field.api.await_dag(name)
    runs = {name: field.api.trigger(name) for name in definitions}
    for name, run in runs.items():
        assert field.api.await_run(name, run, 900) == "success"
    found.vault.sh(f"sed -i '0,/^set -u$/s//set -u\\n. \\/tmp\\/waits/' {_DUMP}")
    found.vault.sh(f"printf %s '{_WAITS}' >/tmp/waits")
    return found
