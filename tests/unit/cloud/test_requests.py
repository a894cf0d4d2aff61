"""What EC2 is asked for, as the definition says it."""

from __future__ import annotations

import email
from typing import Any, cast

import pytest

from gantry import definition, names, templates
from gantry.cloud import clients, images, requests, tags, user_data
from gantry.definition import models

WEB = names.TierName("web")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMIyA7C7cS2dJ4eS1v9bG5d0u1LxDE5j5V1f5k6l7m8n"


def shop(more: str = "", top: str = "", cloud: str = "") -> models.Definition:
    return definition.loads(
        f"""\
deployment: shop
{top}
cloud: {{region: eu-central-1{cloud}}}
launch_configurations:
  debian: {{image: ami-1, ssh: {{connection: shop_ssh}}{more}}}
tiers:
  web: {{launch_configuration: debian, servers: {{min: 1, max: 200}}}}
services: {{}}
"""
    )


def slots(*numbers: int) -> list[names.Slot]:
    return [names.Slot(number) for number in numbers]


def asked(found: models.Definition, *numbers: int) -> dict[str, Any]:
    return dict(
        requests.run_instances(
            found, WEB, slots(*numbers), image_id="ami-1", boot="#cloud-config\n", token="t", run="r"
        )
    )


def written(request: dict[str, Any], kind: str) -> dict[str, str]:
    (found,) = (each["Tags"] for each in request["TagSpecifications"] if each["ResourceType"] == kind)
    return {tag["Key"]: tag["Value"] for tag in found}


# --- the network ---------------------------------------------------------------------------------------------


def test_a_definition_that_says_nothing_of_its_network_asks_for_none() -> None:
    request = asked(shop(), 1)
    assert not {"SubnetId", "SecurityGroupIds", "NetworkInterfaces", "IamInstanceProfile"} & set(request)
    assert "BlockDeviceMappings" not in request


def test_a_slot_is_always_in_the_same_subnet_whatever_else_is_started() -> None:
    network = (
        shop(", network: {subnets: [subnet-a, subnet-b, subnet-c]}").launch_configurations["debian"].network
    )
    assert list(requests.calls(network, slots(1, 2, 3, 4, 5))) == [[1, 4], [2, 5], [3]]
    assert list(requests.calls(network, slots(4, 5))) == [[4], [5]]
    assert [requests.subnet_of(network, each) for each in slots(1, 5, 6)] == [
        "subnet-a",
        "subnet-b",
        "subnet-c",
    ]


def test_what_one_call_starts_fits_into_a_tag_in_each_subnet() -> None:
    network = shop(", network: {subnets: [subnet-a, subnet-b]}").launch_configurations["debian"].network
    calls = list(requests.calls(network, slots(*range(1, 203))))
    assert [len(call) for call in calls] == [50, 50, 1, 50, 50, 1]
    assert sorted(slot for call in calls for slot in call) == list(range(1, 203))
    assert all(len({requests.subnet_of(network, slot) for slot in call}) == 1 for call in calls)


def test_subnet_and_groups_stand_at_the_instance_or_at_its_interface_and_never_at_both() -> None:
    network = "subnets: [subnet-a], security_groups: [sg-1, sg-2]"
    request = asked(shop(f", network: {{{network}}}"), 1)
    assert (request["SubnetId"], request["SecurityGroupIds"]) == ("subnet-a", ["sg-1", "sg-2"])
    assert "NetworkInterfaces" not in request
    for written_, wanted in (("true", True), ("false", False)):
        request = asked(shop(f", network: {{{network}, public_address: {written_}}}"), 1)
        assert request["NetworkInterfaces"] == [
            {
                "DeviceIndex": 0,
                "AssociatePublicIpAddress": wanted,
                "DeleteOnTermination": True,
                "SubnetId": "subnet-a",
                "Groups": ["sg-1", "sg-2"],
            }
        ]
        assert not {"SubnetId", "SecurityGroupIds"} & set(request)


# --- profile and volumes -------------------------------------------------------------------------------------


