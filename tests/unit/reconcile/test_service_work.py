"""What a step does on one server: from the facts and what is applied there, to files and jobs."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import pytest

from gantry import errors, names
from gantry.agent import downloads, server_facts, session
from gantry.agent.fan_out import Applied, Work
from gantry.reconcile import datasource_work, load_balancer_work, service_work
from tests.unit.agent.world import World

DB, APP = names.ServiceName("db"), names.ServiceName("app")
CATALOG = names.DatasourceName("catalog")
FRONT = names.BalancerName("front")


def archive(version: str = "one", url: str = "s3://bookshop/dbService.tar.gz") -> downloads.Download:
    return downloads.Download(url, version, None)


def scripts(found: Work) -> list[str]:
    """The agent scripts that would run, in their order."""
    return [next(word for word in job.call.split() if word in SCRIPTS) for job in found.jobs]


SCRIPTS = {
    "installService", "installDataSource", "putConfig", "configureService", "stopService", "startService",
    "awaitService", "grantDatabaseAccess", "startProxy", "stopProxy",
}  # fmt: skip


@dataclasses.dataclass
class Machine:
    """A server that keeps marks as `/enstratus/bin/job` does."""

    marks: dict[str, str] = dataclasses.field(default_factory=dict)
    healthy: bool = False

    def applied(self) -> Applied:
        return Applied(self.marks, self.healthy)

    def carry_out(self, found: Work, until: str | None = None) -> list[str]:
        """Run the jobs, up to the one that calls `until` and fails; the scripts that were called."""
        called = []
        for job, script in zip(found.jobs, scripts(found), strict=True):
            called.append(script)
            for key in (*job.unmark, *job.forgets):
                self.marks.pop(key, None)
            if script == until:
                return called
            self.marks.update(job.noted)
            if script in ("stopService", "awaitService"):
                self.healthy = script == "awaitService"
        return called


def install(world: World, machine: Machine, version: str = "one", *, forced: bool = False) -> Work:
    known = world.facts().definition
    return service_work.install_services(
        known, [service_work.Install(known.services[DB], archive(version), forced)], machine.marks
    )


def configure(world: World, machine: Machine, *, forced: bool = False) -> Work:
    return service_work.configure(
        world.facts(), DB, world.server("database-1"), machine.applied(), forced=forced
    )


def test_an_archive_that_cannot_be_fetched_is_none_of_a_servers_business_that_has_it(world: World) -> None:
    known, machine = world.facts().definition, Machine()
    gone = dataclasses.replace(archive(), obstacle=errors.GantryError("it is in GLACIER"))
    wanted = [service_work.Install(known.services[DB], gone, forced=False)]
    with pytest.raises(errors.GantryError, match="it is in GLACIER"):
        service_work.install_services(known, wanted, machine.marks)
    machine.carry_out(install(world, machine))
    assert not service_work.install_services(known, wanted, machine.marks).jobs


CONFIGURED = ["putConfig", "configureService", "stopService", "startService", "awaitService"]
RESTARTED = ["stopService", "startService", "awaitService"]


@pytest.fixture
def launched(world: World) -> Machine:
    machine = Machine()
    assert machine.carry_out(install(world, machine)) == ["installService"]
    assert machine.carry_out(configure(world, machine)) == CONFIGURED
    return machine


# --- what a launch does, and a second one does not -----------------------------------------------------------


def test_a_second_launch_has_no_work(world: World, launched: Machine) -> None:
    assert install(world, launched) == Work()
    assert configure(world, launched) == Work()


def test_another_archive_is_installed_and_the_service_configured_again(
    world: World, launched: Machine
) -> None:
    assert launched.carry_out(install(world, launched, "two")) == ["installService"]
    assert launched.carry_out(configure(world, launched)) == CONFIGURED
    assert install(world, launched, "two") == configure(world, launched) == Work()


def test_other_facts_configure_the_service_again_and_install_nothing(world: World, launched: Machine) -> None:
    moved = world.but(addresses={**world.addresses, "database-1": "10.0.0.99"})
    assert install(moved, launched) == Work()
    assert launched.carry_out(configure(moved, launched)) == CONFIGURED
    assert configure(moved, launched) == Work()


def test_a_service_that_does_not_say_ok_is_only_restarted(world: World, launched: Machine) -> None:
    launched.healthy = False
    assert launched.carry_out(configure(world, launched)) == RESTARTED
    assert configure(world, launched) == Work()


def test_a_redeployed_service_is_installed_configured_and_restarted_though_nothing_changed(
    world: World, launched: Machine
) -> None:
    assert launched.carry_out(install(world, launched, forced=True)) == ["installService"]
    assert launched.carry_out(configure(world, launched, forced=True)) == CONFIGURED


@pytest.mark.parametrize("failing", CONFIGURED)
def test_a_configuration_that_failed_is_not_taken_for_applied(
    world: World, launched: Machine, failing: str
) -> None:
    moved = world.but(addresses={**world.addresses, "database-1": "10.0.0.99"})
    launched.carry_out(configure(moved, launched), until=failing)
    launched.healthy = True
    again = CONFIGURED if failing in CONFIGURED[:2] else RESTARTED
    assert launched.carry_out(configure(moved, launched)) == again


def test_an_install_that_failed_is_not_taken_for_applied(world: World, launched: Machine) -> None:
    launched.carry_out(install(world, launched, "two"), until="installService")
    assert scripts(install(world, launched, "two")) == ["installService"]
    assert scripts(install(world, launched, "one")) == ["installService"]


def test_waiting_in_vain_for_a_service_is_a_result_and_its_start_is_tried_anew(world: World) -> None:
    found = configure(world, Machine())
    assert [job.script for job in found.jobs if job.conclusive] == ["awaitService"]


def test_all_services_of_a_tier_are_installed_on_each_of_its_servers(world: World) -> None:
    known = world.facts().definition
    wanted = [service_work.Install(each, archive(url=each.archive)) for each in known.services.values()]
    found = service_work.install_services(known, wanted, {})
    assert [job.arguments[-4:] for job in found.jobs] == [
        ("a1001", "c100", "gantry", "/enstratus/ws/tmp/a1001.tar.gz"),
        ("a1002", "c100", "gantry", "/enstratus/ws/tmp/a1002.tar.gz"),
    ]


# --- datasources ---------------------------------------------------------------------------------------------


def load(world: World, machine: Machine, version: str = "one") -> Work:
    dumps = {CATALOG: archive(version, "s3://bookshop/datasource.sql")}
    return datasource_work.install_datasources(
        world.facts(), DB, world.server("database-1"), dumps, machine.marks
    )


ONE, TWO = "1" * 64, "2" * 64
"""Digests of contents."""


def seen(version: str, digest: str) -> dict[str, str]:
    """What a server notes that has looked at the dump's object."""
    return {"a1001/object.datasource.catalog": f"{version} {digest}"}


