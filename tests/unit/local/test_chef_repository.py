"""Which files of a cookbook are sent: those that `knife` would send."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gantry.local.cloud import chef_repository


@pytest.fixture
def cookbook(tmp_path: Path) -> Path:
    """A cookbook with more in it than nodes need."""
    folder = tmp_path / "repository" / "cookbooks" / "web"
    for path in (
        ".kitchen.yml", ".git/config", "files/default/.bashrc", "files/.d/deep", "recipes/default.rb",
        "recipes/default.rb~", "spec/unit/default_spec.rb", ".uploaded-cookbook-version.json", "test/.rspec",
    ):  # fmt: skip
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    (folder / "metadata.json").write_text(json.dumps({"name": "web", "version": "1.0.0"}))
    return folder


def read(cookbook: Path) -> chef_repository.Cookbook:
    (found,) = chef_repository.read(cookbook.parents[1]).cookbooks
    return found


def test_dot_files_are_sent_and_dot_folders_at_the_top_are_not(cookbook: Path) -> None:
    assert set(read(cookbook).files) == {
        ".kitchen.yml", "files/default/.bashrc", "files/.d/deep", "metadata.json", "recipes/default.rb",
        "recipes/default.rb~", "spec/unit/default_spec.rb", "test/.rspec",
    }  # fmt: skip


@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_the_nearest_chefignore_names_stays_here_and_is_told(cookbook: Path, place: int) -> None:
    above = [cookbook, *cookbook.parents][place] / "chefignore"
    above.write_text("# editors\n\n  *~\nspec/*\ntest/*\n.kitchen*\n")
    found = read(cookbook)
    assert found.ignored == (
        ".kitchen.yml", "recipes/default.rb~", "spec/unit/default_spec.rb", "test/.rspec",
    )  # fmt: skip
    assert set(found.files) - {"chefignore"} == {
        "files/default/.bashrc", "files/.d/deep", "metadata.json", "recipes/default.rb",
    }  # fmt: skip


def test_only_the_nearest_chefignore_counts(cookbook: Path) -> None:
    (cookbook.parent / "chefignore").write_text("spec/*\n")
    (cookbook / "chefignore").write_text("chefignore\n")
    assert read(cookbook).ignored == ("chefignore",)


def test_a_star_does_not_begin_with_a_dot(cookbook: Path) -> None:
    (cookbook / "chefignore").write_text("*.yml\n*bashrc\n")
    assert read(cookbook).ignored == ("files/default/.bashrc",)


def test_a_chefignore_that_names_the_metadata_is_refused(cookbook: Path) -> None:
    (cookbook / "chefignore").write_text("*.json\n")
    with pytest.raises(chef_repository.RepositoryError, match=r"its chefignore names metadata\.json"):
        read(cookbook)
