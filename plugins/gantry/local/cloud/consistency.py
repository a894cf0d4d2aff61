"""What EC2 does not know yet, or no more: a new instance is missing in lists, and unknown by its id, for some moments.

moto knows everything at once, and for ever.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from moto.ec2.exceptions import InvalidInstanceIdError

from gantry.local.cloud import behavior


class Age:
    """How old an instance is, and what EC2 shows of one so old."""

    def __init__(self, behaviour: Callable[[], behavior.Manners]) -> None:
        self._behaviour = behaviour
        self._begun = time.monotonic()
        self._ended: float | None = None

    @property
    def is_new(self) -> bool:
        """Whether EC2 does not know it yet."""
        return time.monotonic() - self._begun < self._behaviour().lists_after

    @property
    def shows_console(self) -> bool:
        """Whether its console shows anything."""
        return time.monotonic() - self._begun >= self._behaviour().console_after

    @property
    def is_shown(self) -> bool:
        """Whether it is described: one that has ended is, for a while."""
        return self._ended is None or time.monotonic() - self._ended < self._behaviour().shows_ended

    def end(self) -> None:
        """It has ended now."""
        self._ended = time.monotonic()


@contextlib.contextmanager
def without(backend: Any, is_new: Callable[[Any], bool]) -> Iterator[None]:  # noqa: ANN401 - moto is untyped for us
    """Inside, a region's EC2 knows nothing of new instances. Nobody else may look at it meanwhile.

    Args:
        backend: moto's EC2 of the region.
        is_new: whether an instance is not known yet.
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
    """Refuse ids of instances that are not known; moto tags whatever it is asked to. Raises EC2ClientError."""
    wanted = {each for each in resources if each.startswith("i-")}
    known = {one.id for each in backend.reservations.values() for one in each.instances}
    if wanted - known:
        raise InvalidInstanceIdError(sorted(wanted - known))