def loaded(version: str = "one", digest: str = ONE) -> dict[str, str]:
    """What a server notes that has loaded a dump."""
    key = "a1001/datasource.catalog"
    return {key: digest, "a1001/content.datasource.catalog": digest, **seen(version, digest)}


def test_a_dump_is_loaded_once(world: World) -> None:
    machine = Machine()
    assert machine.carry_out(load(world, machine), until="installDataSource") == ["installDataSource"]
    assert machine.carry_out(load(world, machine)) == ["installDataSource"]
    assert load(world, machine) == Work()


def test_the_same_dump_in_another_object_is_found_out_on_the_server_and_not_loaded(world: World) -> None:
    machine = Machine(marks=loaded())
    (job,) = load(world, machine, "two").jobs
    assert job.arguments[3:6] == ("compareObject", "a1001/datasource.catalog", "two")
    assert load(world, Machine(marks=loaded() | seen("two", ONE)), "two") == Work()


def test_a_changed_dump_is_told_of_and_not_loaded_over_live_data(world: World) -> None:
    found = load(world, Machine(marks=loaded() | seen("two", TWO)), "two")
    assert (found.files, found.jobs) == ((), ())
    (held,) = found.held
    assert held.text.startswith(
        "the dump of datasource catalog has changed; not loaded: the datasource holds data"
    )
    assert "--reload-dump db.catalog" in held.text


