"""Static evaluation of expressions in a DAG file: paths, texts, and combinations of them."""

from __future__ import annotations

import ast
import os
import pathlib
from typing import Any


class UntoldError(Exception):
    """The expression cannot be evaluated without running the file."""


class Values:
    """Values of a module's expressions."""

    def __init__(self, tree: ast.Module, file: pathlib.Path) -> None:
        self._file = file
        self._known: dict[str, ast.expr] = {}
        for node in tree.body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._known[name] = value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    self._known[name] = value

    def of(self, node: ast.expr) -> Any:  # noqa: ANN401 - a path, a text, a number or None
        """Return an expression's value. Raises UntoldError."""
        try:
            return self._of(node)
        except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise UntoldError from error

    def _of(self, node: ast.expr) -> Any:  # noqa: ANN401 - as above
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id="__file__"):
                return str(self._file)
            case ast.Name(id=name):
                # A name that is defined by itself would lead to endless recursion.
                return self._of(self._known[name])
            case ast.Call(func=function, args=arguments, keywords=[]):
                return self._called(function, arguments)
            case _:
                return self._made(node)

    def _made(self, node: ast.expr) -> Any:  # noqa: ANN401 - as above
        """Evaluate an expression of other values, without a call."""
        match node:
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return pathlib.Path(self._of(left)) / self._of(right)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return str(self._of(left)) + str(self._of(right))
            case ast.Attribute(value=value, attr="parent"):
                return self._of(value).parent
            case ast.Subscript(value=ast.Attribute(value=value, attr="parents"), slice=index):
                return self._of(value).parents[self._of(index)]
            case ast.Subscript(value=value, slice=key) if last_name(value) == "environ":
                return os.environ[self._of(key)]
            case ast.JoinedStr(values=parts):
                return "".join(str(self._of(_part(each))) for each in parts)
        raise UntoldError

    def _called(self, function: ast.expr, arguments: list[ast.expr]) -> Any:  # noqa: ANN401 - as above
        match function, arguments:
            case ast.Attribute(value=value, attr="resolve" | "absolute"), []:
                return self._of(value).resolve()
            case _, [key, *default] if _asks_environment(function):
                found = os.environ.get(self._of(key))
                return found if found is not None or not default else self._of(default[0])
            case _ if last_name(function) in {"Path", "PurePath"}:
                return pathlib.Path(*map(self._of, arguments))
            case _, [only] if last_name(function) == "str":
                return str(self._of(only))
        raise UntoldError


def last_name(node: ast.expr) -> str | None:
    """Return `c` of `a.b.c`."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return None


def _asks_environment(function: ast.expr) -> bool:
    """Return whether it is `os.environ.get` or `os.getenv`."""
    match function:
        case ast.Attribute(value=value, attr="get"):
            return last_name(value) == "environ"
    return last_name(function) == "getenv"


def _part(node: ast.expr) -> ast.expr:
    """Return a part of an f-string: a text, or the expression in braces."""
    return node.value if isinstance(node, ast.FormattedValue) else node
