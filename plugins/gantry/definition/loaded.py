"""A loaded definition, and the source of every value in it."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from gantry.definition import models, references, source
from gantry.definition.source import Data, DefinitionError, Origin, Path
from gantry.definition.variables import Setting


class Value(NamedTuple):
    """One value of a definition: its path, the value, and its source."""

    path: Path
    value: Data
    origin: Origin


@dataclasses.dataclass(frozen=True, eq=False)
class Loaded:
    """A checked definition, and the source of everything in it.

    `source` has the data as written, overlay and variables included; `variables` the value of each variable; `files`
    the files that were read, the definition first.
    """

    definition: models.Definition
    source: source.DefinitionData
    files: tuple[pathlib.Path, ...]
    environment: str | None
    variables: Mapping[str, Setting]

    def origin(self, path: Path) -> Origin:
        """Return the source of the value at a path, such as `("tiers", "web", "servers")`."""
        return self.source.origin(path)

    def refusal(self, findings: Iterable[references.Finding]) -> DefinitionError:
        """Return the error for a definition that is valid on its own, but rejected elsewhere, such as by Airflow."""
        return DefinitionError(self.source.problem(path, message) for path, message in findings)

    def values(self) -> Iterator[Value]:
        """Yield every value with its source: in each mapping the written ones, in the file's order, then defaults."""
        yield from self._values(self.source.data, self.definition.model_dump(mode="json"), ())

    def _values(self, written: Data, whole: Data, path: Path) -> Iterator[Value]:
        """Yield the values below a path: of `written` in the files, of `whole` in the definition."""
        if not isinstance(written, dict) or not isinstance(whole, dict) or not (written or whole):
            # A short form, a list, or a single value: shown as written.
            yield Value(path, written, self.origin(path))
            return
        for key, value in written.items():
            yield from self._values(value, whole.get(key), (*path, key))
        for key, value in whole.items():
            if key not in written:
                yield Value((*path, key), value, self.origin((*path, key)))
