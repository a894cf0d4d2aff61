"""Each kind of bad input gives one error that names server, step and cause; mended and cleared, the launch ends.

What had finished is not done again, and no secret stays behind. What differs in its input alone is one deployment, with
a tier for each kind: launched once, and cleared once when all of it is mended.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import textwrap
from collections.abc import Callable, Iterator, Mapping

import asyncssh
import pytest

from gantry.local.demo import connections, example
from tests.airflow.stage import Launch, Machine, Stage, archive, eventually, probe

pytestmark = pytest.mark.airflow

SPOILED = "spoiled"
INSTALL = "tier-only.install_services"
HANDSHAKE = "tier-only.handshake"
TURN = "turn"
HANGS_SECONDS = 25
"""A limit for all configurations of a deployment, of which one never ends."""

SOUND = archive({"enstratus-backup": "#!/bin/sh\n"})
EXIT_THREE = "#!/bin/sh\n[ -e /tmp/mended ] || { echo 'no licence found'; exit 3; }\ntouch /tmp/probe-runs\n"
HANGS = (
    "#!/bin/sh\n[ -e /tmp/mended ] && { touch /tmp/probe-runs; exit 0; }\n"
    "trap '' TERM\necho waiting for godot\nsleep 4711 &\nwait; sleep 4711\n"
)

Name = Callable[[str], str]


@dataclasses.dataclass(frozen=True)
class Spoiled:
    """A deployment with a mistake in each tier, at the end of its launch.

    Attributes:
        refusal: what its first step said. What that named was mended, and the step cleared.
        errors: by task.
        machines: the servers that were started, by tier.
    """

    launch: Launch
    refusal: str
    errors: Mapping[str, str]
    machines: Mapping[str, Machine]


def services(urls: Mapping[str, str], sha256: str) -> str:
    """A tier and the smallest service for each kind of mistake, and the bookshop's database for one more."""
    lines = ["tiers:"]
    lines += [
        f"  {tier}: {{launch_configuration: {'golden' if tier == 'image' else 'debian'}, servers: 1}}"
        for tier in urls
        if tier != "sql"
    ]
    lines += ["  sql: {launch_configuration: prepared, servers: 1}", "services:"]
    for number, (tier, url) in enumerate(urls.items(), start=1):
        if tier == "sql":
            continue
        checked = f", sha256: {sha256}" if tier == "checksum" else ""
        lines.append(f'  {tier}: {{id: a{2000 + number}, tier: {tier}, archive: "{url}"{checked}}}')
    database = f"s3://{example.BUCKET}/{example.SERVICES['db']}"
    lines.append(
        f'  sql: {{id: a1001, tier: sql, archive: "{database}", port: 3306, '
        f'datasources: {{catalog: {{dump: "{urls["sql"]}", connection: bookshop_catalog}}}}}}'
    )
    return "\n".join(lines)


def definition(urls: Mapping[str, str]) -> str:
    head = textwrap.dedent(f"""\
        deployment: {SPOILED}
        timeouts: {{handshake: 180s, configure: {HANGS_SECONDS}s, check: 20s}}
        cloud: {{region: eu-central-1}}
        launch_configurations:
          debian: {{image: gantry-debian-12, ssh: {{connection: bookshop_ssh}}}}
          prepared: {{image: gantry-debian-12-prepared, ssh: {{connection: bookshop_ssh}}}}
          golden: {{image: golden-2027, ssh: {{connection: bookshop_ssh}}}}
        """)
    return f"{head}{services(urls, hashlib.sha256(SOUND).hexdigest())}\n"


def bad_dump(stage: Stage) -> bytes:
    return (stage.shop.folder / "datasource.sql").read_bytes() + b"\nINSERT INTO nowhere VALUES (1);\n"


@pytest.fixture(scope="module")
def spoiled(stage: Stage) -> Iterator[Spoiled]:
    """The launch that fails in every tier."""
    urls = {
        "missing": f"s3://{example.BUCKET}/late.tar.gz",
        "checksum": stage.upload("tampered.tar.gz", archive()),
        "broken": stage.upload("broken.tar.gz", archive()[:-200]),
        "three": stage.upload("exit-three.tar.gz", archive({"enstratus-start": EXIT_THREE})),
        "hangs": stage.upload("hangs.tar.gz", archive({"enstratus-start": HANGS})),
        "image": stage.upload("image.tar.gz", archive()),
        "page": stage.upload("page.tar.gz", b"<html>moved</html>"),
        "sql": stage.upload("bad.sql", bad_dump(stage)),
    }
    stage.define(SPOILED, definition(urls))
    launch = stage.launch(SPOILED)
    refusal = launch.fails_at(TURN)
    assert stage.machines(SPOILED) == {}
    stage.upload("late.tar.gz", archive())
    stage.upload("page.tar.gz", archive())
    stage.cloud.client("ec2").register_image(Name="golden-2027", RootDeviceName="/dev/sda1")
    launch.clear(TURN)
    assert launch.ends() == "failed"
    machines = {name.rpartition("-")[0]: each for name, each in stage.machines(SPOILED).items()}
    yield Spoiled(launch, refusal, launch.errors_by_task(), machines)
    stage.scrap(SPOILED)


