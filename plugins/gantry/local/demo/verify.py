"""Checks of `make demo ONCE=1`, from the viewpoint of a visitor, an operator and the cloud's bill."""

from __future__ import annotations

import dataclasses

from gantry.local import errors
from gantry.local.cloud import docker_engine, inspect_servers
from gantry.local.demo import environment, shop

_MARKER = "{{ server.name }}"


class CheckFailedError(errors.LocalCloudError):
    """The demo ran, but a check of its result failed."""

    def __init__(self, promise: str, seen: str) -> None:
        self.promise = promise
        self.seen = seen
        super().__init__(f"promised: {promise}\nseen: {seen}")


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What a second launch must leave unchanged.

    Attributes:
        instances: instance ids by server.
        programs: the services' processes by server, with their start times.
        scripts: the changing agent scripts that have run, by server.
    """

    instances: dict[str, str]
    programs: dict[str, frozenset[tuple[str, int, int]]]
    scripts: dict[str, tuple[str, ...]]


def snapshot(on: environment.Bookshop) -> Snapshot:
    """Inspect all servers of the bookshop, from the cloud's side and from inside."""
    found = on.servers()
    looked = inspect_servers.look(on.cloud, found)
    return Snapshot(
        instances={each.name: each.instance_id for each in found},
        programs={each.name: each.programs() for each in looked},
        scripts={each.name: each.scripts() for each in looked},
    )


def sells(on: environment.Bookshop) -> str:
    """Check that the shop works through the load balancer; return what was seen.

    Raises:
        CheckFailedError, ShopError: it does not.
    """
    visited = on.shop()
    books = visited.books()
    dump = (on.example.folder / "datasource.sql").read_text()
    strange = [title for title in books.titles if title.replace("'", "''") not in dump]
    if not books.titles or strange:
        raise CheckFailedError("the shop shows rows of the datasource", f"books {strange or 'none'}")
    applications = [each.name for each in on.applications()]
    pages = visited.pages_of(len(applications))
    if sorted(pages) != sorted(applications):
        raise CheckFailedError(f"the servers {applications} answer", f"X-Served-By: {sorted(pages)}")
    _greets(on, pages)
    return f"{books.count} books from the datasource, pages from {', '.join(sorted(pages))}, each with its greeting"


def configured(on: environment.Bookshop) -> str:
    """Check that Chef has applied its tier's run list to every server; return the Chef server's data about them.

    Raises:
        CheckFailedError: it has not.
    """
    chef = on.cloud.chef_server()
    wanted = {each.name: list(on.definition.tiers[each.tier].run_list) for each in on.servers()}
    known = chef.nodes()
    seen = {name: chef.get(f"/nodes/{name}")["run_list"] if name in known else None for name in wanted}
    if seen != wanted:
        raise CheckFailedError(f"the Chef server knows the run lists {wanted}", str(seen))
    roles = sorted({entry for run_list in wanted.values() for entry in run_list})
    return f"{len(seen)} nodes on the Chef server, converged with {', '.join(roles)}"


def _greets(on: environment.Bookshop, pages: dict[str, shop.Page]) -> None:
    greeting = str(on.application.custom["greeting"])
    for name, page in pages.items():
        wanted = greeting.replace(_MARKER, name)
        if page.greeting != wanted:
            raise CheckFailedError(f"{name} greets with {wanted!r}", repr(page.greeting))


def unchanged(before: Snapshot, after: Snapshot) -> str:
    """Check that a second launch started no server and no service, and ran no script that changes anything.

    Raises:
        CheckFailedError: it did.
    """
    if before.instances != after.instances:
        raise CheckFailedError(
            "a second launch keeps the servers", f"{before.instances} became {after.instances}"
        )
    for server, programs in before.programs.items():
        if programs != after.programs[server]:
            raise CheckFailedError(
                f"a second launch restarts nothing on {server}",
                f"{sorted(programs)} became {sorted(after.programs[server])}",
            )
        more = after.scripts[server][len(before.scripts[server]) :]
        if more:
            raise CheckFailedError(
                f"a second launch changes nothing on {server}", f"it ran {', '.join(more)}"
            )
    running = sum(len(programs) for programs in before.programs.values())
    return f"the same {len(before.instances)} servers, the same {running} processes, no script that changes anything"


def nothing_left(on: environment.Bookshop) -> str:
    """Check that after a termination, cloud, Chef server and this machine know none of the bookshop's servers.

    Raises:
        CheckFailedError: something is left.
    """
    left = [f"{each.name} {each.instance_id} {each.state}" for each in on.servers()]
    containers = [str(each.name) for each in docker_engine.containers(docker_engine.connect(), on.cloud.name)]
    chef = on.cloud.chef_server()
    prefix = f"{on.definition.deployment}-"
    known = sorted(
        f"{name} on the Chef server" for name in chef.nodes() | chef.clients() if name.startswith(prefix)
    )
    if left or containers or known:
        raise CheckFailedError("nothing is left after a termination", ", ".join([*left, *containers, *known]))
    return "EC2 lists no living server, Docker no container, the Chef server no node"
