"""What the steps of a load balancer do on one of its servers: nodes join and leave. Pure functions, as in `work`."""

from __future__ import annotations

from collections.abc import Sequence

from gantry import inventory, names
from gantry.agent import addresses, config_file, downloads, fan_out, jobs, server_facts, session
from gantry.definition import models
from gantry.reconcile import service_work


def start_proxy(
    known: server_facts.Facts, name: names.BalancerName, server: inventory.Server, marks: service_work.Marks
) -> fan_out.Work:
    """Join every node of the service, and let go of addresses that are nobody's any more."""
    balancer = known.definition.load_balancers[name]
    balanced = server_facts.balanced_as(known.definition, balancer)
    timeout = known.definition.timeouts.start_proxy.total_seconds()
    nodes = known.addresses_of(balancer.service)
    prefix = f"proxy/{balanced}/"
    gone = [addresses.of_word(key.removeprefix(prefix)) for key in marks if key.startswith(prefix)]
    # Those too whose mark has been forgotten by a job that failed.
    gone += known.leaving_addresses_of(balancer.service)
    leave = tuple(
        jobs.Job(
            f"leave-{addresses.word(address)}",
            "stopProxy",
            (address,),
            timeout,
            unmark=(f"{prefix}{addresses.word(address)}",),
        )
        for address in sorted(set(gone) - set(nodes))
    )
    joining = join(known, name, server, nodes)
    # Nodes join at every launch, known ones too: that is what starts a balancer again that has died.
    return fan_out.Work(joining.files, (*leave, *joining.jobs))


def join(
    known: server_facts.Facts,
    name: names.BalancerName,
    server: inventory.Server,
    nodes: Sequence[str],
    suffix: str = "",
) -> fan_out.Work:
    """Join nodes, by their addresses. `suffix` tells apart what is done several times in one step."""
    balancer = known.definition.load_balancers[name]
    behind = known.definition.port_behind(balancer)
    balanced = server_facts.balanced_as(known.definition, balancer)
    timeout = known.definition.timeouts.start_proxy.total_seconds()
    content = known.balancer_file(name, server)
    certificate = known.certificate(balancer.tls)
    version = downloads.short(f"{config_file.digest(content)}{certificate.digest if certificate else ''}")
    files = certificate.files(f"{session.TEMPORARY}/proxy-{balanced}-{version}") if certificate else ()
    paths = tuple(file.path for file in files)
    calls = tuple(
        jobs.Job(
            f"join-{balanced}-{addresses.word(address)}-{version}{suffix}",
            "startProxy",
            (
                balanced,
                balancer.name,
                ",".join(balancer.aliases) or "NONE",
                addresses.of(server),
                address,
                str(behind.port),
                *paths,
            ),
            timeout,
            # All joins read them; they run one after the other, and what does not run is cleaned up after.
            remove=paths if address == nodes[-1] else (),
            # All that the node joins with: a preview tells by it whether joining again changes anything.
            mark=(joined(known.definition, balancer, address), f"{behind.port} {version}"),
        )
        for address in nodes
    )
    file = session.RemoteFile(balancer_config(known.definition, balancer), content, 0o644)
    return fan_out.Work((file, *(files if calls else ())), calls)


def joined(definition: models.Definition, balancer: models.LoadBalancer, address: str) -> str:
    """The key of the mark that a balancer's server has of a node, for as long as it sends traffic there."""
    return f"proxy/{server_facts.balanced_as(definition, balancer)}/{addresses.word(address)}"


def stop_proxy(
    definition: models.Definition, name: names.BalancerName, marks: service_work.Marks
) -> fan_out.Work:
    """Let go of every node of a load balancer, on one of its servers."""
    prefix = f"proxy/{server_facts.balanced_as(definition, definition.load_balancers[name])}/"
    return fan_out.Work(
        (),
        tuple(
            jobs.Job(
                f"leave-{key.removeprefix(prefix)}",
                "stopProxy",
                (addresses.of_word(key.removeprefix(prefix)),),
                definition.timeouts.stop.total_seconds(),
                unmark=(key,),
            )
            for key in sorted(marks)
            if key.startswith(prefix)
        ),
    )


def release_nodes(known: server_facts.Facts, name: names.BalancerName) -> fan_out.Work:
    """Let go of the servers that leave, and wait until what is under way there is finished.

    Each time again, whatever marks say: a balancer that failed in the middle of it has forgotten its mark already, and
    may send to the node all the same.
    """
    definition = known.definition
    balancer = definition.load_balancers[name]
    balanced = server_facts.balanced_as(definition, balancer)
    leaving = known.leaving_addresses_of(balancer.service)
    gone = tuple(
        jobs.Job(
            f"leave-{addresses.word(each)}",
            "stopProxy",
            (each,),
            definition.timeouts.stop.total_seconds(),
            unmark=(joined(definition, balancer, each),),
        )
        for each in leaving
    )
    patience = definition.drain_of(balancer.service).total_seconds()
    return fan_out.Work(
        (),
        (
            *gone,
            *(
                await_drained(balanced, each, patience, f"drained-{balanced}-{addresses.word(each)}")
                for each in leaving
            ),
        ),
    )


def await_drained(balanced: str, address: str, seconds: float, name: str) -> jobs.Job:
    """A job that waits until nothing is under way to a node that has left. `name` is the job's."""
    return jobs.Job(
        name, "awaitDrained", (balanced, address, str(max(1, round(seconds)))), seconds + _DRAIN_SLACK
    )


_DRAIN_SLACK = 30.0
"""Seconds that `awaitDrained` gets beyond its own, to say what is still there."""


def balancer_config(definition: models.Definition, balancer: models.LoadBalancer) -> str:
    """Where a balancer keeps what it was told of the service that it stands in front of."""
    return f"{session.HOME}/ws/proxy/{server_facts.balanced_as(definition, balancer)}/enstratus.cfg"