def test_each_tier_fails_at_its_own_step_and_none_holds_up_another(spoiled: Spoiled) -> None:
    assert set(spoiled.errors) == {
        "tier-checksum.install_services",
        "tier-broken.install_services",
        "service-three.configure",
        "service-hangs.configure",
        "service-sql.install_datasources",
    }
    for machine in spoiled.machines.values():
        assert machine.secrets_in_transit() == []


def test_what_can_be_known_before_is_told_at_once_in_its_place_and_nothing_is_started(
    spoiled: Spoiled,
) -> None:
    assert "3 things are not as the definition needs it" in spoiled.refusal
    assert "unknown image 'golden-2027'" in spoiled.refusal
    assert "s3://bookshop/late.tar.gz does not exist" in spoiled.refusal
    assert "no archive: its first bytes are a page" in spoiled.refusal
    assert spoiled.refusal.count(f"{SPOILED}.yaml:") == 3


def test_a_wrong_checksum_is_refused_before_anything_is_installed(spoiled: Spoiled) -> None:
    error = spoiled.errors["tier-checksum.install_services"]
    assert f"{SPOILED}-checksum-1: withDownload" in error
    assert hashlib.sha256(SOUND).hexdigest() in error
    assert hashlib.sha256(archive()).hexdigest() in error
    assert "exit code 23" in error
    assert spoiled.machines["checksum"].sh("ls -A /mnt/services") == ""


def test_a_broken_archive_leaves_nothing(spoiled: Spoiled) -> None:
    error = spoiled.errors["tier-broken.install_services"]
    assert f"{SPOILED}-broken-1: withDownload" in error
    assert "installService" in error
    assert "bin" not in spoiled.machines["broken"].sh("find /mnt/services")


def test_a_service_script_that_exits_3_is_quoted(spoiled: Spoiled) -> None:
    error = spoiled.errors["service-three.configure"]
    assert f"{SPOILED}-three-1: startService a2004 failed with exit code 3" in error
    assert "no licence found" in error


def test_a_script_that_hangs_is_killed_with_its_children(spoiled: Spoiled) -> None:
    error = spoiled.errors["service-hangs.configure"]
    assert f"{SPOILED}-hangs-1: startService a2005 did not end within {HANGS_SECONDS} s" in error
    assert "waiting for godot" in error
    assert "4711" not in spoiled.machines["hangs"].sh("ps -eo args")


def test_an_sql_error_in_the_dump_shows_mariadbs_words(spoiled: Spoiled) -> None:
    error = spoiled.errors["service-sql.install_datasources"]
    assert f"{SPOILED}-sql-1" in error
    assert "ERROR 1146" in error
    assert "nowhere" in error


def test_once_all_is_mended_and_cleared_the_launch_ends_and_repeats_nothing(
    stage: Stage, spoiled: Spoiled
) -> None:
    stage.upload("tampered.tar.gz", SOUND)
    stage.upload("broken.tar.gz", archive())
    for tier in ("three", "hangs"):
        spoiled.machines[tier].sh("touch /tmp/mended")
    stage.upload("bad.sql", (stage.shop.folder / "datasource.sql").read_bytes())
    finishes_after_clearing(stage, spoiled.launch, *spoiled.errors)
    for tier in ("missing", "three", "hangs", "sql"):
        assert spoiled.machines[tier].calls("installService") == 1, tier
    for tier in ("three", "hangs"):
        assert spoiled.machines[tier].calls("configureService") == 1, tier
    assert spoiled.machines["three"].calls("stopService") == 1
    assert spoiled.machines["three"].calls("startService") == 2


def finishes_after_clearing(stage: Stage, launch: Launch, *tasks: str) -> None:
    """Clear the failed tasks; the launch must end well, with the servers it had."""
    before = {key: each.instance_id for key, each in stage.machines(launch.dag).items()}
    launch.clear(*tasks)
    launch.succeeds()
    after = {key: each.instance_id for key, each in stage.machines(launch.dag).items()}
    assert before.items() <= after.items()
    for machine in stage.machines(launch.dag).values():
        assert machine.secrets_in_transit() == []
    shown = launch.everything_shown()
    for secret in (stage.shop.password, stage.cloud.secret_access_key, "X-Amz-Signature", "PRIVATE KEY"):
        assert secret not in shown


