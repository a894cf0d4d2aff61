"""Load balancer steps on one server: nodes join and leave. Pure functions, as in `work`."""

from __future__ import annotations

from collections.abc import Sequence

from gantry import inventory, names
from gantry.agent import addresses, config_file, downloads, fan_out, jobs, server_facts, session
from gantry.definition import models
from gantry.reconcile import service_work


def start_proxy(
    known: server_facts.Facts, name: names.BalancerName, server: inventory.Server, marks: service_work.Marks
) -> fan_out.Work:
    """Join every node of the service, and remove addresses that belong to no server any more."""
    balancer = known.definition.load_balancers[name]
    balanced = server_facts.balanced_as(known.definition, balancer)
    timeout = known.definition.timeouts.start_proxy.total_seconds()
    nodes = known.addresses_of(balancer.service)
    prefix = f"proxy/{balanced}/"
    gone = [addresses.of_word(key.removeprefix(prefix)) for key in marks if key.startswith(prefix)]
    # Includes those whose mark was removed by a failed job.
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
    # Nodes join at every launch, known ones too: this restarts a balancer that has died.
    return fan_out.Work(joining.files, (*leave, *joining.jobs))


def join(
    known: server_facts.Facts,
    name: names.BalancerName,
    server: inventory.Server,
    nodes: Sequence[str],
    suffix: str = "",
) -> fan_out.Work:
    """Join nodes, by address. `suffix` distinguishes repeated joins within one step."""
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
            # All joins read them; they run one after the other, and the cleanup removes what does not run.
            remove=paths if address == nodes[-1] else (),
            # Everything that the join depends on: from it, a preview can tell whether joining again changes anything.
            mark=(joined(known.definition, balancer, address), f"{behind.port} {version}"),
        )
        for address in nodes
    )
    file = session.RemoteFile(balancer_config(known.definition, balancer), content, 0o644)
    return fan_out.Work((file, *(files if calls else ())), calls)


def joined(definition: models.Definition, balancer: models.LoadBalancer, address: str) -> str:
    """Return the key of a node's mark on a balancer's server, which is there while the balancer sends traffic to it."""
    return f"proxy/{server_facts.balanced_as(definition, balancer)}/{addresses.word(address)}"


def stop_proxy(
    definition: models.Definition, name: names.BalancerName, marks: service_work.Marks
) -> fan_out.Work:
    """Remove every node from a load balancer, on one of its servers."""
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
    """Remove the leaving servers, and wait until open requests there are finished.

    This is repeated regardless of marks: a balancer that failed in the middle of it has already deleted its mark, and
    may still send traffic to the node.
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
    """Return a job that waits until no requests to a removed node are open. `name` is the job's name."""
    return jobs.Job(
        name, "awaitDrained", (balanced, address, str(max(1, round(seconds)))), seconds + _DRAIN_SLACK
    )


_DRAIN_SLACK = 30.0
"""Extra seconds beyond the timeout of `awaitDrained`, in which it reports what is still open."""


def balancer_config(definition: models.Definition, balancer: models.LoadBalancer) -> str:
    """Return the path of a balancer's configuration of the service behind it."""
    return f"{session.HOME}/ws/proxy/{server_facts.balanced_as(definition, balancer)}/enstratus.cfg"
