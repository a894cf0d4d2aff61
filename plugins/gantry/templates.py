"""Templates in a definition's values: Jinja2 over plain data, sandboxed, strict about unknown names."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import jinja2
import jinja2.exceptions
import jinja2.filters
import jinja2.nodes
import jinja2.runtime
import jinja2.sandbox

from gantry import errors, template_costs


class TemplateError(errors.GantryError):
    """A text cannot be rendered. Callers that know its position build their own message from `reason`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def render(text: str, known: Mapping[str, Any]) -> str:
    """Render a text.

    Args:
        text: the template.
        known: plain data: texts, numbers, and mappings and lists of them. No objects with methods, no passwords.

    Raises:
        TemplateError: it uses an unknown name or something that the sandbox forbids, or is not a valid template.
    """
    try:
        with template_costs.budget():
            return _compiled(text).render(known)
    except Exception as error:  # a template raises any exception of its filters
        raise TemplateError(str(error) or type(error).__name__) from error


def parse(text: str) -> jinja2.nodes.Template:
    """Parse a text without running any of it: compiling would evaluate constant expressions.

    Raises:
        TemplateError: it is not a valid template.
    """
    try:
        return _TEMPLATES.parse(text)
    except jinja2.TemplateSyntaxError as error:
        at = f" (line {error.lineno} of it)" if "\n" in text else ""
        raise TemplateError(f"{error.message}{at}") from error
    except RecursionError as error:
        raise TemplateError("nested too deeply") from error


def filter_names() -> frozenset[str]:
    """Return the available filters."""
    return frozenset(_TEMPLATES.filters) - {template_costs.COUNTED, template_costs.JOINED}


def test_names() -> frozenset[str]:
    """Return the available tests: the words that can follow `is`."""
    return frozenset(_TEMPLATES.tests)


@functools.lru_cache(maxsize=256)
def _compiled(text: str) -> jinja2.Template:
    """Compile, with a cache: compiling costs a hundred times as much as rendering, which is done per server."""
    return _TEMPLATES.from_string(text)


_WIDE = re.compile(r"%[^%a-zA-Z]*(\*|[0-9]{4})")


def _format(text: object, *values: object, **named: object) -> str:
    """Jinja's filter `format`, such as `"%03d" | format(server.slot)`, without widths that fill the memory."""
    if _WIDE.search(str(text)):
        raise jinja2.exceptions.SecurityError("a width of format is at most 999, and written out")
    return jinja2.filters.do_format(str(text), *values, **named)


class _Templates(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Templates over plain data: no methods, no attributes, and only limited resources."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(self) -> None:
        super().__init__(undefined=jinja2.StrictUndefined, finalize=template_costs.put_out)
        # `range` would create loops out of nothing.
        self.globals.clear()
        # A value that differs each time would restart the service each time.
        del self.filters["random"]
        # `"a" | center(10**9)` would fill the memory; the others are for web pages and for programmers.
        for name in ("center", "indent", "pprint", "urlize", "xmlattr"):
            del self.filters[name]
        self.filters["format"] = _format
        for name, function in self.filters.items():
            self.filters[name] = template_costs.limited(name, function)
        self.filters[template_costs.COUNTED] = template_costs.counted
        self.filters[template_costs.JOINED] = template_costs.joined

    def getattr(self, obj: Any, attribute: str) -> Any:  # noqa: ANN401 - whatever the template names
        """Evaluate `a.b`: an entry, never an attribute (except the loop's own)."""
        if isinstance(obj, jinja2.runtime.LoopContext):
            return super().getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:  # noqa: ANN401 - as above
        """Evaluate `a["b"]`: an entry."""
        try:
            return obj[argument]
        except (TypeError, LookupError, AttributeError):
            return self.undefined(obj=obj, name=argument)

    def call(self, context: jinja2.runtime.Context, called: Any, *given: Any, **named: Any) -> Any:  # noqa: ANN401
        """Call a macro: macros can call each other, and themselves."""
        template_costs.call((*given, *named.values()))
        return super().call(context, called, *given, **named)

    def _generate(self, source: jinja2.nodes.Template, *more: Any, **named: Any) -> str:  # noqa: ANN401
        template_costs.Paid().visit(source)
        return super()._generate(source, *more, **named)

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401
        """Evaluate arithmetic on numbers only: `"a" * 10**10` would fill the memory.

        `+` also works on texts and lists.
        """
        template_costs.spend(template_costs.size(left) + template_costs.size(right))
        if operator == "+":
            return super().call_binop(context, operator, left, right)
        if operator == "**" or not all(isinstance(each, int | float) for each in (left, right)):
            raise jinja2.exceptions.SecurityError(f"{operator} is for numbers only, and ** for none")
        return super().call_binop(context, operator, left, right)


_TEMPLATES = _Templates()
