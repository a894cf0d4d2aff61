"""EC2's eventual consistency: a new instance is missing in lists, and unknown by its id, for some moments.

moto knows everything at once, and forever.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from moto.ec2.exceptions import InvalidInstanceIdError

from gantry.local.cloud import behavior


class Age:
    """The age of an instance, and what EC2 shows at that age."""

    def __init__(self, behaviour: Callable[[], behavior.Manners]) -> None:
        self._behaviour = behaviour
        self._begun = time.monotonic()
        self._ended: float | None = None

    @property
    def is_new(self) -> bool:
        """Return whether EC2 does not know it yet."""
        return time.monotonic() - self._begun < self._behaviour().lists_after

    @property
    def shows_console(self) -> bool:
        """Return whether its console shows anything."""
        return time.monotonic() - self._begun >= self._behaviour().console_after

    @property
    def is_shown(self) -> bool:
        """Return whether it is described: an ended one is, for a while."""
        return self._ended is None or time.monotonic() - self._ended < self._behaviour().shows_ended

    def end(self) -> None:
        """Record that it has ended now."""
        self._ended = time.monotonic()


@contextlib.contextmanager
def without(backend: Any, is_new: Callable[[Any], bool]) -> Iterator[None]:  # noqa: ANN401 - moto is untyped for us
    """Within this context, a region's EC2 knows no new instances. Requires exclusive access.

    Args:
        backend: moto's EC2 of the region.
        is_new: returns whether an instance is not known yet.
    """
    everything = dict(backend.reservations)
    instances = {key: list(each.instances) for key, each in everything.items()}
    for key, each in everything.items():
        each.instances = [one for one in instances[key] if not is_new(one)]
        if not each.instances:
            del backend.reservations[key]
    try:
        yield
    finally:
        backend.reservations.clear()
        backend.reservations.update(everything)
        for key, each in everything.items():
            each.instances = instances[key]


def require_known(backend: Any, resources: Iterable[str]) -> None:  # noqa: ANN401
    """Refuse ids of unknown instances; moto tags any id. Raises EC2ClientError."""
    wanted = {each for each in resources if each.startswith("i-")}
    known = {one.id for each in backend.reservations.values() for one in each.instances}
    if wanted - known:
        raise InvalidInstanceIdError(sorted(wanted - known))
