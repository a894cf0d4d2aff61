"""Wait until EC2 lists recently started instances, which may take some seconds."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection, Sequence

from gantry import errors, inventory, names

_SHORTEST, _LONGEST = 1.0, 5.0
"""Seconds between two calls: increasing, and randomized because many steps wait at the same time."""
_LISTED_WITHIN = 30.0
"""Seconds that a step waits for a new server to be listed. Then it fails, and is retried."""


class NotListedYetError(errors.GantryError):
    """Recently started servers are not listed by the cloud."""

    transient = True

    def __init__(self, deployment: names.DeploymentName, instances: Sequence[str]) -> None:
        self.deployment = deployment
        self.instances = tuple(instances)
        super().__init__(
            f"{deployment}: {', '.join(instances)} were started recently, and the cloud does not list them yet\n"
            f"Until it does, no server is configured with the others: some would be missing.\n"
            f"The task is tried again. If it still fails, look for these instances in the cloud, then clear this task."
        )


def complete(
    deployment: names.DeploymentName,
    started: Collection[str],
    find: Callable[[], inventory.Inventory],
    ended: Callable[[Sequence[str]], Collection[str]],
    log: logging.Logger,
) -> inventory.Inventory:
    """Return a deployment's servers once the cloud lists the recently started ones.

    Args:
        deployment: the deployment's name.
        started: ids of the instances to wait for, unless they have ended meanwhile.
        find: returns what the cloud lists.
        ended: returns which of some instances have ended.
        log: receives what is waited for.

    Raises:
        NotListedYetError: the cloud does not list them after half a minute.
    """
    deadline = time.monotonic() + _LISTED_WITHIN
    pause = _SHORTEST
    while True:
        found = find()
        missing = sorted(set(started) - {each.instance_id for each in found.everything})
        if missing:
            missing = sorted(set(missing) - set(ended(missing)))
        if not missing:
            return found
        if time.monotonic() > deadline:
            raise NotListedYetError(deployment, missing)
        log.info("waiting: the cloud does not list %s yet", ", ".join(missing))
        # Not a secret: it only has to differ between steps.
        time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
        pause = min(pause * 2, _LONGEST)