def test_where_the_last_version_has_noted_the_objects_version_the_same_object_is_the_same_dump(
    world: World,
) -> None:
    machine = Machine(marks={"a1001/datasource.catalog": "one"})
    assert load(world, machine) == Work()
    # What was loaded cannot be known any more: it is not replaced because of that.
    found = load(world, machine, "two")
    assert (len(found.jobs), len(found.held)) == (0, 1)


def test_a_dump_whose_sum_is_pinned_needs_no_download_to_be_known(world: World) -> None:
    def pinned(version: str, digest: str) -> Work:
        dump = downloads.Download("s3://bookshop/datasource.sql", version, digest)
        server = world.server("database-1")
        return datasource_work.install_datasources(world.facts(), DB, server, {CATALOG: dump}, loaded())

    assert pinned("two", ONE.upper()) == Work()
    found = pinned("two", TWO)
    assert (len(found.jobs), len(found.held)) == (0, 1)


def test_a_dump_is_loaded_over_live_data_when_a_person_says_so_and_once_in_that_run(world: World) -> None:
    machine = Machine(marks=loaded() | seen("two", TWO))

    def reload(run: str, version: str = "two") -> Work:
        dumps = {CATALOG: archive(version, "s3://bookshop/datasource.sql")}
        wanted = datasource_work.Reload(frozenset({CATALOG}), run)
        server = world.server("database-1")
        return datasource_work.install_datasources(
            world.facts(), DB, server, dumps, machine.marks, reload=wanted
        )

    found = reload("r1")
    assert b"restore=yes" in found.files[0].content
    machine.carry_out(found, until="installDataSource")
    assert machine.marks == loaded() | seen("two", TWO), "a load that failed leaves what there is"
    assert machine.carry_out(reload("r1")) == ["installDataSource"]
    # Whoever clears that run weeks later has not said it again.
    assert reload("r1") == Work()
    assert scripts(reload("r2")) == ["installDataSource"]
    assert reload("r1", "two") == load(world, machine, "two") == Work()


def given(service: str) -> dict[str, str]:
    """What a server notes that has installed an archive."""
    return {
        f"{service}/archive": ONE,
        f"{service}/content.archive": ONE,
        f"{service}/object.archive": f"one {ONE}",
        f"{service}/owned": "root",
    }


def test_what_an_older_version_has_installed_is_made_roots_once_and_nothing_restarts(
    world: World, launched: Machine
) -> None:
    for key in ("a1001/owned", "a1001/handed"):
        del launched.marks[key]
    assert launched.carry_out(install(world, launched)) == ["installService"]
    assert launched.carry_out(configure(world, launched)) == ["putConfig"]
    assert install(world, launched) == configure(world, launched) == Work()


def test_a_changed_archive_is_checked_before_its_update_may_take_a_server_away(world: World) -> None:
    known, marks = world.facts().definition, given("a1001")

    def compare(download: downloads.Download) -> Work:
        return service_work.compare_archives(
            known, [service_work.Install(known.services[DB], download)], marks
        )

    assert compare(archive()) == Work(), "what is installed was checked when it was"
    (job,) = compare(archive("two")).jobs
    target = job.arguments[1]
    assert job.arguments[3:] == (
        "compareObject", "a1001/archive", "two", target, "it will be updated", "checkArchive", "a1001", target,
    )  # fmt: skip
    # Known to be another one without a look at it.
    (job,) = compare(dataclasses.replace(archive("two"), sha256="2" * 64)).jobs
    assert job.arguments[2:] == ("2" * 64, "checkArchive", "a1001", job.arguments[1])
    assert (job.noted, job.unmark, job.forgets) == ((), (), ())


@pytest.mark.parametrize(
    ("key", "ending"),
    [
        ("Page.TAR.GZ", ".tar.gz"),
        ("a.b/page.tar.xz", ".tar.xz"),
        ("page.tar", ".tar"),
        ("dump.SQL.gz", ".sql.gz"),
        ("x", ""),
    ],
)
def test_the_end_of_a_name_is_known_in_any_case(key: str, ending: str) -> None:
    assert downloads.suffix_of(f"s3://bucket/{key}") == ending


