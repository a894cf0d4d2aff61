"""Every route of the pages, as users ask for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from gantry.web import app

VALUES = {
    "name": "bookshop", "dag_id": "bookshop", "run_id": "manual__0", "server": "bookshop-proxy-1",
    "operation": "scale",
}  # fmt: skip
QUERY = {"task": "turn"}


@dataclasses.dataclass(frozen=True)
class Route:
    """A route and one way to ask for it."""

    method: str
    path: str
    found: APIRoute

    @property
    def address(self) -> str:
        return "/gantry" + self.path.format(**VALUES)

    @property
    def query(self) -> dict[str, str]:
        return {
            each.name: QUERY[each.name]
            for each in self.found.dependant.query_params
            if each.field_info.is_required()
        }

    def depends_on(self, checks: frozenset[object]) -> bool:
        return any(each.call in checks for each in flat(self.found.dependant))

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def every() -> list[Route]:
    """All routes but the static files."""
    return [
        Route(method, route.path, route)
        for route in app.create().routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods)
    ]


def flat(dependant: Dependant) -> Iterator[Dependant]:
    """A dependency and all that it depends on."""
    yield dependant
    for each in dependant.dependencies:
        yield from flat(each)
