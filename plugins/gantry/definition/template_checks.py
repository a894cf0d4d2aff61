"""Static checks of templates: they are never run before a launch.

Only definite errors are reported. Whatever depends on the launch (the number of peers) is left to the launch.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from jinja2 import nodes

from gantry import templates
from gantry.definition import references, source
from gantry.definition.template_types import Items, Parts, Plain, Shape

LONGEST = 20_000
"""Maximum characters of a template."""

_ALONE = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block)
_SIGNS = ("{{", "{%", "{#")
_LOOP = Parts(
    dict.fromkeys(
        (
            "changed", "cycle", "depth", "depth0", "first", "index", "index0", "last", "length", "nextitem",
            "previtem", "revindex", "revindex0",
        )
    )
)  # fmt: skip
_OF_A_MACRO = ("caller", "kwargs", "varargs")
_SAME_LIST = frozenset({"list", "reject", "rejectattr", "reverse", "select", "selectattr", "sort", "unique"})
_ONE_OF_IT = frozenset({"first", "last", "max", "min"})
_BY_ATTRIBUTE = frozenset({"groupby", "join", "map", "max", "min", "sort", "sum", "unique"})
_FIRST_IS_ATTRIBUTE = frozenset({"groupby", "rejectattr", "selectattr", "sum"})
_DEFAULTS = frozenset({"d", "default"})
_ASKS_FOR = frozenset({"defined", "undefined"})

Names = tuple[str, ...]
Scope = dict[str, Shape]


def is_template(text: str) -> bool:
    """Return whether a text contains template syntax."""
    return any(sign in text for sign in _SIGNS)


def problems(text: str, known: Parts) -> tuple[str, ...]:
    """Return what is wrong with a template that may use the known names, in the text's order, without duplicates."""
    if not is_template(text):
        return ()
    if len(text) > LONGEST:
        return (f"a template has at most {LONGEST:,} characters",)
    try:
        tree = templates.parse(text)
        reading = _Reading(tree)
        reading.block(tree.body, dict(known.known))
    except templates.TemplateError as error:
        return (f"no template: {error.reason}",)
    except RecursionError:
        return ("no template: nested too deeply",)
    return tuple(dict.fromkeys(reading.found))