def test_the_same_archive_in_another_object_is_installed_only_if_the_server_finds_it_changed(
    world: World,
) -> None:
    marks = given("a1001")
    assert install(world, Machine(marks=marks)) == Work()
    (job,) = install(world, Machine(marks=marks), "two").jobs
    assert job.arguments[3:8] == ("applyObject", "a1001/archive", "two", "SUM", "changed")
    assert set(job.unmark) == set(), "nothing is forgotten before it is known to have changed"
    same = marks | {"a1001/object.archive": f"two {ONE}"}
    assert install(world, Machine(marks=same), "two") == Work()
    (job,) = install(world, Machine(marks=marks), "two", forced=True).jobs
    assert job.arguments[7] == "always"


def test_an_archive_of_the_last_version_is_not_installed_again_by_an_upgrade(world: World) -> None:
    (mends,) = install(world, Machine(marks={"a1001/archive": "one"})).jobs
    assert (mends.mark, mends.unmark, mends.forgets) == (("a1001/owned", "root"), ("a1001/owned",), ())
    (job,) = install(world, Machine(marks={"a1001/archive": "one"}), "two").jobs
    assert job.arguments[7] == "always"


def test_before_an_update_it_is_found_out_whether_there_is_one(world: World) -> None:
    known = world.facts().definition
    wanted = service_work.Install(known.services[APP], archive("two", "s3://bookshop/appService.tar.gz"))
    marks = given("a1002")
    (job,) = service_work.compare_archives(known, [wanted], marks).jobs
    assert job.arguments[3:6] == ("compareObject", "a1002/archive", "two")
    for digest in (ONE, TWO):
        found = marks | {"a1002/object.archive": f"two {digest}"}
        assert service_work.compare_archives(known, [wanted], found) == Work()
        assert bool(service_work.install_services(known, [wanted], found, settled=True).jobs) == (
            digest == TWO
        )


def test_with_configure_first_the_restart_is_a_step_of_its_own(world: World) -> None:
    world = world.but(
        text=world.text.replace(
            "    tier: database\n    archive", "    tier: database\n    order: configure-first\n    archive"
        )
    )
    machine, server = Machine(), world.server("database-1")

    def restart() -> Work:
        return service_work.restart(world.facts(), DB, server, machine.applied())

    assert machine.carry_out(configure(world, machine)) == CONFIGURED[:2]
    assert machine.carry_out(restart()) == RESTARTED
    assert configure(world, machine) == restart() == Work()
    machine.healthy = False
    assert configure(world, machine) == Work()
    assert machine.carry_out(restart()) == RESTARTED


# --- grants --------------------------------------------------------------------------------------------------


def grant(world: World, machine: Machine) -> Work:
    return service_work.grant_access(world.facts(), DB, world.server("database-1"), APP, machine.marks)


def test_access_is_granted_again_only_when_an_application_server_came_or_went(world: World) -> None:
    machine = Machine()
    assert machine.carry_out(grant(world, machine)) == ["grantDatabaseAccess"]
    assert grant(world, machine) == Work()
    grown = world.but(addresses={**world.addresses, "application-3": "10.0.0.23"})
    found = grant(grown, machine)
    assert b"addresses=10.0.0.21,10.0.0.22,10.0.0.23\n" in found.files[0].content
    assert machine.carry_out(found) == ["grantDatabaseAccess"]


def test_a_dependency_on_the_service_alone_grants_nothing(world: World) -> None:
    world = world.but(text=world.text.replace("[db.catalog, db]", "[db]"))
    assert grant(world, Machine()) == Work()


# --- proxies -------------------------------------------------------------------------------------------------


def proxy(world: World, machine: Machine) -> Work:
    return load_balancer_work.start_proxy(world.facts(), FRONT, world.server("proxy-1"), machine.marks)


