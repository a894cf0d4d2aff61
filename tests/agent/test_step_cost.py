"""A step takes one connection and one command to a server, and few processes there."""

from __future__ import annotations

import asyncio

import pytest

from gantry.agent import fan_out, job_runner

from . import costs
from .machines import Machine, Said, job, key, progress, until

pytestmark = pytest.mark.docker

ROUNDS = 3
"""Another process of the server may begin in between: the fewest count."""

FORKS = {"redeploy": 125, "nothing to do": 23}
CAUSES = {
    "checkService": 9,
    "digests": 4,
    "marks": 3,
    "tar": 5,
    "job open": 4,
    "job start": 92,
    "job follow": 20,
    "job close": 3,
}
"""What each is allowed, five jobs together: somewhat more than `benchmarks/step_cost.py` has counted."""


@pytest.fixture
def served(neighbour: Machine) -> Machine:
    """A server with a service whose scripts do nothing."""
    costs.serve(neighbour)
    return neighbour


@pytest.mark.parametrize("what", FORKS)
def test_a_step_takes_one_connection_one_command_and_few_processes(served: Machine, what: str) -> None:
    work = costs.configure() if what == "redeploy" else fan_out.Work()
    name = what.replace(" ", "-")
    rounds = [costs.measured(served, f"{name}-{number}", work) for number in range(ROUNDS)]
    assert {(each.connections, each.commands) for each in rounds} == {(1, 1)}
    assert min(each.forks for each in rounds) <= FORKS[what]


def test_each_call_of_the_agent_has_its_measure(served: Machine) -> None:
    rounds = [costs.causes(served, f"causes-{number}", costs.configure()) for number in range(ROUNDS)]
    fewest = {cause: min(each[cause] for each in rounds) for cause in rounds[0]}
    assert fewest.keys() == CAUSES.keys()
    assert {cause: forks for cause, forks in fewest.items() if forks > CAUSES[cause]} == {}


def test_a_silent_job_makes_no_process_while_it_is_followed(served: Machine) -> None:
    meter = costs.Meter(served)
    served.script("silent", "echo up; read -r line </tmp/silent; echo over")
    served.sh("mkfifo /tmp/silent")
    said, everything = Said(), [progress(served, job("silent"))]

    async def follow() -> int:
        driving = asyncio.create_task(fan_out.carry_out(everything, served.access, key("silent"), said))
        await until(lambda: "up" in said.by(served), "the script to begin")
        before = meter.forks()
        # As long as it takes to see a poll, of which the earlier follower made five a second.
        await asyncio.sleep(2)
        made = meter.forks() - before
        await asyncio.to_thread(served.sh, "echo go >/tmp/silent")
        assert await driving
        return made

    assert asyncio.run(follow()) <= 2
    assert said.output_of(served) == ["up", "over"]
    served.sh("rm /tmp/silent")


def test_a_connection_that_is_cut_takes_its_follower_along_also_of_a_silent_job(served: Machine) -> None:
    served.script("quiet", "until [ -e /tmp/quiet ]; do sleep 0.1; done; echo over")
    said, everything = Said(), [progress(served, job("quiet"))]
    followers = "ps -eo args | grep -c '[t]ail -s .* log' || true"

    async def cut() -> None:
        driving = asyncio.create_task(fan_out.carry_out(everything, served.access, key("quiet"), said))
        await until(lambda: served.sh(followers) == "1", "the follower to watch")
        driving.cancel()
        await asyncio.gather(driving, return_exceptions=True)
        await until(lambda: served.sh(followers) == "0", "it to go")
        served.sh("touch /tmp/quiet")
        assert await fan_out.carry_out(everything, served.access, key("quiet"), said)

    asyncio.run(cut())
    assert said.output_of(served) == ["over"]
    served.sh("rm /tmp/quiet")


def test_an_agent_that_takes_no_orders_is_spoken_to_as_before(served: Machine) -> None:
    served.sh("mv /enstratus/bin/serve /tmp/serve")
    served.script("before", 'echo "$1"')
    said, cost = Said(), costs.Cost()
    everything = [progress(served, job("before", "one"), job("before", "two", name="second"))]
    try:
        with costs.counted(cost):
            assert asyncio.run(fan_out.carry_out(everything, served.access, key("before"), said))
    finally:
        served.sh("mv /tmp/serve /enstratus/bin/serve")
    assert said.output_of(served) == ["one", "two"]
    # The one that was refused; open, and for each job start and follow; close.
    assert (cost.connections, cost.commands) == (1, 1 + 1 + 2 * 2 + 1)


def test_a_connection_is_kept_until_something_goes_wrong(served: Machine) -> None:
    cost = costs.Cost()

    async def ask() -> None:
        async with fan_out.Lines() as kept:
            agent = job_runner.Agent(served.target, served.access, kept=kept)
            for _ in range(2):
                async with agent.open() as server:
                    assert await server.run("echo", "here") == "here\n"
            assert cost.connections == 1
            await asyncio.to_thread(served.cut_connections)
            await until(lambda: server.is_closed, "the cut to be seen here")
            async with agent.open() as server:
                assert await server.run("echo", "again") == "again\n"

    with costs.counted(cost):
        asyncio.run(ask())
    assert cost.connections == 2
