"""An error as data: its parts, the server and the script, and the way to JSON and back."""

from __future__ import annotations

import ast
import importlib
import pathlib
import re

import pytest

from gantry import errors, names
from gantry.agent import errors as agent_errors
from gantry.agent import fan_out

PACKAGE = pathlib.Path(errors.__file__).parent
SERVER = names.ServerName("shop-web-1")


@pytest.mark.parametrize(
    ("message", "headline", "detail", "advice"),
    [
        ("web-1: no key; make one", "web-1: no key; make one", "", ""),
        ("web-1: it failed\nMend it.", "web-1: it failed", "", "Mend it."),
        ("it failed. Its output:\none\n\ntwo\nMend it.", "it failed. Its output:", "one\n\ntwo", "Mend it."),
    ],
)
def test_a_message_has_a_headline_details_and_an_advice(
    message: str, headline: str, detail: str, advice: str
) -> None:
    found = errors.Failure.of(message, transient=True)
    assert found == errors.Failure(headline, detail, advice, transient=True)
    assert str(found) == message


def test_a_script_that_failed_says_where_and_how() -> None:
    found = agent_errors.ScriptFailedError(SERVER, "startService a1001", 7, "no database").failure
    assert (found.server, found.script, found.code, found.transient) == (SERVER, "startService", 7, False)
    assert found.detail == "no database"
    assert found.advice.startswith("Fix the cause and clear this task")


def test_a_server_that_is_not_reached_has_no_script() -> None:
    found = agent_errors.ConnectionLostError(SERVER, "10.0.0.1", "timed out").failure
    assert (found.server, found.script, found.code, found.transient) == (SERVER, "", None, True)


def test_a_step_has_the_failures_of_all_its_servers() -> None:
    lost = agent_errors.ConnectionLostError(SERVER, "10.0.0.1", "timed out").failure
    failed = agent_errors.ScriptFailedError(SERVER, "startService a1001", 7, "").failure
    assert fan_out.StepFailedError([lost, failed]).failures == (lost, failed)
    assert not fan_out.StepFailedError([lost, failed]).transient
    assert fan_out.StepFailedError([lost]).transient


def test_the_families_of_errors_are_those_that_the_docstring_names() -> None:
    named = re.findall(r"^    gantry\.(\S+)\.(\w+Error) ", str(errors.__doc__), re.MULTILINE)
    assert len(named) > 3
    for module, name in named:
        family = getattr(importlib.import_module(f"gantry.{module}"), name)
        assert issubclass(family, errors.GantryError), name


def test_what_is_stored_is_read_again_and_what_is_not_known_is_left_out() -> None:
    failure = agent_errors.ScriptFailedError(SERVER, "startService a1001", 7, "no database").failure
    later = failure.dump() | {"of_a_later_gantry": 1}
    assert errors.Failure.load_all([later, failure.dump()]) == (failure, failure)


@pytest.mark.parametrize("stored", [None, "text", {"headline": "x"}, [1], [{}]])
def test_what_is_no_list_of_failures_is_none(stored: object) -> None:
    assert errors.Failure.load_all(stored) == ()


def test_every_error_about_one_server_names_it_in_its_failure() -> None:
    classes = {
        node.name: node
        for path in PACKAGE.rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    }
    about = {
        name: server
        for name, node in classes.items()
        if (server := _server(node)) and _is_ours(name, classes)
    }
    assert {
        "NoAnswerError",
        "ServerError",
        "ScriptFailedError",
        "LostServerError",
        "NoAddressError",
    } <= about.keys()
    assert [name for name, server in about.items() if not _is_named(name, server, classes, about)] == []


def _init(node: ast.ClassDef) -> ast.FunctionDef | None:
    return next(
        (each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None
    )


def _server(node: ast.ClassDef) -> str:
    """The argument with the server that an error is about; empty if it is about none, or several."""
    init = _init(node)
    if init is None:
        return ""
    found = [
        each.arg
        for each in (*init.args.posonlyargs, *init.args.args, *init.args.kwonlyargs)
        if each.annotation is not None
        and ast.unparse(each.annotation) in {"names.ServerName", "inventory.Server"}
    ]
    return found[0] if len(found) == 1 else ""


def _bases(node: ast.ClassDef) -> list[str]:
    return [ast.unparse(each).rpartition(".")[2] for each in node.bases]


def _is_ours(name: str, classes: dict[str, ast.ClassDef]) -> bool:
    return name == "GantryError" or (
        name in classes and any(_is_ours(each, classes) for each in _bases(classes[name]))
    )


def _is_named(name: str, server: str, classes: dict[str, ast.ClassDef], about: dict[str, str]) -> bool:
    """Whether an error keeps its server, or passes it on to a base that does."""
    init = _init(classes[name])
    assert init is not None
    bases = [each for each in _bases(classes[name]) if each in about]
    for node in ast.walk(init):
        match node:
            case (
                ast.Assign(targets=[ast.Attribute(value=ast.Name("self"), attr="server")])
                | ast.AnnAssign(target=ast.Attribute(value=ast.Name("self"), attr="server"))
            ):
                return True
            case ast.Call(ast.Attribute(ast.Call(ast.Name("super")), "__init__"), [ast.Name(first), *_]) if (
                bases
            ):
                return first == server and all(_is_named(each, about[each], classes, about) for each in bases)
    return False


def test_an_error_without_a_server_has_an_empty_one() -> None:
    assert errors.GantryError("it failed").failure == errors.Failure("it failed")