class _Reading:
    """Traverses a template once, tracking the shape of each name."""

    def __init__(self, tree: nodes.Template) -> None:
        self.found: list[str] = []
        self._asked_for = frozenset(_asked_for(tree))

    def block(self, body: list[nodes.Node], scope: Scope) -> None:
        """Check consecutive statements. Names that they set are added to the scope."""
        for node in body:
            self._node(node, scope)

    def _node(self, node: nodes.Node, scope: Scope) -> Shape:
        if isinstance(node, _ALONE):
            self.found.append("a template is complete in itself: it includes, imports and extends nothing")
            return None
        return self._read(node, scope)

    @functools.singledispatchmethod
    def _read(self, node: nodes.Node, scope: Scope) -> Shape:
        return self._parts(node, scope)

    def _parts(self, node: nodes.Node, scope: Scope) -> Shape:
        for child in node.iter_child_nodes():
            self._node(child, scope)
        return None

    # --- statements ------------------------------------------------------------------------------------------

    @_read.register
    def _for(self, node: nodes.For, scope: Scope) -> Shape:
        several = self._node(node.iter, scope)
        inner = {**scope, "loop": _LOOP}
        self._bind(node.target, _each(several), inner, is_new=True)
        if node.test is not None:
            self._node(node.test, inner)
        self.block(node.body, inner)
        self.block(node.else_, dict(scope))
        return None

    @_read.register
    def _assign(self, node: nodes.Assign, scope: Scope) -> Shape:
        self._bind(node.target, self._node(node.node, scope), scope)
        return None

    @_read.register
    def _assign_block(self, node: nodes.AssignBlock, scope: Scope) -> Shape:
        self.block(node.body, dict(scope))
        if node.filter is not None:
            self._node(node.filter, scope)
        self._bind(node.target, Plain(), scope)
        return None

    @_read.register
    def _with(self, node: nodes.With, scope: Scope) -> Shape:
        inner = dict(scope)
        for target, value in zip(node.targets, node.values, strict=True):
            self._bind(target, self._node(value, inner), inner, is_new=True)
        self.block(node.body, inner)
        return None

    @_read.register
    def _macro(self, node: nodes.Macro | nodes.CallBlock, scope: Scope) -> Shape:
        if isinstance(node, nodes.Macro):
            scope[node.name] = None
        else:
            self._node(node.call, scope)
        for default in node.defaults:
            self._node(default, scope)
        arguments = (argument.name for argument in node.args)
        self.block(node.body, {**scope, **dict.fromkeys((*_OF_A_MACRO, *arguments))})
        return None

    @_read.register
    def _filter_block(self, node: nodes.FilterBlock, scope: Scope) -> Shape:
        self.block(node.body, dict(scope))
        self._node(node.filter, scope)
        return None

    def _bind(self, target: nodes.Node, shape: Shape, scope: Scope, *, is_new: bool = False) -> None:
        if isinstance(target, nodes.Name):
            # A name that is set twice (in one branch of a condition, perhaps) may have either shape afterwards.
            scope[target.name] = shape if is_new or target.name not in scope else None
        elif isinstance(target, nodes.Tuple):
            for each in target.items:
                self._bind(each, None, scope, is_new=is_new)
        else:
            self.found.append("only a name can be set")

    # --- expressions -----------------------------------------------------------------------------------------

    @_read.register
    def _name(self, node: nodes.Name, scope: Scope) -> Shape:
        if node.name in scope:
            return scope[node.name]
        self.found.append(references.unknown("name", node.name, scope))
        return None

    @_read.register
    def _part(self, node: nodes.Getattr | nodes.Getitem, scope: Scope) -> Shape:
        whole = self._node(node.node, scope)
        if isinstance(node, nodes.Getattr):
            key: object = node.attr
        elif isinstance(node.arg, nodes.Const):
            key = node.arg.value
        else:
            self._node(node.arg, scope)
            return (
                _each(whole) if isinstance(whole, Items) and not isinstance(node.arg, nodes.Slice) else None
            )
        return self._look(whole, key, _path(node) or ())

    def _look(self, whole: Shape, key: object, path: Names) -> Shape:
        """Return the shape of `key` in `whole`. `path` is the name of both for a message, if there is one."""
        if isinstance(whole, Parts):
            return self._look_in_parts(whole, key, path)
        if whole is None or not isinstance(key, str):
            return _each(whole) if isinstance(whole, Items) else None
        where = ".".join(path[:-1]) or "it"
        if isinstance(whole, Items):
            self.found.append(f"{where} is a list, and only its entries have {source.shown(key)}")
        else:
            self.found.append(
                f"{where} is a plain value without {source.shown(key)}; filters change values, as in | upper"
            )
        return None

    def _look_in_parts(self, whole: Parts, key: object, path: Names) -> Shape:
        name = str(key)
        if name in whole.known:
            return whole.known[name]
        if (name in whole.absent or whole.is_open) and path in self._asked_for:
            return None
        where = f"{'.'.join(path)}: " if path else ""
        message = whole.absent.get(name) or references.unknown(whole.kind, name, whole.known)
        self.found.append(f"{where}{message}")
        return None

    @_read.register
    def _filter(self, node: nodes.Filter, scope: Scope) -> Shape:
        value = self._node(node.node, scope) if node.node is not None else Plain()
        if node.name not in templates.filter_names():
            self.found.append(references.unknown("filter", node.name, templates.filter_names()))
            return None
        for argument in (*node.args, *(each.value for each in node.kwargs)):
            self._node(argument, scope)
        if not isinstance(value, Items):
            return None
        part = self._attribute(node, value)
        if node.name == "map":
            return Items(part) if part is not None else None
        if node.name in _SAME_LIST:
            return value
        return value.each if node.name in _ONE_OF_IT else None

    def _attribute(self, node: nodes.Filter, several: Items) -> Shape:
        """Return the shape of an attribute of each item, as in `attribute="address"`."""
        named = [each.value for each in node.kwargs if each.key == "attribute" and node.name in _BY_ATTRIBUTE]
        if not named and node.name in _FIRST_IS_ATTRIBUTE:
            named = node.args[:1]
        if not named or not isinstance(named[0], nodes.Const) or not isinstance(named[0].value, str):
            return None
        shape = several.each
        for key in named[0].value.split("."):
            shape = self._look(shape, key, (f"{node.name}(attribute=…)", key))
        return shape

    @_read.register
    def _test(self, node: nodes.Test, scope: Scope) -> Shape:
        if node.name not in templates.test_names():
            self.found.append(references.unknown("test", node.name, templates.test_names()))
        return self._parts(node, scope)


def _each(several: Shape) -> Shape:
    """Return the shape of a loop's variable: a list's items, a mapping's keys."""
    if isinstance(several, Items):
        return several.each
    return Plain() if isinstance(several, Parts) else None


def _path(node: nodes.Node | None) -> Names | None:
    """Return `dependencies.db["port"]` as its names, or None if it contains other expressions."""
    if isinstance(node, nodes.Name):
        return (node.name,)
    if isinstance(node, nodes.Getattr):
        last: object = node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        last = node.arg.value
    else:
        return None
    before = _path(node.node)
    return (*before, str(last)) if before is not None else None


def _asked_for(tree: nodes.Template) -> Iterator[Names]:
    """Yield what a template tests before using it: `x.y is defined`, `x.y | default(…)`, `"y" in x`."""
    for compared in tree.find_all(nodes.Compare):
        for operand in compared.ops:
            path = _path(operand.expr)
            if path is not None and operand.op in ("in", "notin") and isinstance(compared.expr, nodes.Const):
                yield (*path, str(compared.expr.value))
    for kind, asking in ((nodes.Test, _ASKS_FOR), (nodes.Filter, _DEFAULTS)):
        for node in tree.find_all(kind):
            path = _path(node.node)
            if node.name in asking and path is not None:
                yield path
