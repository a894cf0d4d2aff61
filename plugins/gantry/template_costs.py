"""Resource limits of templates. Jinja's sandbox protects Python, but not CPU time and memory.

Everything that makes values longer or repeats something is charged to one budget per rendering: loop iterations,
calls, results of filters and operators, output.
"""

from __future__ import annotations

import contextvars
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jinja2.exceptions
import jinja2.visitor
from jinja2 import nodes

MOST = 4_000_000
"""Characters, entries and iterations of one rendering. A nested loop over a thousand servers is within it."""

LONGEST = 200_000
"""Maximum number of characters and entries of one value."""

_A_CALL = 500
"""Cost of calling a macro, whatever its content."""

COUNTED, JOINED = "(counted)", "(joined)"
"""Filter names that no template can use."""

_MOST_ROWS = 1000
_MOST_DIGITS = 100
_WIDTH = re.compile(r"[0-9]{1,3}")

_left: contextvars.ContextVar[int] = contextvars.ContextVar("left")


@contextmanager
def budget() -> Iterator[None]:
    """Provide the budget for compiling and rendering one template."""
    token = _left.set(MOST)
    try:
        yield
    finally:
        _left.reset(token)


def spend(amount: int) -> None:
    """Charge an amount. Raises SecurityError if the budget is exceeded."""
    left = _left.get(MOST) - amount
    if left < 0:
        raise jinja2.exceptions.SecurityError(
            "too much work for a template: its loops or values grow too large"
        )
    _left.set(left)


def size(value: object) -> int:
    """Return the number of characters and entries of a value, with shared parts counted each time.

    Raises SecurityError.
    """
    total, waiting = 0, [value]
    while waiting:
        each = waiting.pop()
        total += 1
        if isinstance(each, str):
            total += len(each)
        elif isinstance(each, int):
            total += each.bit_length() // 8
        elif isinstance(each, Mapping):
            waiting.extend(each)
            waiting.extend(each.values())
        elif isinstance(each, list | tuple):
            waiting.extend(each)
        if total > LONGEST:
            raise jinja2.exceptions.SecurityError(f"a value of more than {LONGEST:,} characters or entries")
    return total


def put_out(value: object) -> object:
    """Charge and return the output of `{{ … }}`."""
    spend(size(value))
    return value


def call(arguments: Iterable[object]) -> None:
    """Charge a call of a macro, or of a loop within itself."""
    spend(_A_CALL + sum(map(size, arguments)))


def limited(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter so that its input, its output, and in advance its estimated output are charged."""
    is_told_more = hasattr(function, "jinja_pass_arg")
    guard = _GUARDS.get(name)

    @functools.wraps(function)
    def paid(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever a template says
        values = given[1:] if is_told_more else given
        spend(sum(map(size, (*values, *named.values()))))
        if guard is not None:
            guard(*values, **named)
        found = function(*given, **named)
        if isinstance(found, Iterator):
            found = list(itertools.islice(found, LONGEST + 1))
        spend(size(found))
        return found

    return paid


def counted(several: Iterable[object], weight: int) -> Iterator[object]:
    """Yield the items of a loop; each iteration costs the size of the loop's body."""
    for each in several:
        spend(weight)
        yield each


def joined(parts: Sequence[object]) -> str:
    """Evaluate `a ~ b`."""
    spend(size(parts))
    return "".join(map(str, parts))


class Paid(jinja2.visitor.NodeTransformer):
    """Inserts the two filters into a template."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - Jinja's name
        """Handle `{% for … %}`."""
        weight = 1 + sum(len(each.data) for each in node.find_all(nodes.TemplateData))
        weight += sum(1 for _ in node.find_all(nodes.Expr))
        self.generic_visit(node)
        node.iter = _filtered(node.iter, COUNTED, nodes.Const(weight))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 - as above
        """Handle `a ~ b`."""
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes), JOINED)


def _filtered(node: nodes.Node, name: str, *arguments: nodes.Expr) -> nodes.Filter:
    found = nodes.Filter(node, name, list(arguments), [], None, None)
    found.set_lineno(node.lineno or 1)
    return found


# --- estimates of outputs --------------------------------------------------------------------------------------


def _replace(text: object, old: object = "", new: object = "", *_: object, **__: object) -> None:
    spend(str(text).count(str(old)) * len(str(new)))


def _join(several: Sequence[object], d: object = "", *_: object, **__: object) -> None:
    spend(len(several) * len(str(d)))


def _wordwrap(text: object, *more: object, **named: object) -> None:
    between = named.get("wrapstring", [*more[2:3], ""][0])
    spend(len(str(text)) * len(str(between)))


def _format(text: object, *values: object, **named: object) -> None:
    longest = max((len(str(each)) for each in (*values, *named.values())), default=0)
    # At most three digits: the filter itself ensures that.
    widest = max(map(int, _WIDTH.findall(str(text))), default=0)
    spend(str(text).count("%") * max(widest, longest))


def _rows(_: object, linecount: int = 0, *__: object, slices: int = 0, **___: object) -> None:
    if max(linecount, slices) > _MOST_ROWS:
        raise jinja2.exceptions.SecurityError(f"a row has at most {_MOST_ROWS} entries")


def _round(_: object, precision: int = 0, *__: object, **___: object) -> None:
    if abs(precision) > _MOST_DIGITS:
        raise jinja2.exceptions.SecurityError(f"rounded is to at most {_MOST_DIGITS} digits")


def _sum(_: object, *more: object, **named: object) -> None:
    if not isinstance(named.get("start", [*more[1:2], 0][0]), int | float):
        raise jinja2.exceptions.SecurityError("sum is for numbers only")


def _tojson(_: object, indent: object = None) -> None:
    if indent is not None:
        raise jinja2.exceptions.SecurityError("tojson writes one line, without an indent")


_GUARDS: Mapping[str, Callable[..., None]] = {
    "batch": _rows,
    "format": _format,
    "join": _join,
    "replace": _replace,
    "round": _round,
    "slice": _rows,
    "sum": _sum,
    "tojson": _tojson,
    "wordwrap": _wordwrap,
}
