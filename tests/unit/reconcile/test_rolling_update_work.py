"""The update of a balanced service on one server: what it does, what it leaves to the usual steps, the way back."""

from __future__ import annotations

import dataclasses

import pytest

from gantry import errors, names
from gantry.agent import downloads, jobs, ssh
from gantry.agent.fan_out import Applied, Work
from gantry.reconcile import load_balancer_work, rolling_update_work, service_work
from tests.unit.agent.world import World

APP = names.ServiceName("app")
FRONT = names.BalancerName("front")
FIRST = ["putConfig", "configureService", "stopService", "startService", "awaitService"]


@dataclasses.dataclass
class Machine:
    """A server that keeps marks as `/enstratus/bin/job` does."""

    marks: dict[str, str] = dataclasses.field(default_factory=dict)
    healthy: bool = False

    def applied(self) -> Applied:
        return Applied(self.marks, self.healthy)

    def scripts(self, found: Work) -> list[str]:
        """What jobs call, in the end."""
        called = []
        for job in found.jobs:
            words = job.arguments[3:] if job.script == "withDownload" else (job.script,)
            called.append(words[7] if words[0] == "applyObject" else words[0])
        return called

    def carry_out(self, found: Work, until: str | None = None) -> list[str]:
        """Run the jobs, up to the one that calls `until` and fails; the scripts that were called."""
        called = []
        for job, script in zip(found.jobs, self.scripts(found), strict=True):
            called.append(script)
            for key in (*job.unmark, *job.forgets):
                self.marks.pop(key, None)
            if script == until:
                return called
            self.marks.update(job.noted)
            if script in ("stopService", "awaitService"):
                self.healthy = script == "awaitService"
        return called


def wanted(world: World, version: str, *, forced: bool = False) -> service_work.Install:
    url = "s3://bookshop/appService.tar.gz"
    download = downloads.Download(url, version, None)
    return service_work.Install(world.facts().definition.services[APP], download, forced)


def update(world: World, machine: Machine, version: str = "one", *, forced: bool = False) -> Work:
    return rolling_update_work.update(
        world.facts(),
        APP,
        world.server("application-1"),
        machine.applied(),
        wanted(world, version, forced=forced),
    )


def back(world: World, machine: Machine) -> Work:
    return rolling_update_work.roll_back(world.facts(), APP, machine.marks)


def configure(world: World, machine: Machine) -> Work:
    return service_work.configure(world.facts(), APP, world.server("application-1"), machine.applied())


def install(world: World, machine: Machine, version: str = "one") -> Work:
    return service_work.install_services(world.facts().definition, [wanted(world, version)], machine.marks)


@pytest.fixture
def launched(world: World) -> Machine:
    machine = Machine()
    machine.carry_out(install(world, machine))
    assert update(world, machine, "one") == Work(), "a first launch is nothing to be careful with"
    assert machine.carry_out(configure(world, machine)) == FIRST
    return machine


def test_nothing_is_updated_where_nothing_has_changed(world: World, launched: Machine) -> None:
    assert update(world, launched) == Work()
    assert update(world, Machine(), "two") == Work(), "a new server is installed by the usual steps"


def test_what_the_update_has_done_the_usual_steps_find_done(world: World, launched: Machine) -> None:
    assert launched.carry_out(update(world, launched, "two")) == ["keepService", "installService", *FIRST]
    assert update(world, launched, "two") == Work()
    assert install(world, launched, "two") == configure(world, launched) == Work()


def test_what_is_only_made_roots_is_no_update(world: World, launched: Machine) -> None:
    for key in ("a1002/owned", "a1002/handed"):
        del launched.marks[key]
    assert update(world, launched) == Work()
    known = world.facts().definition
    mended = service_work.compare_archives(known, [wanted(world, "one")], launched.marks)
    assert launched.carry_out(mended) == ["installService"]
    assert launched.carry_out(configure(world, launched)) == ["putConfig"]
    assert update(world, launched) == configure(world, launched) == Work()


def test_a_service_that_does_not_say_ok_is_only_restarted_and_nothing_is_kept_for_it(
    world: World, launched: Machine
) -> None:
    launched.healthy = False
    found = update(world, launched)
    assert [job.script for job in found.jobs] == FIRST[2:]
    assert not rolling_update_work.replaces(found.jobs)


def test_what_is_to_be_redeployed_is_updated_though_nothing_changed(world: World, launched: Machine) -> None:
    found = update(world, launched, forced=True)
    assert launched.carry_out(found) == ["keepService", "installService", *FIRST]


@pytest.mark.parametrize("failing", ["installService", "configureService", "startService", "awaitService"])
def test_a_version_that_fails_goes_and_the_one_before_it_is_what_runs_again(
    world: World, launched: Machine, failing: str
) -> None:
    before = dict(launched.marks)
    launched.carry_out(update(world, launched, "two"), until=failing)
    assert launched.carry_out(back(world, launched)) == [
        "stopService",
        "revertService",
        *FIRST[1:2],
        *FIRST[3:],
    ]
    kept = launched.marks.pop("a1002/kept")
    assert kept == f"one {before['a1002/applied']}"
    about = ("a1002/content.archive", "a1002/object.archive")
    assert {key: value for key, value in launched.marks.items() if key not in about} == {
        key: value for key, value in before.items() if key not in about
    }
    assert launched.healthy
    # And it is what the next launch would update again.
    assert update(world, launched, "two").jobs


