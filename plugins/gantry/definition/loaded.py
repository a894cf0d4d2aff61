"""What was loaded: a checked definition, and where everything in it comes from."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from gantry.definition import models, references, source
from gantry.definition.source import Data, DefinitionError, Origin, Path
from gantry.definition.variables import Setting


class Value(NamedTuple):
    """One value of a definition: its path, what it is, and where it comes from."""

    path: Path
    value: Data
    origin: Origin


@dataclasses.dataclass(frozen=True, eq=False)
class Loaded:
    """A checked definition, and where everything in it comes from.

    `source` has the data as written, overlay and variables included; `variables` what each variable's value is;
    `files` what was read, the definition first.
    """

    definition: models.Definition
    source: source.DefinitionData
    files: tuple[pathlib.Path, ...]
    environment: str | None
    variables: Mapping[str, Setting]

    def origin(self, path: Path) -> Origin:
        """Where the value at a path, such as `("tiers", "web", "servers")`, comes from."""
        return self.source.origin(path)

    def refusal(self, findings: Iterable[references.Finding]) -> DefinitionError:
        """The error for a definition that is good in itself, and wrong to somebody who knows more, such as Airflow."""
        return DefinitionError(self.source.problem(path, message) for path, message in findings)

    def values(self) -> Iterator[Value]:
        """Every value with its origin: in each mapping what is written, in the order of the file, then the defaults."""
        yield from self._values(self.source.data, self.definition.model_dump(mode="json"), ())

    def _values(self, written: Data, whole: Data, path: Path) -> Iterator[Value]:
        """The values below a path: of `written` in the files, of `whole` in the definition."""
        if not isinstance(written, dict) or not isinstance(whole, dict) or not (written or whole):
            # A short form, a list, a single value: shown as it is written.
            yield Value(path, written, self.origin(path))
            return
        for key, value in written.items():
            yield from self._values(value, whole.get(key), (*path, key))
        for key, value in whole.items():
            if key not in written:
                yield Value((*path, key), value, self.origin((*path, key)))
