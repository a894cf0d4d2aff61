"""The deployment of the launch page, as every unit test knows it."""

from __future__ import annotations

import pathlib

import pytest

from gantry import definition

BOOKSHOP = pathlib.Path(__file__).with_name("bookshop.yaml")


@pytest.fixture(scope="session")
def bookshop() -> definition.Definition:
    return definition.load(BOOKSHOP)


@pytest.fixture(scope="session")
def bookshop_text() -> str:
    return BOOKSHOP.read_text()
