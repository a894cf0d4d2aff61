"""Gantry's steps on servers, driven as Airflow's tasks drive them, without Airflow: run by `benchmarks/fleet.py`.

    python benchmarks/fleet_gantry.py <ORDER

ORDER is JSON (see `Order`). For each step the servers are dealt to `fan_out` processes, as `scale_up.deal` does it.
Each is a fork of one that has loaded what tasks need, as with Airflow's LocalExecutor, and drives its servers with the
functions that the operators call. Prints JSON: seconds, CPU of all processes, memory of the largest.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import functools
import json
import os
import pathlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

# Removed with the process.
os.environ.setdefault("AIRFLOW_HOME", (HOME := tempfile.TemporaryDirectory(prefix="gantry-benchmark-")).name)

from gantry import definition, inventory, names, warm_up
from gantry.agent import bootstrap, downloads, errors, job_runner, jobs, server_facts, ssh
from gantry.agent import fan_out as drive
from gantry.operators import scale_up
from gantry.reconcile import service_work

SERVICE = names.ServiceName("shop")
_DEFINITION = """\
deployment: fleet
cloud: {{region: eu-central-1}}
launch_configurations:
  debian: {{image: ami-1, ssh: {{connection: fleet_ssh}}}}
tiers:
  shop: {{launch_configuration: debian, servers: {count}}}
services:
  shop:
    id: a4200
    tier: shop
    archive: s3://fleet/shop.tar.gz
    custom: {{greeting: {greeting}}}
"""
_PATIENCE = 60.0


@dataclasses.dataclass(frozen=True)
class Order:
    """What is to be done.

    Attributes:
        servers: name, address, host key, port.
        user, key: the login.
        url, sha256, greeting: the release.
        fan_out: processes for each step.
        run: no other run has this name.
        handshake: install the agent first; that is not measured.
        log: the file that what servers say goes to.
        connect_seconds: for one attempt to log in.
        jump: the server that the way to the others goes through, or None.
        own_users: each process logs in as a user of its own, by which simulated servers tell them apart.
    """

    servers: Sequence[tuple[str, str, str, int]]
    user: str
    key: str
    url: str
    sha256: str
    greeting: str
    fan_out: int
    run: str
    handshake: bool
    log: str
    connect_seconds: float = ssh.CONNECT_TIMEOUT
    jump: tuple[str, str, str, int] | None = None
    own_users: bool = False


class _Links:
    """The store of the benchmark wants no signature."""

    whose = "of no account"

    def link(self, url: str, *, upload: bool = False, renewed: bool = False) -> str:
        _ = upload, renewed
        return url


class Steps:
    """The two steps of a service: install it, configure it."""

    def __init__(self, order: Order) -> None:
        self._order = order
        text = _DEFINITION.format(count=len(order.servers), greeting=json.dumps(order.greeting))
        self._known = definition.loads(text)
        login = ssh.Login(order.user, pathlib.Path(order.key).read_text(), port=order.servers[0][3])
        self.access = ssh.Access(login, patience=max(_PATIENCE, 2 * order.connect_seconds))
        if order.jump is not None:
            _, address, host_key, port = order.jump
            way = ssh.JumpHost(address, host_key, dataclasses.replace(login, port=port))
            self.access = dataclasses.replace(self.access, jump=way)
        self.targets = [
            ssh.Target(names.ServerName(name), f"i-{number}", address, host_key)
            for number, (name, address, host_key, _) in enumerate(order.servers, start=1)
        ]
        self._inventory = {
            target.name: inventory.Server(
                name=target.name,
                tier=names.TierName("shop"),
                slot=names.Slot(number),
                instance_id=target.instance_id,
                state=inventory.InstanceState.RUNNING,
                image="ami-1",
                launched_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
                private_address=target.address,
            )
            for number, target in enumerate(self.targets, start=1)
        }

    def be(self, user: str) -> None:
        """Log in as another user, at the jump host too."""
        access = self.access
        if access.jump is not None:
            login = dataclasses.replace(access.jump.login, user=f"{user}-on-the-way")
            access = dataclasses.replace(access, jump=dataclasses.replace(access.jump, login=login))
        self.access = dataclasses.replace(access, login=dataclasses.replace(access.login, user=user))

    def install(self) -> tuple[drive.Decide, drive.Questions]:
        service = self._known.services[SERVICE]
        archive = downloads.Download(self._order.url, self._order.sha256, self._order.sha256)
        wanted = [service_work.Install(service, archive)]
        return (
            lambda _, applied: service_work.install_services(self._known, wanted, applied.marks),
            drive.Questions(),
        )

    def configure(self) -> tuple[drive.Decide, drive.Questions]:
        known = server_facts.Facts(self._known, inventory.Inventory(tuple(self._inventory.values())), {})
        return (
            lambda target, applied: service_work.configure(
                known, SERVICE, self._inventory[target.name], applied
            ),
            drive.Questions(checked=self._known.services[SERVICE].id),
        )

    def carry_out(
        self, name: str, decided: tuple[drive.Decide, drive.Questions], targets: Sequence[ssh.Target]
    ) -> None:
        """One task's share of a step, as `ServerStepOperator.perform` does it."""
        decide, questions = decided
        key = jobs.StepKey(f"{self._order.run}-{name}", "0", "1")
        with pathlib.Path(self._order.log).open("a") as log:

            def output(server: names.ServerName, line: str) -> None:
                log.write(f"[{server}] {line}\n")

            async def go() -> None:
                everything = drive.begin(targets)
                async with drive.Lines() as kept:
                    await drive.prepare(everything, self.access, decide, output, questions, kept=kept)
                    await drive.carry_out(everything, self.access, key, output, links=_Links(), kept=kept)
                drive.verdict(everything)

            asyncio.run(go())

    def greet(self) -> None:
        """Install the agent everywhere."""

        async def one(target: ssh.Target) -> None:
            deadline = time.monotonic() + _PATIENCE
            while True:
                try:
                    async with job_runner.Agent(target, self.access).open() as server:
                        await bootstrap.install_agent(server, target.name)
                        return
                except errors.ConnectionLostError:
                    if time.monotonic() > deadline:
                        raise
                    await asyncio.sleep(0.5)

        async def everywhere() -> None:
            await asyncio.gather(*(one(each) for each in self.targets))

        asyncio.run(everywhere())


def hands(work: Sequence[Callable[[], None]]) -> None:
    """Do each in a process of its own, side by side.

    Raises:
        RuntimeError: one has failed; it has said why.
    """
    children = [_fork(each) for each in work]
    failed = [pid for pid in children if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(children)} processes have failed: see above")


def _fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - what the child cannot do is reported by its end
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> int:
    order = Order(**json.load(sys.stdin))
    ssh.CONNECT_TIMEOUT = order.connect_seconds
    warm_up.on_starting(type("Job", (), {"job_type": ""})())
    if order.handshake:
        hands([Steps(order).greet])
    steps = Steps(order)
    dealt = scale_up.deal([each.name for each in steps.targets], order.fan_out)
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    for name, step in (("install", steps.install), ("configure", steps.configure)):

        def share(
            number: int,
            mine: Sequence[str],
            name: str = name,
            step: Callable[[], tuple[drive.Decide, drive.Questions]] = step,
        ) -> None:
            if order.own_users:
                steps.be(f"{order.user}{number}")
            steps.carry_out(name, step(), [each for each in steps.targets if each.name in mine])

        hands([functools.partial(share, number, mine) for number, mine in enumerate(dealt)])
    seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": cpu, "memory": after.ru_maxrss / 1024}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
