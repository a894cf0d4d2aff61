"""Variables: their values, and the substitution of `${NAME}`.

They are substituted in data, never in YAML text: a value cannot become a key, a list or a second value.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

import pydantic

from gantry.definition import models, source

SECTION = "variables"
MOST_INSERTED = source.LARGEST_FILE
"""Maximum characters of all insertions in a definition."""

_USE = re.compile(r"\$\$\{|\$\{([^{}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class Setting:
    """The value of a variable, and its source."""

    value: source.Scalar
    origin: source.Origin


class Variables:
    """The variables of a definition, with their values in an environment.

    `problems` has the problems with them; `invalid` those that have no value because of that.
    """

    def __init__(
        self,
        base: source.DefinitionData,
        overlay: source.DefinitionData | None,
        arguments: Mapping[str, source.Scalar],
    ) -> None:
        self._base = base
        self.problems: list[source.Problem] = []
        self.settings: dict[str, Setting] = {}
        self.invalid: set[str] = set()
        self._declared: dict[str, models.Variable] = {}
        self._declare(_section(base))
        self._defaults()
        if overlay is not None:
            self._overlaid(overlay)
        self._given(arguments)
        self._complain_about_unset()

    def _declare(self, section: Mapping[str, source.Data]) -> None:
        for name, written in section.items():
            try:
                self._declared[name] = models.Variable.model_validate(written)
            except pydantic.ValidationError:
                # The definition as a whole is validated too, which reports the problem.
                self.invalid.add(name)

    def _defaults(self) -> None:
        for name, variable in self._declared.items():
            if variable.default is not None:
                inner: source.Path = (SECTION, name, "default")
                place = inner if inner in self._base.values else (SECTION, name)
                self.settings[name] = Setting(variable.default, self._base.origin(place))

    def _overlaid(self, overlay: source.DefinitionData) -> None:
        for name, value in _section(overlay).items():
            path: source.Path = (SECTION, name)
            if value is None or name in self.invalid:
                continue
            if name not in self._declared:
                self.problems.append(overlay.problem(path, self._unknown(name), at_key=True))
            elif isinstance(value, dict | list):
                message = "in an overlay a variable is given a value: a text, a number, true or false"
                self.problems.append(overlay.problem(path, message))
                self._spoil(name)
            else:
                self._set(name, value, overlay.origin(path), overlay.problem(path, ""))

    def _given(self, arguments: Mapping[str, source.Scalar]) -> None:
        for name, value in arguments.items():
            if name in self.invalid:
                continue
            if name not in self._declared:
                at = (SECTION,) if (SECTION,) in self._base.values else ()
                message = f"{self._unknown(name)} (given as an argument)"
                self.problems.append(self._base.problem(at, message, at_key=True))
                continue
            where = self._base.problem((SECTION, name), "", at_key=True)
            origin = source.Origin(source.OriginKind.ARGUMENT)
            self._set(name, value, origin, where, by=f" (the variable {name!r}, given as an argument)")

    def _set(
        self,
        name: str,
        value: source.Scalar,
        origin: source.Origin,
        where: source.Problem,
        *,
        by: str = "",
    ) -> None:
        variable = self._declared[name]
        try:
            # A command line only has texts.
            is_text = origin.kind is source.OriginKind.ARGUMENT and isinstance(value, str)
            good = variable.read(str(value)) if is_text else variable.checked(value)
        except ValueError as error:
            self.problems.append(dataclasses.replace(where, message=f"{error}{by}"))
            self._spoil(name)
            return
        self.settings[name] = Setting(good, origin)

    def _spoil(self, name: str) -> None:
        """Mark a variable as reported; problems of its uses are not reported any more."""
        self.invalid.add(name)
        self.settings.pop(name, None)

    def _complain_about_unset(self) -> None:
        for name in self._declared:
            if name not in self.settings and name not in self.invalid:
                message = f"the variable {name!r} has no value: no default, and nothing sets it"
                self.problems.append(self._base.problem((SECTION, name), message, at_key=True))
                self.invalid.add(name)

    def _unknown(self, name: str) -> str:
        return f"unknown variable {source.shown(name)}{self._or_rather(name)}"

    def _or_rather(self, name: str) -> str:
        return source.or_rather(name, {*self._declared, *self.invalid})

    def insert(self, read: source.DefinitionData) -> tuple[source.DefinitionData, set[source.Path]]:
        """Replace every `${NAME}` of the data by its value, and every `$${` by `${`.

        Returns the new source, and the paths of values where that was not possible; their problems are added to
        `problems`. The data of `read` is modified.
        """
        insertions: dict[source.Path, tuple[source.Insertion, ...]] = {}
        failed: set[source.Path] = set()
        inserted = 0
        for path in read.open:
            if path[:1] == (SECTION,):
                continue
            text = str(read.values[path].node.value)
            filled = self._fill(text, read, path)
            if filled is None:
                failed.add(path)
                continue
            value, used = filled
            inserted += len(str(value))
            if inserted > MOST_INSERTED:
                message = f"variables come to more than {MOST_INSERTED:,} characters"
                self.problems.append(read.values[path].problem(message))
                failed.add(path)
                break
            _put(read.data, path, value)
            if used:
                insertions[path] = tuple(
                    source.Insertion(name, self.settings[name].origin) for name in dict.fromkeys(used)
                )
        return dataclasses.replace(read, insertions=insertions), failed

    def _fill(
        self, text: str, read: source.DefinitionData, path: source.Path
    ) -> tuple[source.Scalar, list[str]] | None:
        """Return a text with its variables substituted, and their names; None if one has no value."""
        used: list[str] = []
        wrong: dict[str, str | None] = {}
        size = len(text)

        def value(found: re.Match[str]) -> str:
            nonlocal size
            name = found[1]
            if name is None:
                return "${"
            if name not in self.settings or not found[2]:
                if found[0] not in wrong and len(wrong) < source.MOST_PROBLEMS:
                    wrong[found[0]] = self._wrong(name, closed=bool(found[2]))
                return ""
            used.append(name)
            text_of_value = _text(self.settings[name].value)
            size += len(text_of_value)
            # The limit is exceeded, which the caller reports: no further character.
            return text_of_value if size <= 2 * MOST_INSERTED else ""

        filled = _USE.sub(value, text)
        if wrong:
            spot = read.values[path]
            self.problems.extend(spot.problem(message) for message in wrong.values() if message)
            return None
        if len(used) == 1 and text == f"${{{used[0]}}}":
            return self.settings[used[0]].value, used
        return filled, used

    def _wrong(self, name: str, *, closed: bool) -> str | None:
        """Return what is wrong with a use of a variable without a value, unless that is reported elsewhere."""
        if not closed or not _NAME.fullmatch(name):
            shown = source.shown(f"${{{name}}}" if closed else f"${{{name}")
            return f"{shown} is not a variable (${{NAME}}); a text with such signs is written $${{"
        return None if name in self.invalid else self._unknown(name)


def _section(read: source.DefinitionData) -> Mapping[str, source.Data]:
    section = read.data.get(SECTION) if isinstance(read.data, dict) else None
    return section if isinstance(section, dict) else {}


def _text(value: source.Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _put(data: source.Data, path: source.Path, value: source.Scalar) -> None:
    """Replace the value at an existing path."""
    if len(path) > 1:
        if isinstance(data, dict):
            _put(data[str(path[0])], path[1:], value)
        elif isinstance(data, list):
            _put(data[int(path[0])], path[1:], value)
    elif isinstance(data, dict):
        data[str(path[0])] = value
    elif isinstance(data, list):
        data[int(path[0])] = value