def test_every_node_joins_the_balancer(world: World) -> None:
    found = proxy(world, Machine())
    assert [job.call for job in found.jobs] == [
        f"startProxy a1002 shop.example.com www.example.com 10.0.0.31 {node} 8000"
        for node in ("10.0.0.21", "10.0.0.22")
    ]


def test_an_address_that_is_nobodys_any_more_leaves_before_others_join(world: World) -> None:
    machine = Machine()
    machine.carry_out(proxy(world, machine))
    moved = world.but(addresses={**world.addresses, "application-2": "10.0.0.99"})
    found = proxy(moved, machine)
    assert found.jobs[0].call == "stopProxy 10.0.0.22"
    machine.carry_out(found)
    assert sorted(machine.marks) == ["proxy/a1002/10.0.0.21", "proxy/a1002/10.0.0.99"]
    assert "stopProxy" not in scripts(proxy(moved, machine))


def test_a_termination_takes_every_node_out_and_stops_what_is_installed(
    world: World, launched: Machine
) -> None:
    known = world.facts().definition
    machine = Machine()
    machine.carry_out(proxy(world, machine))
    found = load_balancer_work.stop_proxy(known, FRONT, machine.marks)
    assert [job.call for job in found.jobs] == ["stopProxy 10.0.0.21", "stopProxy 10.0.0.22"]
    machine.carry_out(found)
    assert machine.marks == {}
    assert scripts(service_work.stop_service(known, known.services[DB], launched.marks)) == ["stopService"]
    assert service_work.stop_service(known, known.services[APP], launched.marks) == Work()


# --- what holds for all steps --------------------------------------------------------------------------------


def every_step(world: World) -> Iterator[Work]:
    known, server = world.facts(), world.server("database-1")
    yield install(world, Machine())
    yield load(world, Machine())
    yield configure(world, Machine())
    yield service_work.configure(known, APP, world.server("application-1"), Applied({}))
    yield service_work.restart(known, DB, server, Applied({}))
    yield grant(world, Machine())
    yield proxy(world, Machine())
    yield configure(world.with_tls(), Machine())
    replicated = world.replicated()
    for decide, name in (
        (service_work.configure, "database-1"),
        (service_work.configure_replicant, "database-2"),
    ):
        yield decide(replicated.facts(), DB, replicated.server(name), Applied({}))
    yield proxy(world.with_tls(), Machine())


def test_no_argument_mark_or_name_holds_a_secret_and_every_secret_is_removed_by_the_job_that_reads_it(
    world: World,
) -> None:
    # A word that nothing else contains.
    world = world.but(password="hunter2hunter2", replication_password="c0py-that")
    secrets = ("hunter2hunter2", "pr1vate key", "c0py-that")
    seen = set()
    for found in every_step(world):
        for job in found.jobs:
            said = " ".join((job.name, job.call, *job.options(), repr(job)))
            assert not any(secret in said for secret in secrets), job
            if job.link is not None:
                # Made when the job's turn has come, and gone with it.
                assert job.link.path in job.remove
                assert job.link.path in job.arguments
        removed = {path: job for job in found.jobs for path in job.remove}
        for file in found.files:
            holds = {secret for secret in secrets if secret.encode() in file.content}
            seen |= holds
            if holds:
                assert file.mode == 0o600
                assert file.path in removed[file.path].arguments
            assert not any(secret in repr(file) for secret in secrets)
    assert seen == set(secrets)


def test_a_job_is_named_once_in_its_step_and_named_alike_by_the_same_facts(world: World) -> None:
    for found, again in itertools.zip_longest(every_step(world), every_step(world)):
        job_names = [job.name for job in found.jobs]
        assert len(set(job_names)) == len(job_names) > 0
        assert job_names == [job.name for job in again.jobs]
        assert found.files == again.files


