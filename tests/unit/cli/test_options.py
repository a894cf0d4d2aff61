"""`--set NAME=VALUE`."""

from __future__ import annotations

import pytest
import typer

from gantry.cli.support import options


def test_settings_are_taken_apart_at_the_first_sign() -> None:
    settings = ["region=eu-central-1", "greeting=a=b", "empty="]
    assert options.variables(settings) == {"region": "eu-central-1", "greeting": "a=b", "empty": ""}


def test_the_last_of_two_settings_counts() -> None:
    assert options.variables(["size=small", "size=large"]) == {"size": "large"}


@pytest.mark.parametrize("wrong", ["region", "=eu-central-1", ""])
def test_what_is_no_setting_is_refused_with_an_example(wrong: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not NAME=VALUE, such as region="):
        options.variables([wrong])
