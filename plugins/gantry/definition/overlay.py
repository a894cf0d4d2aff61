"""Application of an overlay to a definition: mappings merge, lists and values replace, `null` removes a key."""

from __future__ import annotations

from gantry.definition import key_suggestions, source


def merged(
    base: source.DefinitionData, overlay: source.DefinitionData
) -> tuple[source.DefinitionData, list[source.Problem]]:
    """Return a definition's data with an overlay applied, and what is wrong with the overlay.

    The data of both is consumed: it becomes the data of the result.
    """
    merge = _Merge(base, overlay)
    if isinstance(base.data, dict) and isinstance(overlay.data, dict):
        merge.lay(base.data, overlay.data, ())
    return merge.result(), merge.problems


class _Merge:
    def __init__(self, base: source.DefinitionData, overlay: source.DefinitionData) -> None:
        self._base = base
        self._overlay = overlay
        self._values = dict(base.values)
        self._keys = dict(base.keys)
        self._removed: dict[source.Path, source.Spot] = {}
        self.problems: list[source.Problem] = []

    def result(self) -> source.DefinitionData:
        paths = dict.fromkeys((*self._base.open, *self._overlay.open))
        return source.DefinitionData(
            documents=(*self._base.documents, *self._overlay.documents),
            data=self._base.data,
            values=self._values,
            keys=self._keys,
            # A text that the overlay replaced needs no variables any more, unless the overlay's own text does.
            open=[path for path in paths if path in self._values and "${" in self._values[path].node.value],
            removed=self._removed,
        )

    def lay(self, below: dict[str, source.Data], above: dict[str, source.Data], path: source.Path) -> None:
        """Merge `above` into `below`, in place."""
        for key, value in above.items():
            here = (*path, key)
            if value is None:
                self._take_away(below, key, here)
                continue
            beneath = below.get(key)
            if isinstance(value, dict):
                if not isinstance(beneath, dict):
                    self._forget(beneath, here)
                    self._adopt_spot(here)
                    beneath = below[key] = {}
                # A new mapping is merged the same way, so that a null in it removes a key.
                self.lay(beneath, value, here)
            else:
                self._forget(beneath, here)
                self._adopt(value, here)
                below[key] = value

    def _take_away(self, below: dict[str, source.Data], key: str, path: source.Path) -> None:
        if key in below:
            self._forget(below.pop(key), path)
            self._removed[path] = self._overlay.keys[path]
            return
        known = key_suggestions.keys_at(path[:-1])
        if known and key not in known:
            self.problems.append(self._overlay.problem(path, key_suggestions.unknown_key(path), at_key=True))
        elif not known:
            rather = source.or_rather(key, below)
            message = f"there is no {source.shown(key)} to take away{rather if below else ''}"
            self.problems.append(self._overlay.problem(path, message, at_key=True))

    def _forget(self, data: source.Data, path: source.Path) -> None:
        """Delete the positions of replaced values."""
        self._values.pop(path, None)
        self._keys.pop(path, None)
        for part, inner in _parts(data):
            self._forget(inner, (*path, part))

    def _adopt(self, data: source.Data, path: source.Path) -> None:
        """Take over the overlay's positions of replacing values."""
        self._adopt_spot(path)
        for part, inner in _parts(data):
            self._adopt(inner, (*path, part))

    def _adopt_spot(self, path: source.Path) -> None:
        self._values[path] = self._overlay.values[path]
        if path in self._overlay.keys:
            self._keys[path] = self._overlay.keys[path]


def _parts(data: source.Data) -> list[tuple[str | int, source.Data]]:
    if isinstance(data, dict):
        return list(data.items())
    return list(enumerate(data)) if isinstance(data, list) else []
