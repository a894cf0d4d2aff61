"""`gantry doctor` finds what a first launch would fail at, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import asyncssh
import pytest

from gantry import cli, local

pytestmark = pytest.mark.docker

DEFINITION = """\
deployment: patient
cloud: {{connection: doctor_aws, region: {region}}}
launch_configurations:
  debian: {{image: {image}, ssh: {{connection: doctor_ssh}}, network: {{subnets: [{subnet}]}}}}
tiers:
  web: {{launch_configuration: debian, servers: 1}}
services:
  page: {{id: a9001, tier: web, archive: 's3://{bucket}/page.tar.gz'}}
backups: {{of: {{page: page}}, to: 's3://{bucket}/backups/'}}
"""


@pytest.fixture
def definition(cloud: local.EmbeddedCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A definition that is in order, with its connections, bucket and archive."""
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    monkeypatch.setenv("AIRFLOW_CONN_DOCTOR_AWS", cloud.aws_connection_json())
    login = {"conn_type": "ssh", "login": "launcher", "extra": {"private_key": key}}
    monkeypatch.setenv("AIRFLOW_CONN_DOCTOR_SSH", json.dumps(login))
    monkeypatch.setenv("GANTRY_PROFILES", str(tmp_path / "profiles.toml"))
    cloud.make_bucket("patients")
    cloud.client("s3").put_object(Bucket="patients", Key="page.tar.gz", Body=b"\x1f\x8b\x08page")
    path = tmp_path / "patient.yaml"
    path.write_text(
        DEFINITION.format(region=cloud.region, image=cloud.ami, subnet=cloud.subnet_id, bucket="patients")
    )
    return path


def doctor(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What is wrong, by what was looked at; the exit code has to fit."""
    capsys.readouterr()
    monkeypatch.setattr("sys.argv", ["gantry", "doctor", str(path), "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = json.loads(capsys.readouterr().out)
    wrong = {each["what"]: each["said"] for each in said["findings"] if each["standing"] == "wrong"}
    assert all(str(path) in each["place"] or path.name in each["place"] for each in said["findings"])
    assert (ended.value.code, said["is_well"]) == ((1, False) if wrong else (0, True))
    assert len(said["findings"]) >= 2
    return wrong


def test_what_is_in_order_is_well_and_nothing_is_started(
    cloud: local.EmbeddedCloud,
    definition: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert doctor(definition, monkeypatch, capsys) == {}
    found = cloud.client("ec2").describe_instances(
        Filters=[{"Name": "tag:gantry:deployment", "Values": ["patient"]}]
    )
    assert found["Reservations"] == []


def test_each_thing_that_is_wrong_is_named(
    cloud: local.EmbeddedCloud,
    definition: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = definition.read_text()
    definition.write_text(
        text.replace(cloud.subnet_id, "subnet-0123456789abcdef0").replace("page.tar.gz", "pag.tar.gz")
    )
    wrong = doctor(definition, monkeypatch, capsys)
    assert "InvalidSubnetID.NotFound" in wrong["tier web: subnet subnet-0123456789abcdef0"]
    assert "does not exist" in wrong["s3://patients/pag.tar.gz"]
    definition.write_text(text.replace(cloud.ami, "no-such-image"))
    assert list(doctor(definition, monkeypatch, capsys)) == ["tier web: image no-such-image"]
    definition.write_text(text)
    monkeypatch.delenv("AIRFLOW_CONN_DOCTOR_AWS")
    assert "cannot be read" in doctor(definition, monkeypatch, capsys)["connection doctor_aws"]
