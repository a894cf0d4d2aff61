"""Each kind of bad input gives one error that names server, step and cause; mended and cleared, the launch ends.

What had finished is not done again, and no secret stays behind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import asyncssh
import pytest

from gantry.local import connections, example
from tests.airflow.stage import Launch, Stage, archive, eventually, probe

pytestmark = pytest.mark.airflow

INSTALL = "tier-only.install_services"
CONFIGURE = "service-probe.configure"
HANDSHAKE = "tier-only.handshake"
FIND_LOST = "find_lost"
SCALE_UP = "tier-only.scale_up"

Name = Callable[[str], str]


def finishes_after_clearing(stage: Stage, launch: Launch, task: str) -> None:
    """Clear the failed task; the launch must end well, with the servers it had."""
    before = {key: each.instance_id for key, each in stage.machines(launch.dag).items()}
    launch.clear(task)
    launch.succeeds()
    after = {key: each.instance_id for key, each in stage.machines(launch.dag).items()}
    assert not before or after == before
    for machine in stage.machines(launch.dag).values():
        assert machine.secrets_in_transit() == []
    shown = launch.everything_shown()
    for secret in (stage.shop.password, stage.cloud.secret_access_key, "X-Amz-Signature", "PRIVATE KEY"):
        assert secret not in shown


def test_a_missing_archive_is_named_and_once_uploaded_installed(stage: Stage, scrapped: Name) -> None:
    name = scrapped("missing-archive")
    stage.define(name, probe(name, "s3://bookshop/late.tar.gz"))
    launch = stage.launch(name)
    error = launch.fails_at(INSTALL)
    assert "s3://bookshop/late.tar.gz does not exist" in error
    assert "the archive of service 'probe'" in error
    stage.upload("late.tar.gz", archive())
    finishes_after_clearing(stage, launch, INSTALL)
    assert stage.machine(name).calls("installService") == 1


def test_a_wrong_checksum_is_refused_before_anything_is_installed(stage: Stage, scrapped: Name) -> None:
    name = scrapped("wrong-checksum")
    good = archive({"enstratus-backup": "#!/bin/sh\n"})
    url = stage.upload("tampered.tar.gz", archive())
    wanted = hashlib.sha256(good).hexdigest()
    stage.define(name, probe(name, url, sha256=wanted))
    launch = stage.launch(name)
    error = launch.fails_at(INSTALL)
    assert f"{name}-only-1: withDownload" in error
    assert wanted in error
    assert hashlib.sha256(archive()).hexdigest() in error
    assert "exit code 23" in error
    machine = stage.machine(name)
    assert machine.sh("ls -A /mnt/services") == ""
    assert machine.secrets_in_transit() == []
    stage.upload("tampered.tar.gz", good)
    finishes_after_clearing(stage, launch, INSTALL)


def test_a_broken_archive_is_a_failure_that_leaves_nothing(stage: Stage, scrapped: Name) -> None:
    name = scrapped("broken-archive")
    url = stage.upload("broken.tar.gz", archive()[:-200])
    stage.define(name, probe(name, url))
    launch = stage.launch(name)
    error = launch.fails_at(INSTALL)
    assert f"{name}-only-1: withDownload" in error
    assert "installService" in error
    machine = stage.machine(name)
    assert "bin" not in machine.sh("find /mnt/services")
    stage.upload("broken.tar.gz", archive())
    finishes_after_clearing(stage, launch, INSTALL)


def test_an_sql_error_in_the_dump_shows_mariadbs_words(stage: Stage, scrapped: Name) -> None:
    name = scrapped("sql-error")
    dump = (stage.shop.folder / "datasource.sql").read_text()
    url = stage.upload("bad.sql", (dump + "\nINSERT INTO nowhere VALUES (1);\n").encode())
    definition = json.dumps(
        {
            "deployment": name,
            "cloud": {"region": "eu-central-1"},
            "launch_configurations": {
                "debian": {"image": "gantry-debian-12-prepared", "ssh": {"connection": "bookshop_ssh"}}
            },
            "tiers": {"database": {"launch_configuration": "debian", "servers": 1}},
            "services": {
                "db": {
                    "id": "a1001",
                    "tier": "database",
                    "archive": f"s3://{example.BUCKET}/{example.SERVICES['db']}",
                    "port": 3306,
                    "datasources": {"catalog": {"dump": url, "connection": "bookshop_catalog"}},
                }
            },
        }
    )
    stage.define(name, definition)
    launch = stage.launch(name)
    error = launch.fails_at("service-db.install_datasources")
    assert f"{name}-database-1" in error
    assert "ERROR 1146" in error
    assert "nowhere" in error
    machine = stage.machine(name)
    assert machine.secrets_in_transit() == []
    stage.upload("bad.sql", dump.encode())
    finishes_after_clearing(stage, launch, "service-db.install_datasources")
    assert machine.calls("installService") == 1


def test_a_service_script_that_exits_3_is_quoted_and_what_came_before_is_not_repeated(
    stage: Stage, scrapped: Name
) -> None:
    name = scrapped("exit-three")
    start = "#!/bin/sh\n[ -e /tmp/mended ] || { echo 'no licence found'; exit 3; }\ntouch /tmp/probe-runs\n"
    url = stage.upload("exit-three.tar.gz", archive({"enstratus-start": start}))
    stage.define(name, probe(name, url))
    launch = stage.launch(name)
    error = launch.fails_at(CONFIGURE)
    assert f"{name}-only-1: startService a2001 failed with exit code 3" in error
    assert "no licence found" in error
    machine = stage.machine(name)
    machine.sh("touch /tmp/mended")
    finishes_after_clearing(stage, launch, CONFIGURE)
    assert machine.calls("installService") == 1
    assert machine.calls("configureService") == 1
    assert machine.calls("stopService") == 1
    assert machine.calls("startService") == 2


def test_a_script_that_hangs_is_killed_with_its_children(stage: Stage, scrapped: Name) -> None:
    name = scrapped("hangs")
    start = (
        "#!/bin/sh\n[ -e /tmp/mended ] && { touch /tmp/probe-runs; exit 0; }\n"
        "trap '' TERM\necho waiting for godot\nsleep 4711 &\nwait; sleep 4711\n"
    )
    url = stage.upload("hangs.tar.gz", archive({"enstratus-start": start}))
    stage.define(name, probe(name, url, configure="4s"))
    launch = stage.launch(name)
    error = launch.fails_at(CONFIGURE)
    assert f"{name}-only-1: startService a2001 did not end within 4 s" in error
    assert "waiting for godot" in error
    machine = stage.machine(name)
    assert "4711" not in machine.sh("ps -eo args")
    machine.sh("touch /tmp/mended")
    finishes_after_clearing(stage, launch, CONFIGURE)
    assert machine.calls("configureService") == 1


def test_a_server_that_dies_during_install_is_named_and_goes_on_once_it_is_back(
    stage: Stage, scrapped: Name
) -> None:
    name = scrapped("dies")
    url = stage.upload("dies.tar.gz", archive())
    stage.define(name, probe(name, url, reconnect="4s"))
    # The server is made beforehand, so that a hook can stop it in the middle of its first install.
    first = stage.launch(name)
    first.await_state(HANDSHAKE, "success")
    machine = stage.machine(name)
    first.succeeds()
    stage.upload("dies.tar.gz", archive({"enstratus-new": "#!/bin/sh\n"}))
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


def test_an_unknown_image_is_named_and_once_registered_started(stage: Stage, scrapped: Name) -> None:
    name = scrapped("unknown-image")
    url = stage.upload("image.tar.gz", archive())
    stage.define(name, probe(name, url, image="golden-2027"))
    launch = stage.launch(name)
    error = launch.fails_at(SCALE_UP)
    assert "unknown image 'golden-2027'" in error
    assert stage.machines(name) == {}
    stage.cloud.client("ec2").register_image(Name="golden-2027", RootDeviceName="/dev/sda1")
    finishes_after_clearing(stage, launch, SCALE_UP)


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
    error = launch.fails_at(FIND_LOST)
    assert "Check the credentials and rights of the Airflow connection 'aws_refused'" in error
    assert stage.machines(name) == {}
    mended = {**connection, "password": right["password"]}
    stage.api.call("PATCH", "/connections/aws_refused", json=mended)
    finishes_after_clearing(stage, launch, FIND_LOST)


def test_another_host_key_stops_the_step_before_anything_is_sent(stage: Stage, scrapped: Name) -> None:
    name = scrapped("host-key")
    url = stage.upload("host-key.tar.gz", archive())
    stage.define(name, probe(name, url))
    stage.launch(name).succeeds()
    machine = stage.machine(name)
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
    stage.define(name, probe(name, url, ssh="ssh_closed", handshake="8s", attend="3s"))
    launch = stage.launch(name)
    error = launch.fails_at(HANDSHAKE)
    assert f"{name}-only-1: no handshake within" in error
    assert "Last seen: no SSH connection to" in error
    stage.api.call("PATCH", "/connections/ssh_closed", json={**connection, "port": 22})
    finishes_after_clearing(stage, launch, HANDSHAKE)


def _runs(stage: Stage, instance_id: str) -> bool:
    found = stage.cloud.client("ec2").describe_instances(InstanceIds=[instance_id])
    return found["Reservations"][0]["Instances"][0]["State"]["Name"] == "running"