def test_a_jobs_name_and_marks_are_words_that_the_server_accepts(world: World) -> None:
    for found in every_step(world):
        for job in found.jobs:
            keys = [*job.unmark, *([job.mark[0]] if job.mark else [])]
            for word in (job.name, *(part for key in keys for part in key.split("/"))):
                assert word
                assert set(word) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def test_files_are_put_only_where_nobody_but_root_can_plant_a_link() -> None:
    for path in (
        "/mnt/services/a1001/cfg/enstratus.cfg",
        "/enstratus/../etc/shadow",
        "/etc/passwd",
        "enstratus/x",
    ):
        with pytest.raises(ValueError, match="below /enstratus"):
            session.RemoteFile(path, b"")


def test_accounts_are_needed_only_where_they_are_used(world: World) -> None:
    known = dataclasses.replace(world.facts(), accounts={})
    assert (
        proxy(world, Machine()).files
        == load_balancer_work.start_proxy(known, FRONT, world.server("proxy-1"), {}).files
    )
    assert isinstance(known, server_facts.Facts)


# --- what a definition says more of a service ----------------------------------------------------------------


def test_a_further_port_is_balanced_beside_the_main_one_under_a_word_of_its_own(world: World) -> None:
    ports = "    ports: {web: {port: 8000, protocol: http}, admin: {port: 8001, protocol: http}}\n"
    text = world.text.replace("    port: 8000\n    protocol: http\n", ports)
    back = "  back: {tier: proxy, service: app, service_port: admin, name: admin.example.com}\n"
    world = world.but(text=text + back)
    known, machine = world.facts(), Machine()
    machine.carry_out(proxy(world, machine))
    found = load_balancer_work.start_proxy(
        known, names.BalancerName("back"), world.server("proxy-1"), machine.marks
    )
    assert found.jobs[0].call == "startProxy a1002.admin admin.example.com NONE 10.0.0.31 10.0.0.21 8001"
    machine.carry_out(found)
    machine.carry_out(load_balancer_work.stop_proxy(known.definition, FRONT, machine.marks))
    assert sorted(machine.marks) == ["proxy/a1002.admin/10.0.0.21", "proxy/a1002.admin/10.0.0.22"]


def test_scripts_are_told_a_services_own_customer_and_user(world: World) -> None:
    own = "  db:\n    customer_id: c200\n    user_id: alice\n"
    world = world.but(text=world.text.replace("  db:\n", own))
    assert install(world, Machine()).jobs[0].arguments[-3:-1] == ("c200", "alice")
    assert configure(world, Machine()).jobs[1].arguments == ("alice", "c200", "a1001")


def renewed(world: World) -> World:
    return world.but(certificate=dataclasses.replace(world.certificate, certificate="another one\n"))


def test_a_service_is_configured_with_its_certificate_and_again_only_when_it_is_renewed(world: World) -> None:
    world = world.with_tls()
    machine = Machine()
    found = configure(world, machine)
    address, *paths = found.jobs[1].arguments[3:]
    assert address == "db.example.com"
    assert [path.rpartition(".")[2] for path in paths] == ["crt", "key", "chain"]
    assert [file.path for file in found.files[1:]] == paths == list(found.jobs[1].remove)
    machine.carry_out(found)
    assert configure(world, machine) == Work()
    assert machine.carry_out(configure(renewed(world), machine)) == CONFIGURED
    elsewhere = world.but(text=world.text.replace("db.example.com", "sql.example.com"))
    assert machine.carry_out(configure(elsewhere, machine)) == CONFIGURED


def test_a_certificate_without_a_chain_is_two_files(world: World) -> None:
    world = world.with_tls()
    world = world.but(certificate=dataclasses.replace(world.certificate, chain=""))
    assert len(configure(world, Machine()).jobs[1].arguments) == 6
    assert len(proxy(world, Machine()).jobs[0].arguments) == 8


def test_nodes_join_with_the_certificate_which_goes_with_the_last_of_them(world: World) -> None:
    found = proxy(world.with_tls(), Machine())
    paths = tuple(file.path for file in found.files[1:])
    assert [path.rpartition(".")[2] for path in paths] == ["crt", "key", "chain"]
    assert [job.arguments[6:] for job in found.jobs] == [paths, paths]
    assert [job.remove for job in found.jobs] == [(), paths]
    assert b"port.1.publicPort=443\n" in found.files[0].content
    assert {job.name for job in found.jobs}.isdisjoint(
        job.name for job in proxy(renewed(world.with_tls()), Machine()).jobs
    )