def test_an_instance_profile_is_asked_for_by_its_name_or_its_arn() -> None:
    arn = "arn:aws:iam::123456789012:instance-profile/shops/web"
    assert asked(shop(", instance_profile: web"), 1)["IamInstanceProfile"] == {"Name": "web"}
    assert asked(shop(f", instance_profile: '{arn}'"), 1)["IamInstanceProfile"] == {"Arn": arn}


def test_volumes_are_encrypted_and_go_with_their_server_unless_it_is_said_otherwise() -> None:
    request = asked(
        shop(
            ", volumes: [{device: /dev/xvdb, size: 100}, {device: /dev/sdf, snapshot: snap-1, type: io2, iops: 500, "
            "encrypted: false, delete_on_termination: false}, {device: /dev/sdg, size: 9, throughput: 200}]"
        ),
        1,
    )
    assert request["BlockDeviceMappings"] == [
        {
            "DeviceName": "/dev/xvdb",
            "Ebs": {"VolumeSize": 100, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True},
        },
        {
            "DeviceName": "/dev/sdf",
            "Ebs": {
                "SnapshotId": "snap-1",
                "VolumeType": "io2",
                "Iops": 500,
                "Encrypted": False,
                "DeleteOnTermination": False,
            },
        },
        {
            "DeviceName": "/dev/sdg",
            "Ebs": {
                "VolumeSize": 9,
                "VolumeType": "gp3",
                "Throughput": 200,
                "Encrypted": True,
                "DeleteOnTermination": True,
            },
        },
    ]


# --- the metadata service ------------------------------------------------------------------------------------


def test_a_servers_metadata_wants_a_token_unless_the_definition_says_otherwise() -> None:
    assert asked(shop(), 1)["MetadataOptions"] == {"HttpTokens": "required"}
    told = asked(shop(", metadata: {tokens: optional, hop_limit: 2}"), 1)["MetadataOptions"]
    assert told == {"HttpTokens": "optional", "HttpPutResponseHopLimit": 2}


# --- images --------------------------------------------------------------------------------------------------


class Found:
    """A client of Systems Manager that knows one parameter."""

    def get_parameters(self, **request: Any) -> dict[str, Any]:
        known = {"/shop/image": "ami-0a1b", "/shop/image:7": "ami-7", "/shop/words": "no image"}
        (name,) = request["Names"]
        return {"Parameters": [{"Name": name, "Value": known[name]}] if name in known else []}


def test_a_parameter_is_launched_as_it_is_written_and_resolved_where_ids_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clients, "ssm", lambda _: Found())
    ec2, cloud = cast("Any", None), shop().cloud
    for name, wanted in (("/shop/image", "ami-0a1b"), ("/shop/image:7", "ami-7")):
        image = f"resolve:ssm:{name}"
        assert images.to_launch(ec2, image, cloud) == image
        assert images.image_id(ec2, image, cloud) == wanted
    for name, problem in (
        ("/shop/none", "there is no such parameter"),
        ("/shop/words", "holds no image's id .*"),
    ):
        with pytest.raises(
            images.UnknownParameterError, match=f"'resolve:ssm:{name}'.*{problem} in eu-central-1"
        ):
            images.image_id(ec2, f"resolve:ssm:{name}", cloud)


# --- tags and names ------------------------------------------------------------------------------------------


def test_the_nearer_tag_wins_and_ours_are_there_too() -> None:
    request = asked(
        shop(", tags: {team: red, role: web}", cloud=", tags: {team: blue, centre: '4711'}"), 1, 2
    )
    own = {"team": "red", "role": "web", "centre": "4711"}
    assert written(request, "instance") == {
        **own,
        tags.DEPLOYMENT: "shop",
        tags.TIER: "web",
        tags.SLOTS: "1 2",
        tags.RUN: "r",
        tags.NEW: "yes",
        "Name": "shop-web",
    }
    assert written(request, "volume") == {
        **own,
        tags.DEPLOYMENT: "shop",
        tags.TIER: "web",
        "Name": "shop-web",
    }


