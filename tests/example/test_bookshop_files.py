"""What of the bookshop can be looked at without a server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gantry.definition import loading
from gantry.local.cloud import chef_repository

from .servers import BOOKSHOP, ROOT

SCRIPTS = sorted(
    path for path in BOOKSHOP.glob("services/*/*/*") if path.parent.name == "bin" or path.suffix == ".sh"
)


def test_the_service_scripts_are_plain_sh() -> None:
    assert len(SCRIPTS) >= 14
    found = subprocess.run(
        ["shellcheck", "-x", "--shell=sh", *SCRIPTS], capture_output=True, text=True, check=False
    )
    assert found.stdout == ""
    assert found.returncode == 0


def test_the_definition_has_no_errors() -> None:
    definition = loading.load(BOOKSHOP / "bookshop.yaml")
    assert definition.deployment == "bookshop"
    assert sorted(definition.services) == ["app", "db"]


def test_every_role_s_recipes_are_there() -> None:
    repository = chef_repository.read(ROOT / "include/chef")
    recipes = {
        f"recipe[{cookbook.name}]"
        for cookbook in repository.cookbooks
        if "recipes/default.rb" in cookbook.files
    }
    assert sorted(repository.roles) == ["applicationServer", "databaseServer", "loadBalancer"]
    assert {entry for role in repository.roles.values() for entry in role["run_list"]} == recipes


def test_the_catalogue_is_the_same_each_time(tmp_path: Path) -> None:
    dumps = []
    for hash_seed in ("0", "7"):
        target = tmp_path / hash_seed
        command = [sys.executable, str(BOOKSHOP / "datasources/make_catalog.py"), str(target)]
        subprocess.run(command, check=True, env={"PYTHONHASHSEED": hash_seed})
        dumps.append(target.read_bytes())
    assert dumps[0] == dumps[1]
    assert dumps[0].count(b"\n(") == 5000 + 5000 // 8