def test_no_certificate_is_sent_where_nobody_joins(world: World) -> None:
    world = world.with_tls()
    none = world.but(
        addresses={name: at for name, at in world.addresses.items() if "application" not in name}
    )
    found = proxy(none, Machine())
    assert (len(found.files), found.jobs) == (1, ())


# --- replication ---------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Pair:
    """A replicated database: its master and a replicant."""

    world: World
    master: Machine = dataclasses.field(default_factory=Machine)
    replicant: Machine = dataclasses.field(default_factory=Machine)

    def step(self, decide: Callable[..., Work]) -> tuple[list[str], list[str]]:
        """What a step runs on the master, and on the replicant."""
        known = self.world.facts()
        master, replicant = (
            machine.carry_out(decide(known, DB, self.world.server(server), machine.applied()))
            for server, machine in (("database-1", self.master), ("database-2", self.replicant))
        )
        return master, replicant


@pytest.fixture
def pair(world: World) -> Pair:
    return Pair(world.replicated())


def test_the_master_is_configured_and_opened_before_the_replicants_have_their_turn(pair: Pair) -> None:
    assert pair.step(service_work.configure) == ([*CONFIGURED, "grantDatabaseAccess"], [])
    assert pair.step(service_work.configure_replicant) == ([], CONFIGURED)
    assert pair.step(service_work.configure) == pair.step(service_work.configure_replicant) == ([], [])


def test_with_configure_first_the_master_is_opened_after_its_restart(pair: Pair) -> None:
    pair.world = pair.world.but(
        text=pair.world.text.replace("    id: a1001\n", "    id: a1001\n    order: configure-first\n")
    )
    assert pair.step(service_work.configure) == (CONFIGURED[:2], [])
    assert pair.step(service_work.restart) == ([*RESTARTED, "grantDatabaseAccess"], [])
    assert pair.step(service_work.configure_replicant) == ([], CONFIGURED)


def test_datasources_are_loaded_on_the_master_only(pair: Pair) -> None:
    dumps = {CATALOG: archive("one", "s3://bookshop/datasource.sql")}
    known = pair.world.facts()
    scripts_on = [
        scripts(datasource_work.install_datasources(known, DB, pair.world.server(server), dumps, {}))
        for server in ("database-1", "database-2")
    ]
    assert scripts_on == [["installDataSource"], []]


def test_access_is_granted_on_master_and_replicants_alike(pair: Pair) -> None:
    known = pair.world.facts()
    for server in ("database-1", "database-2"):
        found = service_work.grant_access(known, DB, pair.world.server(server), APP, {})
        assert scripts(found) == ["grantDatabaseAccess"]
        assert f"serverId=bookshop-{server}\n".encode() in found.files[0].content


def test_one_more_replicant_is_let_in_without_a_restart_of_the_master(pair: Pair, world: World) -> None:
    pair.step(service_work.configure)
    pair.step(service_work.configure_replicant)
    pair.world = world.replicated(replicants=2)
    assert pair.step(service_work.configure) == (["grantDatabaseAccess"], [])
    assert pair.step(service_work.configure_replicant) == ([], [])


def test_another_replication_password_reaches_both_sides(pair: Pair) -> None:
    pair.step(service_work.configure)
    pair.step(service_work.configure_replicant)
    pair.world = pair.world.but(replication_password="another")
    assert pair.step(service_work.configure) == (["grantDatabaseAccess"], [])
    assert pair.step(service_work.configure_replicant) == ([], CONFIGURED)


def test_a_replicant_has_as_long_for_its_copy_as_a_datasource_for_its_load(pair: Pair) -> None:
    known = pair.world.facts()
    found = service_work.configure_replicant(known, DB, pair.world.server("database-2"), Applied({}))
    timeouts = {job.script: job.timeout for job in found.jobs}
    assert timeouts["configureService"] == known.definition.timeouts.install_datasources.total_seconds()
    assert timeouts["startService"] == known.definition.timeouts.configure.total_seconds()