@pytest.fixture(scope="module")
def sound(stage: Stage) -> Iterator[str]:
    """A deployment that runs, for mistakes that come later. Each test leaves it as it was."""
    name = "sound-at-first"
    stage.define(name, probe(name, stage.upload("sound.tar.gz", archive()), reconnect="4s"))
    stage.launch(name).succeeds()
    yield name
    stage.scrap(name)


def test_a_server_that_dies_during_install_is_named_and_goes_on_once_it_is_back(
    stage: Stage, sound: str
) -> None:
    name, machine = sound, stage.machine(sound)
    stage.upload("sound.tar.gz", archive({"enstratus-new": "#!/bin/sh\n"}))
    machine.sh(
        "printf '#!/bin/sh\\n[ -e /tmp/back ] && exit 0\\ntouch /tmp/dying; sleep 600\\n'"
        " > /enstratus/custom/bin/installService-pre; chmod 755 /enstratus/custom/bin/installService-pre"
    )
    launch = stage.launch(name)
    eventually(lambda: "dying" in machine.sh("ls /tmp") or None, "the install to begin")
    stage.cloud.client("ec2").stop_instances(InstanceIds=[machine.instance_id], Force=True)
    error = launch.fails_at(INSTALL)
    assert f"{name}-only-1" in error
    stage.cloud.client("ec2").start_instances(InstanceIds=[machine.instance_id])
    machine = eventually(lambda: stage.machine(name), "the server to be back")
    eventually(lambda: _runs(stage, machine.instance_id) or None, "the server to run")
    machine.container.reload()
    machine.sh("touch /tmp/back")
    finishes_after_clearing(stage, launch, INSTALL)


def test_refused_credentials_name_the_connection(stage: Stage, scrapped: Name) -> None:
    name = scrapped("wrong-secret")
    url = stage.upload("refused.tar.gz", archive())
    right = json.loads(stage.cloud.aws_connection_json())
    connection = {
        "connection_id": "aws_refused",
        "conn_type": "aws",
        "login": right["login"],
        "password": "not-the-secret",
        "extra": json.dumps(right["extra"]),
    }
    stage.api.call("POST", "/connections", json=connection)
    stage.define(name, probe(name, url, aws="aws_refused"))
    launch = stage.launch(name)
    error = launch.fails_at(TURN)
    assert "Check the credentials and rights of the Airflow connection 'aws_refused'" in error
    assert stage.machines(name) == {}
    mended = {**connection, "password": right["password"]}
    stage.api.call("PATCH", "/connections/aws_refused", json=mended)
    finishes_after_clearing(stage, launch, TURN)


def test_another_host_key_stops_the_step_before_anything_is_sent(stage: Stage, sound: str) -> None:
    name, machine = sound, stage.machine(sound)
    before = machine.journal()
    ec2 = stage.cloud.client("ec2")
    described = ec2.describe_instances(InstanceIds=[machine.instance_id])["Reservations"][0]["Instances"][0]
    right = next(tag["Value"] for tag in described["Tags"] if tag["Key"] == "gantry:host-key")
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    ec2.create_tags(Resources=[machine.instance_id], Tags=[{"Key": "gantry:host-key", "Value": other}])
    launch = stage.launch(name)
    error = launch.fails_at(HANDSHAKE)
    assert f"{name}-only-1: the host key at" in error
    assert "is not the one pinned" in error
    assert machine.journal() == before
    ec2.create_tags(Resources=[machine.instance_id], Tags=[{"Key": "gantry:host-key", "Value": right}])
    finishes_after_clearing(stage, launch, HANDSHAKE)


def test_a_server_without_ssh_fails_with_what_was_last_seen(stage: Stage, scrapped: Name) -> None:
    name = scrapped("no-ssh")
    url = stage.upload("no-ssh.tar.gz", archive())
    connection = {
        "connection_id": "ssh_closed",
        "conn_type": "ssh",
        "login": connections.SSH_USER,
        "port": 2222,
        "extra": json.dumps({"private_key": stage.shop.private_key}),
    }
    stage.api.call("POST", "/connections", json=connection)
    # Longer than it is attended: the triggerer is the one to give up.
    stage.define(name, probe(name, url, ssh="ssh_closed", handshake="60s", attend="3s"))
    launch = stage.launch(name)
    error = launch.fails_at(HANDSHAKE)
    assert f"{name}-only-1: no handshake within" in error
    assert "Last seen: no SSH connection to" in error
    stage.api.call("PATCH", "/connections/ssh_closed", json={**connection, "port": 22})
    finishes_after_clearing(stage, launch, HANDSHAKE)


def _runs(stage: Stage, instance_id: str) -> bool:
    found = stage.cloud.client("ec2").describe_instances(InstanceIds=[instance_id])
    return found["Reservations"][0]["Instances"][0]["State"]["Name"] == "running"
