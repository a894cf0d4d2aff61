"""Which definition a person means by a name or a path."""

from __future__ import annotations

import pathlib

import pytest

from gantry.cli.support import definitions


@pytest.fixture
def folder(tmp_path: pathlib.Path, bookshop_text: str) -> pathlib.Path:
    """Two deployments, an overlay, a broken one, and YAML that is something else."""
    include = tmp_path / "include"
    for name in ("bookshop", "library"):
        (include / name).mkdir(parents=True)
        text = bookshop_text.replace("deployment: bookshop", f"deployment: {name}")
        (include / name / f"{name}.yaml").write_text(text)
    (include / "bookshop" / "bookshop.production.yaml").write_text("description: For real\n")
    (include / "broken.yaml").write_text('deployment: "broken" # soon\ntiers: {\n')
    (include / "compose.yaml").write_text("services:\n  db: {image: mariadb}\n")
    (include / ".hidden").mkdir()
    (include / ".hidden" / "old.yaml").write_text("deployment: old\n")
    return include


def test_a_deployment_is_found_by_its_name_wherever_it_stands(folder: pathlib.Path) -> None:
    assert definitions.find("library", folder).definition.deployment == "library"


def test_an_environment_is_laid_over_it(folder: pathlib.Path) -> None:
    found = definitions.find("bookshop", folder, environment="production")
    assert found.definition.description == "For real"


def test_a_path_needs_no_folder(folder: pathlib.Path) -> None:
    found = definitions.find(str(folder / "library" / "library.yaml"), pathlib.Path("nowhere"))
    assert found.definition.deployment == "library"


def test_the_path_of_an_overlay_means_its_base_in_that_environment(folder: pathlib.Path) -> None:
    found = definitions.find(str(folder / "bookshop" / "bookshop.production.yaml"))
    assert (found.definition.deployment, found.definition.description) == ("bookshop", "For real")


def test_the_name_that_an_overlay_gives_means_that_environment(folder: pathlib.Path) -> None:
    overlay = folder / "library" / "library.live.yaml"
    overlay.write_text("deployment: library-live\n")
    found = definitions.find("library-live", folder)
    assert (found.definition.deployment, found.environment) == ("library-live", "live")
    assert definitions.environments("", "library-live", folder) == ["live"]
    # One that repeats the definition's own name changes nothing about what that name means.
    (folder / "library" / "library.test.yaml").write_text("deployment: library\n")
    assert definitions.find("library", folder).environment is None


def test_an_unknown_name_is_answered_with_the_nearest(folder: pathlib.Path) -> None:
    with pytest.raises(definitions.UnknownDefinitionError) as caught:
        definitions.find("bokshop", folder)
    assert str(caught.value) == f"no deployment 'bokshop' in {folder}, did you mean 'bookshop'?"


def test_an_unknown_name_without_a_near_one_is_answered_with_all(folder: pathlib.Path) -> None:
    with pytest.raises(definitions.UnknownDefinitionError, match=r"; there are bookshop, broken, library$"):
        definitions.find("zoo", folder)


def test_a_missing_or_empty_folder_is_said(tmp_path: pathlib.Path) -> None:
    with pytest.raises(definitions.UnknownDefinitionError, match="there is no such folder"):
        definitions.find("bookshop", tmp_path / "nowhere")
    with pytest.raises(definitions.UnknownDefinitionError, match="it holds no definitions"):
        definitions.find("bookshop", tmp_path)


def test_two_definitions_of_one_name_are_both_named(folder: pathlib.Path) -> None:
    (folder / "twin.yml").write_text("deployment: library\n")
    with pytest.raises(definitions.AmbiguousDeploymentError, match=r"twin\.yml, .*library/library\.yaml"):
        definitions.find("library", folder)


def test_a_name_made_of_variables_is_found(folder: pathlib.Path, bookshop_text: str) -> None:
    text = bookshop_text.replace(
        "deployment: bookshop", "deployment: shop-${stage}\nvariables: {stage: test}"
    )
    (folder / "staged.yaml").write_text(text)
    assert definitions.find("shop-test", folder).files[0] == folder / "staged.yaml"
    found = definitions.find("shop-live", folder, variables={"stage": "live"})
    assert found.definition.deployment == "shop-live"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("deployment: shop", "shop"),
        ("deployment:   'shop'  ", "shop"),
        ('"deployment": "shop"   # the shop', "shop"),
        ("deployment: shop # the shop", "shop"),
        ("deployment: shop-${stage}", "shop-${stage}"),
        ("deployment: shop\r", "shop"),
        ("  deployment: shop", None),
        ("deployment:", None),
        ("# deployment: shop", None),
        ("description: the deployment: shop", None),
    ],
)
def test_a_name_is_read_without_reading_the_yaml(line: str, name: str | None, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "any.yaml"
    path.write_bytes(f"# first\n{line}\ntiers: {{".encode())
    assert definitions.written_name(path) == name


def test_completion_offers_deployments_and_their_environments(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "evil.yaml").write_text("deployment: b\x1b[2J; rm -r\n")
    assert definitions.completions("b", folder) == ["bookshop", "broken"]
    assert definitions.environments("", "bookshop", folder) == ["production"]
    assert definitions.environments("", "library", folder) == []
    assert definitions.environments("pro", None, folder) == ["production"]
    monkeypatch.setenv("GANTRY_DEFINITIONS", str(folder))
    assert definitions.completions("lib") == ["library"]


def test_definitions_are_told_from_other_yaml(folder: pathlib.Path) -> None:
    found = {each.name for each in definitions.files(folder) if definitions.is_definition(each)}
    assert found == {"bookshop.yaml", "library.yaml", "broken.yaml"}