def test_volumes_and_interfaces_have_tags_of_their_own_where_the_definition_wants_them() -> None:
    request = asked(shop(", tags: {team: red, role: web}, volume_tags: {backup: daily, team: blue}"), 1)
    assert [each["ResourceType"] for each in request["TagSpecifications"]] == ["instance", "volume"]
    ours = {tags.DEPLOYMENT: "shop", tags.TIER: "web", "Name": "shop-web"}
    assert written(request, "volume") == {"team": "blue", "role": "web", "backup": "daily", **ours}
    assert "backup" not in written(request, "instance")
    request = asked(shop(", tags: {team: red}, network: {tags: {zone: front}}"), 1)
    assert written(request, "network-interface") == {"team": "red", "zone": "front", **ours}
    assert "zone" not in written(request, "instance") | written(request, "volume")
    assert written(asked(shop(", network: {tags: {}}"), 1), "network-interface") == ours


def test_a_server_that_is_started_alone_has_its_name_at_once() -> None:
    top = "server_name: '{{ tier.name }}{{ \"%03d\" | format(server.slot) }}-{{ deployment.name }}'"
    assert written(asked(shop(top=top), 7), "instance")["Name"] == "web007-shop"
    assert written(asked(shop(), 7), "instance")["Name"] == "shop-web-7"


def test_server_names_follow_the_template_and_the_default_is_what_it_says() -> None:
    plain = shop()
    assert plain.server_name == models.SERVER_NAME
    for slot in (1, 200):
        known = {"deployment": {"name": "shop"}, "tier": {"name": "web"}, "server": {"slot": slot}}
        assert plain.name_of(WEB, slot) == templates.render(models.SERVER_NAME, known)
    assert shop(top="server_name: 'w{{ server.slot }}'").names_of(WEB)[:2] == ("w1", "w2")


@pytest.mark.parametrize(
    "hungry",
    [
        "{{ '%0999999999d' | format(server.slot) }}",
        "{{ '%*d' | format(999999999, server.slot) }}",
        "{{ 'a' | center(999999999) }}{{ server.slot }}",
    ],
)
def test_a_name_that_would_fill_the_memory_is_refused_before_it_does(hungry: str) -> None:
    with pytest.raises(definition.DefinitionError, match=r"unknown filter|cannot be rendered"):
        shop(top=f'server_name: "{hungry}"')


# --- the first boot ------------------------------------------------------------------------------------------


def parts(text: str) -> list[tuple[str, str]]:
    """The parts of user data as cloud-init reads them: (type, content)."""
    message = email.message_from_string(text)
    found = []
    for part in message.walk():
        if not part.is_multipart():
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            found.append((part.get_content_type(), payload.decode()))
    return found


def test_without_a_part_of_its_own_a_definition_boots_with_ours_alone() -> None:
    assert user_data.first_boot("deploy", KEY, None) == user_data.cloud_config("deploy", KEY)


@pytest.mark.parametrize(
    ("own", "kind"),
    [
        ("#!/bin/sh -e\necho hello", "text/x-shellscript"),
        ("#cloud-config\npackages: [jq]", "text/cloud-config"),
        ("#!/bin/sh\necho 'grüß Gott, 世界'\n" + "echo x\n" * 900, "text/x-shellscript"),
    ],
)
def test_a_definitions_part_stands_before_ours_word_for_word(own: str, kind: str) -> None:
    text = user_data.first_boot("deploy", KEY, own)
    assert parts(text) == [
        (kind, f"{own}\n"),
        ("text/cloud-config", user_data.cloud_config("deploy", KEY)),
    ]
    assert user_data.first_boot("deploy", KEY, own) == text


@pytest.mark.parametrize("letter", ["x", "é", "世"])
def test_the_largest_user_data_of_a_definition_fits_into_ec2s(letter: str) -> None:
    def with_letters(count: int) -> str:
        return "#!/bin/sh\n#" + letter * count

    def fits(count: int) -> bool:
        try:
            models.LaunchConfiguration(
                image="ami-1",
                ssh=models.Ssh(connection=names.ConnectionId("c")),
                user_data=with_letters(count),
            )
        except ValueError:
            return False
        return True

    most = max(count for count in range(3000, 14_001, 1) if fits(count))
    assert most > 3000
    rsa = "ssh-rsa " + "A" * 716  # 4096 bits
    assert len(user_data.first_boot("deploy", rsa, with_letters(most)).encode()) <= 16_384
