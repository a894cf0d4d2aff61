"""A Chef repository arrives on a Chef server as it is, once, or not at all."""

from __future__ import annotations

import hashlib
import json
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gantry.configuration_management import chef_server
from gantry.local.cloud import chef_repository

from .conftest import Goiardi

BOOKSHOP = Path(__file__).parents[2] / "include" / "chef"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with one of each."""
    _write(tmp_path / "roles/web.json", {"name": "web", "run_list": ["recipe[shop]", "recipe[elsewhere]"]})
    _write(tmp_path / "environments/test.json", {"name": "test", "cookbook_versions": {"shop": "= 1.2.3"}})
    cookbook = tmp_path / "cookbooks/shop"
    _write(cookbook / "metadata.json", {"name": "shop", "version": "1.2.3", "dependencies": {}})
    for path, text in {
        "recipes/default.rb": "log 'größe'",
        "templates/plain.erb": "all",
        "templates/debian/plain.erb": "Debian",
        "files/default/a/b.txt": "deep",
        "README.md": "read me",
        ".hidden": "sent as knife does",
    }.items():
        (cookbook / path).parent.mkdir(parents=True, exist_ok=True)
        (cookbook / path).write_text(text)
    return tmp_path


def test_all_of_it_is_there_afterwards(chef: Goiardi, server: chef_server.ChefServer, folder: Path) -> None:
    done = chef_repository.upload(folder, server)
    assert (done.cookbooks, done.roles, done.environments) == (("shop 1.2.3",), ("web",), ("test",))
    assert server.get("/roles/web")["run_list"] == ["recipe[shop]", "recipe[elsewhere]"]
    assert server.get("/environments/test")["cookbook_versions"] == {"shop": "= 1.2.3"}
    found = server.get("/cookbooks/shop/1.2.3")
    assert [(each["path"], each["specificity"]) for each in found["templates"]] == [
        ("templates/debian/plain.erb", "debian"),
        ("templates/plain.erb", "default"),
    ]
    assert [(each["path"], each["name"]) for each in found["files"]] == [("files/default/a/b.txt", "a/b.txt")]
    assert {each["path"] for each in found["root_files"]} == {".hidden", "README.md", "metadata.json"}
    (recipe,) = found["recipes"]
    # As a node fetches it: from the server's own address.
    assert recipe["url"].startswith(f"{chef.found.url}/")
    content = _fetch(recipe["url"], chef.found.certificate, server)
    assert content == "log 'größe'".encode()
    assert hashlib.md5(content, usedforsecurity=False).hexdigest() == recipe["checksum"]


def test_a_node_would_find_the_cookbook(server: chef_server.ChefServer, folder: Path) -> None:
    chef_repository.upload(folder, server)
    found = server.post("/environments/test/cookbook_versions", {"run_list": ["shop"]})
    assert found["shop"]["version"] == "1.2.3"


def test_the_same_again_sends_no_file(server: chef_server.ChefServer, folder: Path) -> None:
    recipe = folder / "cookbooks/shop/recipes/default.rb"
    recipe.write_text("log 'another first time'")
    assert chef_repository.upload(folder, server).files_sent > 0
    assert chef_repository.upload(folder, server).files_sent == 0


def test_only_what_changed_is_sent(server: chef_server.ChefServer, folder: Path) -> None:
    chef_repository.upload(folder, server)
    (folder / "cookbooks/shop/recipes/default.rb").write_text("log 'changed'")
    _write(folder / "roles/web.json", {"name": "web", "run_list": []})
    assert chef_repository.upload(folder, server).files_sent == 1
    assert server.get("/roles/web")["run_list"] == []
    (recipe,) = server.get("/cookbooks/shop/1.2.3")["recipes"]
    assert recipe["checksum"] == hashlib.md5(b"log 'changed'", usedforsecurity=False).hexdigest()


def _rename(path: str, to: str) -> Callable[[Path], object]:
    return lambda folder: (folder / path).rename(folder / to)


def _text(path: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / path).write_text(text)


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (_text("roles/web.json", '{"name": "web",\n "run_list": [}'), r"roles/web\.json:2:15: not JSON"),
        (_text("roles/web.json", "[]"), r"roles/web\.json: an object"),
        (_text("roles/web.json", '{"name": "www"}'), r"roles/web\.json: the name is 'www'"),
        (_text("roles/db.rb", "name 'db'"), r"roles/db\.rb: a role is written as JSON here"),
        (_rename("environments/test.json", "environments/prod.json"), r"the name is 'test'"),
        (_rename("cookbooks/shop", "cookbooks/other"), r"the name is 'shop', and the folder's is 'other'"),
        (_text("cookbooks/shop/metadata.json", '{"name": "shop", "version": "one"}'), r"version 'one'"),
        (
            _rename("cookbooks/shop/metadata.json", "cookbooks/shop/metadata.rb"),
            r"no metadata\.json .*knife cookbook metadata",
        ),
        (lambda folder: _write(folder / "data_bags/users/me.json", {"id": "me"}), r"data_bags: not uploaded"),
    ],
)
def test_a_broken_repository_changes_nothing(
    server: chef_server.ChefServer, folder: Path, breaks: Callable[[Path], object], words: str
) -> None:
    breaks(folder)
    with pytest.raises(chef_repository.RepositoryError, match=words):
        chef_repository.upload(folder, server)
    assert server.get("/roles") == {}
    assert server.get("/cookbooks") == {}


def test_a_folder_that_is_no_repository(server: chef_server.ChefServer, tmp_path: Path) -> None:
    with pytest.raises(chef_repository.RepositoryError, match="no such folder"):
        chef_repository.upload(tmp_path / "nowhere", server)
    with pytest.raises(chef_repository.RepositoryError, match="no Chef repository"):
        chef_repository.upload(tmp_path, server)


def test_who_may_not_upload_is_told(chef: Goiardi, folder: Path) -> None:
    with pytest.raises(chef_server.ChefServerRefusedError, match="'chef-validator' \\(403"):
        chef_repository.upload(folder, chef.server("chef-validator"))


def test_a_person_uploads_the_bookshop_s(chef: Goiardi, server: chef_server.ChefServer) -> None:
    keys = chef.found.folder
    command = [
        *(sys.executable, "-m", "gantry.local.cloud.chef_repository", str(BOOKSHOP)),
        *("--url", chef.found.url, "--user", "admin", "--key", str(keys / "admin.pem")),
    ]
    done = subprocess.run(
        [*command, "--certificate", str(keys / "server.crt")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "roles: applicationServer, databaseServer, loadBalancer\n" in done.stdout
    assert set(server.get("/roles")) == {"applicationServer", "databaseServer", "loadBalancer"}
    untrusting = subprocess.run(command, capture_output=True, text=True, check=False)
    assert untrusting.returncode == 1
    assert untrusting.stderr.startswith("chef_repository: ")
    assert "certificate verify failed" in untrusting.stderr


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _fetch(url: str, certificate: str, server: chef_server.ChefServer) -> bytes:
    request = urllib.request.Request(url, headers=server._signed("GET", url, b""))
    with urllib.request.urlopen(request, context=ssl.create_default_context(cadata=certificate)) as answer:
        content: bytes = answer.read()
        return content
