"""A launch whose definition says how servers are made, and what the cloud then shows of them."""

from __future__ import annotations

import ipaddress
import json
import textwrap
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from tests.airflow.stage import Launch, Stage, archive

pytestmark = pytest.mark.airflow

NAME = "made-to-measure"
SCRIPTS = {
    "enstratus-configure": """#!/bin/sh
set -e
grep "^serverId=" "$2" > /tmp/known-as
test -e /first-boot
"""
}


def definition(stage: Stage, url: str) -> str:
    subnets = [each["SubnetId"] for each in stage.cloud.client("ec2").describe_subnets()["Subnets"][:2]]
    return textwrap.dedent(f"""\
        deployment: {NAME}
        server_name: '{{{{ tier.name }}}}{{{{ "%02d" | format(server.slot) }}}}-{{{{ deployment.name }}}}'
        timeouts: {{handshake: 60s, configure: 60s, check: 20s}}
        cloud: {{region: eu-central-1, tags: {{cost-center: "4711", stage: test}}}}
        launch_configurations:
          debian:
            image: gantry-debian-12
            network:
              subnets: [{", ".join(subnets)}]
              security_groups: [{stage.cloud.security_group_id}]
              public_address: true
            instance_profile: {NAME}
            volumes: [{{device: /dev/xvdb, size: 50}}]
            tags: {{stage: production}}
            user_data: |
              #!/bin/sh -e
              echo "made on $(hostname)" > /first-boot
            ssh: {{connection: bookshop_ssh, address: public}}
        tiers:
          web: {{launch_configuration: debian, servers: {{min: 2, max: 3}}}}
        services:
          probe: {{id: a2001, tier: web, archive: {url}}}
        """)


@pytest.fixture(scope="module")
def launched(stage: Stage) -> Iterator[Launch]:
    """The deployment, launched."""
    iam: Any = boto3.client(
        "iam",
        aws_access_key_id=stage.cloud.access_key_id,
        aws_secret_access_key=stage.cloud.secret_access_key,
        region_name=stage.cloud.region,
        endpoint_url=stage.cloud.endpoint_url,
    )
    iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=json.dumps({"Statement": []}))
    iam.create_instance_profile(InstanceProfileName=NAME)
    iam.add_role_to_instance_profile(InstanceProfileName=NAME, RoleName=NAME)
    stage.define(NAME, definition(stage, stage.upload("made-to-measure.tar.gz", archive(SCRIPTS))))
    try:
        launch = stage.launch(NAME)
        launch.succeeds()
        yield launch
    finally:
        stage.scrap(NAME)


def tags(described: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in described["Tags"]}


def volumes(stage: Stage) -> list[Any]:
    found = stage.cloud.client("ec2").describe_volumes(
        Filters=[{"Name": "tag:gantry:deployment", "Values": [NAME]}]
    )
    return list(found["Volumes"])


def test_the_cloud_shows_what_the_definition_says(stage: Stage, launched: Launch) -> None:
    found = {tags(each)["Name"]: each for each in stage.instances(NAME)}
    assert set(found) == {f"web01-{NAME}", f"web02-{NAME}"}
    homes = {each["SubnetId"]: each for each in stage.cloud.client("ec2").describe_subnets()["Subnets"]}
    cidrs = [ipaddress.IPv4Network(homes[found[name]["SubnetId"]]["CidrBlock"]) for name in sorted(found)]
    assert cidrs[0] != cidrs[1]
    for cidr, name in zip(cidrs, sorted(found), strict=True):
        instance = found[name]
        assert ipaddress.IPv4Address(instance["PrivateIpAddress"]) in cidr
        assert instance["IamInstanceProfile"]["Arn"].endswith(f":instance-profile/{NAME}")
        assert [each["GroupId"] for each in instance["SecurityGroups"]] == [stage.cloud.security_group_id]
        assert (tags(instance)["cost-center"], tags(instance)["stage"]) == ("4711", "production")
    assert sorted((each["Attachments"][0]["Device"], each["Size"], each["Encrypted"]) for each in volumes(stage)) == [
        ("/dev/sda1", 8, False), ("/dev/sda1", 8, False), ("/dev/xvdb", 50, True), ("/dev/xvdb", 50, True),
    ]  # fmt: skip
    assert {tags(each)["stage"] for each in volumes(stage)} == {"production"}


def test_servers_are_worked_on_at_their_public_addresses_under_their_own_names(
    stage: Stage, launched: Launch
) -> None:
    public = {tags(each)["Name"]: each["PublicIpAddress"] for each in stage.instances(NAME)}
    log = launched.log(launched.instance("tier-web.handshake", 0))
    assert f"agent STARTING → RUNNING at {public[f'web01-{NAME}']}" in log
    summary = launched.task_log("finish_launch")
    assert f"deployment {NAME} is RUNNING" in summary
    for name, address in public.items():
        assert name in summary
        assert f"public={address}" in summary
    for slot in (1, 2):
        machine = stage.machines(NAME)[f"web-{slot}"]
        assert machine.sh("cat /tmp/known-as").strip() == f"serverId=web0{slot}-{NAME}"


def test_the_definitions_first_boot_was_carried_out_before_its_services(
    stage: Stage, launched: Launch
) -> None:
    for machine in stage.machines(NAME).values():
        assert machine.sh("cat /first-boot") == f"made on {machine.sh('hostname')}"


def test_a_termination_takes_servers_and_volumes(stage: Stage, launched: Launch) -> None:
    ending = stage.terminate(NAME)
    ending.succeeds()
    assert list(stage.instances(NAME)) == []
    assert volumes(stage) == []
    assert f"web02-{NAME}" in ending.task_log("confirm")
