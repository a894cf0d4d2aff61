"""The page that people search with a message in hand: it quotes what is said, and what is said stands there."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SPOKEN_BY_OTHERS = {
    "FILE:LINE:COLUMN:", "RequestLimitExceeded", "InsufficientInstanceCapacity", "scheduled", "approve",
    "InvalidSubnetID.NotFound", "InvalidGroup.NotFound", "InvalidSnapshot.NotFound", "iamInstanceProfile",
    "unknown name",
}  # fmt: skip
"""Airflow's words, the cloud's, and what is put together from parts."""

ROOMS = ("agent", "cloud", "configuration_management", "operators", "requests", "rest")
"""Rooms whose errors a person meets in the middle of a launch."""

NEVER_ALONE = {
    # Their messages are another one's, or a part of it.
    "ServerError", "CommandError", "StepFailedError", "RestError", "UnusableCertificateError", "NoManagementError",
    "NoLinkError", "HostKeyFormatError", "PrivateKeyFormatError", "UnusableChefCertificateError",
    # One that says itself what to do, and that nobody has to look up.
    "AuthorizationError", "ConflictError", "NotFoundError", "UnknownChoiceError", "UrlError", "ProfileError",
    "SecretFileError", "GoneError", "RefusedError", "BrokenError", "UnknownProfileError", "NoCredentialsError",
    "RepositoryError",
}  # fmt: skip


def quoted() -> list[str]:
    """The messages of the tables' first column."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    return [each for row in rows for each in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


def phrases(message: str) -> list[str]:
    """Any few words in a row: what stands between them in the page is an example."""
    words = re.sub(r"'?\b[XYNAB]\b'?|''|\b[0-9]+\b|…", "\0", message).split()
    return [" ".join(words[start : start + 3]) for start in range(max(1, len(words) - 2))]


def texts(source: str) -> Iterator[str]:
    """The texts of a Python file, with the parts of each put together."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else "\0" for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.fixture(scope="module")
def said() -> str:
    """Everything that Gantry, its scripts and the example can say."""
    found: list[str] = []
    for path in (*(ROOT / "plugins").rglob("*"), *(ROOT / "include").rglob("*")):
        if path.suffix == ".py":
            found += texts(path.read_text())
        elif path.is_file() and path.parent.name in ("bin", "lib"):
            found.append(path.read_text())
    return "\n".join(found)


@pytest.mark.parametrize("message", quoted())
def test_what_the_page_quotes_is_said_somewhere(message: str, said: str) -> None:
    if not any(each in message for each in SPOKEN_BY_OTHERS):
        assert any(phrase in said for phrase in phrases(message)), message


def messages() -> Iterator[tuple[str, str]]:
    """Classes of errors and what they say, with a stroke for what is not fixed."""
    for room in ROOMS:
        for path in sorted((ROOT / "plugins" / "gantry" / room).rglob("*.py")):
            # Errors stand at the top of their modules.
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                    yield node.name, "\n".join(texts(ast.unparse(node)))


@pytest.mark.parametrize(
    ("name", "message"),
    [each for each in messages() if each[0] not in NEVER_ALONE],
    ids=lambda each: each[:40],
)
def test_an_error_that_a_launch_may_end_with_stands_on_the_page(name: str, message: str) -> None:
    known = [phrase for each in quoted() for phrase in phrases(each)]
    assert any(phrase in message for phrase in known), (
        f"{name} is not on the page: {inspect.cleandoc(message)}"
    )