def test_the_version_that_never_ran_is_not_kept_in_the_place_of_the_one_that_did(
    world: World, launched: Machine
) -> None:
    launched.carry_out(update(world, launched, "two"), until="awaitService")
    assert "keepService" not in launched.carry_out(update(world, launched, "three"), until="awaitService")
    launched.carry_out(back(world, launched))
    assert launched.marks["a1002/archive"] == "one"


def failing(machine: Machine, found: Work, script: str, *, transient: bool = False) -> jobs.ServerProgress:
    """How far a server is whose job fails that calls `script`."""
    target = ssh.Target(names.ServerName("application-1"), "i-1", "10.0.0.1", "")
    at = machine.scripts(found).index(script)
    return jobs.ServerProgress(
        target, found.jobs, index=at, failure=errors.Failure("it says why", transient=transient)
    )


@pytest.mark.parametrize(
    ("script", "unchanged"),
    [("keepService", True), ("installService", True), *dict.fromkeys(FIRST, False).items()],
)
def test_whose_update_fails_before_the_old_version_makes_way_goes_on_serving(
    world: World, launched: Machine, script: str, *, unchanged: bool
) -> None:
    service = world.facts().definition.services[APP]
    before, found = dict(launched.marks), update(world, launched, "two")
    stopped = failing(launched, found, script)
    assert rolling_update_work.has_changed_nothing(service, stopped, before, launched.applied()) is unchanged
    # What it was about may go on behind a connection that was lost.
    lost = failing(launched, found, script, transient=True)
    assert not rolling_update_work.has_changed_nothing(service, lost, before, launched.applied())
    # The archive was good, and something failed when it was put in place.
    launched.carry_out(found, until="installService")
    assert not rolling_update_work.has_changed_nothing(service, stopped, before, launched.applied())


def test_who_is_not_healthy_does_not_go_on_serving(world: World, launched: Machine) -> None:
    service = world.facts().definition.services[APP]
    stopped = failing(launched, update(world, launched, "two"), "installService")
    launched.healthy = False
    assert not rolling_update_work.has_changed_nothing(service, stopped, launched.marks, launched.applied())


def test_there_is_no_way_back_where_nothing_was_kept(world: World, launched: Machine) -> None:
    assert back(world, launched) == Work()


def test_a_batch_leaves_a_balancer_whole_before_anybody_waits_for_it(world: World) -> None:
    known = world.facts().definition
    nodes = [world.server("application-1"), world.server("application-2")]
    found = rolling_update_work.leave(known, APP, world.server("proxy-1"), nodes, "1")
    assert [(job.script, job.arguments) for job in found.jobs] == [
        ("stopProxy", ("10.0.0.21",)),
        ("stopProxy", ("10.0.0.22",)),
        ("awaitDrained", ("a1002", "10.0.0.21", "30")),
        ("awaitDrained", ("a1002", "10.0.0.22", "30")),
    ]
    again = rolling_update_work.leave(known, APP, world.server("proxy-1"), nodes, "2")
    assert not {job.name for job in found.jobs} & {job.name for job in again.jobs}


def test_who_joins_again_joins_as_every_launch_would_have_it(world: World) -> None:
    proxy = world.server("proxy-1")
    usual = load_balancer_work.start_proxy(world.facts(), FRONT, proxy, {})
    marks: dict[names.ServerName, service_work.Marks] = {names.ServerName("bookshop-application-2"): {}}
    found = rolling_update_work.join(world.facts(), APP, proxy, marks, "1")
    assert [job.arguments for job in found.jobs] == [job.arguments for job in usual.jobs[1:]]
    assert [job.mark for job in found.jobs] == [job.mark for job in usual.jobs[1:]]
    assert found.files == usual.files


SHARED = """
  blog: {id: a1003, tier: application, archive: s3://bookshop/blog.tar.gz, port: 9000, protocol: http}
load_balancers:
  news: {tier: proxy, service: blog, port: 80, name: blog.example.com}
"""


def test_other_services_on_its_address_come_back_with_it_where_they_have_run(world: World) -> None:
    shared = world.but(text=world.text.replace("load_balancers:\n", SHARED.lstrip("\n")))
    proxy, name = shared.server("proxy-1"), names.ServerName("bookshop-application-1")
    runs = {"a1003/archive": "one", "a1003/applied": "a digest"}
    both = rolling_update_work.join(shared.facts(), APP, proxy, {name: runs}, "1")
    assert sorted(job.arguments[0] for job in both.jobs) == ["a1002", "a1003"]
    assert [
        job.arguments[0] for job in rolling_update_work.join(shared.facts(), APP, proxy, {name: {}}, "1").jobs
    ] == ["a1002"]
    left = rolling_update_work.leave(
        shared.facts().definition, APP, proxy, [shared.server("application-1")], "1"
    ).jobs[0]
    assert sorted(left.unmark) == ["proxy/a1002/10.0.0.21", "proxy/a1003/10.0.0.21"]
