"""All instances of a deployment, including those whose tags were changed or copied by hand.

Their labels, and why some cannot be stopped properly. Only a termination works on these; all other operations refuse
them.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

from gantry import inventory, names
from gantry.definition import models


def labels(servers: Sequence[inventory.Server]) -> dict[str, names.ServerName]:
    """Return display names by instance id: servers of the same name are distinguished by their instances."""
    often = collections.Counter(each.name for each in servers)
    return {
        each.instance_id: each.name
        if often[each.name] == 1
        else names.ServerName(f"{each.name} ({each.instance_id})")
        for each in servers
    }


def strange(definition: models.Definition, found: inventory.Inventory) -> Iterator[str]:
    """Yield a line about each instance that is not simply a server of the definition."""
    slots: dict[names.ServerName, list[str]] = {}
    for server in found.everything:
        if server.unreadable is not None:
            yield f"instance {server.instance_id} belongs to the deployment, but {server.unreadable}"
        elif server.tier not in definition.tiers:
            yield f"{server.name} ({server.instance_id}): the definition has no tier {server.tier} any more"
        elif server in found.servers:
            slots.setdefault(server.name, []).append(server.instance_id)
    for name, instances in slots.items():
        if len(instances) > 1:
            yield f"{name}: the instances {' and '.join(instances)} both fill its slot"


def beyond_reach(definition: models.Definition, server: inventory.Server) -> str | None:
    """Return why a running server cannot be logged in to, judging by its tags; None if it may be tried."""
    if server.state is not inventory.InstanceState.RUNNING:
        return None
    if server.tier not in definition.tiers:
        tier = f"no tier {server.tier}" if server.tier else "no tier of that instance"
        return f"it runs, and the definition has {tier}: how to log in is not known"
    if server.unreadable is not None and server.host_key is None:
        return f"it runs, and its tags do not contain its host key ({server.unreadable})"
    return None
