"""`gantry new`: a deployment that works from the first moment, and never at the cost of what is there."""

from __future__ import annotations

import io
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import jsonschema
import pytest
import yaml

from gantry import definition, names
from tests.unit.cli.conftest import Gantry

# Runs a loader as Airflow does, without the two seconds that Airflow takes.
LOADED = """
import runpy, sys, types
stand_in = types.ModuleType("gantry.dag")
stand_in.deployment_dags = lambda path: (path, print(path))
sys.modules["gantry.dag"] = stand_in
runpy.run_path(sys.argv[1])
"""
SERVICE = pathlib.Path("include", "shop", "services", "app")


@pytest.fixture(autouse=True)
def project(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """An empty Airflow project."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal, and what a person types there."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdin", terminal)
    return terminal


def test_what_it_writes_is_valid_and_the_loader_finds_it(gantry: Gantry, project: pathlib.Path) -> None:
    made = gantry("new", "shop", "--yes")
    assert made.code == 0, made.err
    assert gantry("validate").out == "1 definition: no problems\n"
    loaded = definition.load(pathlib.Path("include/shop/shop.yaml"))
    image = loaded.launch_configurations["debian"].image
    assert (loaded.deployment, image) == ("shop", "gantry-debian-12-prepared")
    assert loaded.services[names.ServiceName("app")].archive == "s3://shop/app.tar.gz"

    # Where Airflow runs the loader is its own affair.
    loader = str(project / "dags" / "shop.py")
    ran = subprocess.run(
        [sys.executable, "-c", LOADED, loader],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.strip() == str(project / "include/shop/shop.yaml"), ran.stderr


def test_it_says_what_was_written_and_what_to_do_next(gantry: Gantry) -> None:
    out = gantry("new", "shop", "--yes").out
    assert "wrote include/shop/shop.yaml\nwrote dags/shop.py\n" in out
    assert "gantry_ssh (ssh)" in out
    steps = [line.strip() for line in out.partition("Next:")[2].splitlines() if line]
    assert [step.split()[1] for step in steps] == ["validate", "archive", "plan", "launch"]
    assert steps[1] == "gantry archive include/shop/services/app s3://shop/app.tar.gz -d shop --create-bucket"


def test_editors_find_the_schema_and_it_fits(gantry: Gantry) -> None:
    gantry("new", "shop", "--yes")
    path = pathlib.Path("include/shop/shop.yaml")
    first, *_ = path.read_text().splitlines()
    schema = path.parent / first.removeprefix("# yaml-language-server: $schema=")
    jsonschema.validate(yaml.safe_load(path.read_text()), json.loads(schema.read_text()))


def test_nothing_is_overwritten_and_what_is_in_the_way_is_named(gantry: Gantry) -> None:
    loader = pathlib.Path("dags/shop.py")
    loader.parent.mkdir()
    loader.write_text("mine\n")
    answer = gantry("new", "shop", "--yes")
    assert answer.code == 1
    assert answer.err.splitlines()[:2] == [
        "this file is already there, so nothing was written:",
        "  dags/shop.py",
    ]
    assert loader.read_text() == "mine\n"
    assert not pathlib.Path("include").exists()


def test_a_second_deployment_shares_the_schema(gantry: Gantry) -> None:
    gantry("new", "shop", "--yes")
    schema = pathlib.Path("include/definition.schema.json")
    schema.write_text("{}")
    assert gantry("new", "library", "--yes").code == 0
    assert schema.read_text() == "{}"


def test_options_say_what_would_be_asked(gantry: Gantry) -> None:
    given = {
        "--region": "eu-west-1",
        "--image": "ami-1, with: signs",
        "--ssh-connection": "shop_ssh",
        "--connection": "aws_shop",
        "--bucket": "my.bucket",
        "--servers": 3,
        "--port": 8080,
        "--host-name": "shop.example.org",
        "--size": "m7g.large",
    }
    made = gantry("new", "true", *(part for option in given.items() for part in option), "--json")
    assert made.code == 0, made.err
    assert made.json["files"][:2] == ["include/true/true.yaml", "dags/true.py"]
    loaded = definition.load(pathlib.Path("include/true/true.yaml"))
    debian = loaded.launch_configurations["debian"]
    assert (debian.image, debian.size, debian.ssh.connection) == (
        "ami-1, with: signs",
        "m7g.large",
        "shop_ssh",
    )
    assert (loaded.cloud.connection, loaded.cloud.region) == ("aws_shop", "eu-west-1")
    servers = {name: (tier.servers.min, tier.servers.max) for name, tier in loaded.tiers.items()}
    assert servers == {"web": (3, 6), "front": (1, 1)}
    assert [each.name for each in loaded.load_balancers.values()] == ["shop.example.org"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Shop"], "name: 'Shop' is not a name"),
        (["shop", "--region", "moon"], "region: 'moon' is not a region"),
        (["shop", "--bucket", "X"], "bucket: 's3://X/app.tar.gz' is not an S3 URL"),
        (["shop", "--servers", "0"], "servers: "),
        (["shop", "--image", "debian-${version}"], "unknown variable 'version'"),
    ],
)
def test_an_answer_that_a_definition_cannot_say_is_refused(
    arguments: list[str], said: str, gantry: Gantry, project: pathlib.Path
) -> None:
    answer = gantry("new", *arguments)
    assert answer.code == 1
    assert said in answer.err
    assert list(project.iterdir()) == []


def test_on_a_terminal_it_asks_and_asks_again(gantry: Gantry, typed: io.StringIO) -> None:
    typed.write("\nmoon\neu-west-1\n\n\nshop_ssh\n\n4\n\n\n")
    typed.seek(0)
    made = gantry("new", "shop", "--port", "8080")
    assert made.code == 0, made.err
    assert "'moon' is not a region" in made.out + made.err
    loaded = definition.load(pathlib.Path("include/shop/shop.yaml"))
    web = loaded.tiers[names.TierName("web")]
    assert (loaded.cloud.region, web.servers.min) == ("eu-west-1", 4)
    assert loaded.launch_configurations["debian"].ssh.connection == "shop_ssh"


def test_nobody_is_asked_where_nobody_can_answer(gantry: Gantry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert gantry("new", "shop").code == 0


def test_its_scripts_are_executable_and_pass_shellcheck(gantry: Gantry) -> None:
    gantry("new", "shop", "--yes")
    scripts = sorted((SERVICE / "bin").iterdir())
    assert [each.name.removeprefix("enstratus-") for each in scripts] == [
        "check",
        "configure",
        "start",
        "stop",
    ]
    assert all(os.access(each, os.X_OK) for each in scripts)
    shellcheck = shutil.which("shellcheck")
    assert shellcheck is not None, "shellcheck is missing: make setup"
    checked = subprocess.run([shellcheck, "-x", *scripts], capture_output=True, text=True, check=False)
    assert checked.stdout == ""


def test_its_service_packs_starts_answers_and_stops(gantry: Gantry, tmp_path: pathlib.Path) -> None:
    gantry("new", "shop", "--yes")
    assert gantry("archive", SERVICE, tmp_path / "app.tar.gz").code == 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    facts = SERVICE / "cfg" / "enstratus.cfg"
    facts.parent.mkdir()
    facts.write_text(f"[enStratus]\nport.1.privatePort={port}\n\n[custom]\ngreeting=Hello from <web> & co\n")

    def script(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [SERVICE / "bin" / f"enstratus-{name}", "a1001", *arguments]
        return subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False)

    assert script("stop").returncode == 0
    assert script("check").stdout.startswith("does not run")
    assert script("configure", facts).returncode == 0
    try:
        assert script("start").returncode == 0
        deadline = time.monotonic() + 120
        while (checked := script("check")).stdout != "OK\n":
            assert time.monotonic() < deadline, checked
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
            assert "<h1>Hello from &lt;web> &amp; co</h1>" in answer.read().decode()
        assert "runs already" in script("start").stdout
    finally:
        assert script("stop").returncode == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60)


def test_a_number_that_cannot_be_is_refused_in_the_languages_own_words(gantry: Gantry) -> None:
    assert gantry("new", "shop", "--yes", "--port", "99999").err == "port: 99999 is more than 65535\n"
