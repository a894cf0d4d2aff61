"""The bookshop's database on several servers: a master, and MariaDB replicants that copy and follow it."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest

from gantry.archive import BuiltArchive

from .servers import DATABASE_ID, Result, Server, until

pytestmark = pytest.mark.docker

SOCKET = f"/mnt/services/{DATABASE_ID}/run/mariadb.sock"
PASSWORD = """p=a's"s\\w`o;r$(id)d --"""
REPLICATION_PASSWORD = """c=o'p"y\\it$(id)#`"""
DUMP = "CREATE TABLE book (id INT PRIMARY KEY);\nINSERT INTO book VALUES (1), (2);\n"
IDENTITY = "[enStratus]\nserviceId=a1001\ncustomerId=c100\nname=db\nrunAsUser=c100\nport.1.privatePort=3306\n"


class Instance:
    """The database service on one server."""

    def __init__(self, server: Server, archive: BuiltArchive) -> None:
        self.server = server
        server.install(archive, DATABASE_ID)

    def attempt(self, name: str, *arguments: str) -> Result:
        return self.server.script(DATABASE_ID, name, *arguments)

    def script(self, name: str, *arguments: str) -> str:
        result = self.attempt(name, *arguments)
        assert result.code == 0, f"{name}: exit {result.code}\n{result.out}{result.err}"
        return result.out

    def load(self, dump: str) -> None:
        facts = self.server.write("/tmp/ds.cfg", f"{IDENTITY}dataSource=catalog\ndatabase=shop_catalog\n")
        self.script("installDataSource", DATABASE_ID, facts, self.server.write("/tmp/ds.sql", dump))

    def configure(self, primary: Instance, **more: str) -> Result:
        """As a master where `primary` is this very instance, else as its replicant."""
        role = "master" if primary is self else "replicant"
        facts = {
            "role": role,
            "addresses": self.server.address,
            "primaryAddress": primary.server.address,
            "replication.user": "copier",
            **({"replication.password": REPLICATION_PASSWORD} if role == "replicant" else {}),
            **more,
        }
        text = IDENTITY + "".join(f"{key}={value}\n" for key, value in facts.items())
        path = self.server.write(f"/mnt/services/{DATABASE_ID}/cfg/enstratus.cfg", text)
        return self.attempt("configure", DATABASE_ID, path)

    def restart(self) -> None:
        self.script("stop")
        self.script("start")

    def let_in(self, *replicants: Instance, password: str = REPLICATION_PASSWORD) -> str:
        """What a master is handed when its replicants have changed."""
        addresses = ",".join(each.server.address for each in replicants)
        text = (
            f"{IDENTITY}role=master\nreplication.user=copier\nreplication.password={password}\n"
            f"replication.replicants={addresses}\n"
        )
        return self.script("grantDatabaseAccess", DATABASE_ID, self.server.write("/tmp/let-in.cfg", text))

    def grant(self, client: Server) -> None:
        """Open the catalogue for an application server."""
        text = (
            f"{IDENTITY}dataSource=catalog\ndatabase=shop_catalog\nuser=shop\npassword={PASSWORD}\n"
            f"grantee=app\naddresses={client.address}\n"
        )
        self.script("grantDatabaseAccess", DATABASE_ID, self.server.write("/tmp/grant.cfg", text))

    def sql(self, statement: str) -> list[str]:
        client = f"mariadb -S {SOCKET} -u root -N -B"
        return self.server.run(f"printf '%s' {shlex.quote(statement)} | {client}").splitlines()

    def books(self) -> list[str]:
        return self.sql("SELECT id FROM shop_catalog.book ORDER BY id")

    def accounts(self, user: str) -> list[str]:
        return self.sql(f"SELECT Host FROM mysql.user WHERE User = '{user}' ORDER BY 1")

    def pid(self) -> str:
        return self.server.run(f"cat /mnt/services/{DATABASE_ID}/run/mariadb.pid")


Make = Callable[[str], Instance]


@pytest.fixture(scope="module")
def make(make_server: Callable[[str], Server], archives: dict[str, BuiltArchive]) -> Make:
    return lambda name: Instance(make_server(name), archives[DATABASE_ID])


def running_master(instance: Instance, dump: str = DUMP) -> Instance:
    """A master with its data, in the launch's order."""
    instance.load(dump)
    assert instance.configure(instance).code == 0
    instance.restart()
    assert instance.script("check") == "OK\n"
    return instance


def running_replicant(instance: Instance, master: Instance) -> Instance:
    result = instance.configure(master)
    assert result.code == 0, result.err
    instance.restart()
    assert instance.script("check") == "OK\n"
    return instance


@pytest.fixture(scope="module")
def master(make: Make) -> Instance:
    return running_master(make("master"))


@pytest.fixture(scope="module")
def replicant(make: Make, master: Instance) -> Instance:
    """A replicant, made when the master has been written to already."""
    master.sql("INSERT INTO shop_catalog.book VALUES (3)")
    found = make("replicant-1")
    master.let_in(found)
    return running_replicant(found, master)


@pytest.fixture(scope="module")
def client(make_server: Callable[[str], Server]) -> Server:
    return make_server("reader")


def follows(replicant: Instance, master: Instance) -> None:
    until(lambda: replicant.books() == master.books(), "the replicant has what the master has")


def test_a_replicant_has_what_was_there_and_gets_what_is_written_after(
    master: Instance, replicant: Instance
) -> None:
    assert replicant.books() == ["1", "2", "3"]
    master.sql("INSERT INTO shop_catalog.book VALUES (4); DELETE FROM shop_catalog.book WHERE id = 1")
    until(lambda: replicant.books() == ["2", "3", "4"], "rows written on the master are on the replicant")


def test_the_servers_settings_are_those_of_their_roles(master: Instance, replicant: Instance) -> None:
    ids = [each.sql("SELECT @@server_id, @@log_bin, @@read_only") for each in (master, replicant)]
    assert [row.split("\t")[1:] for (row,) in ids] == [["1", "0"], ["0", "1"]]
    octets = [int(part) for part in master.server.address.split(".")]
    assert int(ids[0][0].split("\t")[0]) == int.from_bytes(bytes(octets))
    assert ids[0] != ids[1]


def test_applications_read_from_both_and_write_to_the_master_alone(
    master: Instance, replicant: Instance, client: Server
) -> None:
    for each in (master, replicant):
        each.grant(client)
    password = PASSWORD.replace("\\", "\\\\")
    path = client.write("/tmp/client.cnf", f'[client]\nuser=shop\npassword="{password}"\n')

    def ask(instance: Instance, statement: str) -> Result:
        address = instance.server.address
        return client.attempt(f"mariadb --defaults-file={path} -h {address} -N shop_catalog -e '{statement}'")

    assert ask(replicant, "SELECT COUNT(*) FROM book").out == ask(master, "SELECT COUNT(*) FROM book").out
    assert "read-only" in ask(replicant, "INSERT INTO book VALUES (9)").err
    assert ask(master, "INSERT INTO book VALUES (9)").code == 0
    follows(replicant, master)


def test_accounts_are_each_servers_own(master: Instance, replicant: Instance, client: Server) -> None:
    assert master.accounts("copier") == [replicant.server.address]
    assert replicant.accounts("copier") == []
    master.sql("DELETE FROM shop_catalog.book WHERE id = 9")
    follows(replicant, master)
    assert replicant.accounts("c100") == master.accounts("c100") == []


def test_a_new_dump_on_the_master_replaces_the_data_on_the_replicant_too(
    master: Instance, replicant: Instance
) -> None:
    master.load("CREATE TABLE book (id INT PRIMARY KEY);\nINSERT INTO book VALUES (11), (12);\n")
    until(lambda: replicant.books() == ["11", "12"], "the new data have arrived")
    assert replicant.sql("SHOW DATABASES LIKE 'shop_catalog%'") == ["shop_catalog", "shop_catalog__previous"]
    assert replicant.script("check") == "OK\n"


def test_a_replicant_that_was_down_catches_up(master: Instance, replicant: Instance) -> None:
    replicant.script("stop")
    master.sql("INSERT INTO shop_catalog.book VALUES (13)")
    master.restart()
    master.sql("INSERT INTO shop_catalog.book VALUES (14)")
    replicant.script("start")
    assert replicant.script("check") == "OK\n"
    until(lambda: replicant.books()[-2:] == ["13", "14"], "the replicant has caught up")


def test_configuring_again_copies_nothing_again(master: Instance, replicant: Instance) -> None:
    result = replicant.configure(master)
    assert (result.code, "is a copy of the master" in result.out) == (0, True)
    assert "copying" not in result.out
    follows(replicant, master)
    assert replicant.script("check") == "OK\n"


def test_one_more_replicant_is_added_while_the_master_goes_on(
    make: Make, master: Instance, replicant: Instance
) -> None:
    before = master.pid()
    more = make("replicant-2")
    refused = more.configure(master)
    assert refused.code == 7
    assert f"cannot ask the master at {master.server.address} as copier" in refused.err
    master.let_in(replicant, more)
    running_replicant(more, master)
    assert more.books() == master.books()
    master.sql("INSERT INTO shop_catalog.book VALUES (15)")
    for each in (replicant, more):
        follows(each, master)
    assert master.pid() == before

    master.let_in(replicant)
    assert master.accounts("copier") == [replicant.server.address]
    until(lambda: "cannot read from its master" in more.attempt("check").out, "who is not let in says so")


def test_another_password_is_taken_over(master: Instance, replicant: Instance) -> None:
    master.let_in(replicant, password="another one")
    assert replicant.configure(master, **{"replication.password": "another one"}).code == 0
    replicant.restart()
    assert replicant.script("check") == "OK\n"


def test_a_copy_that_broke_off_is_made_anew(master: Instance, replicant: Instance) -> None:
    master.let_in(replicant)
    replicant.script("stop")
    replicant.script("start")
    replicant.sql("STOP SLAVE; UPDATE enstratus.replica SET complete = FALSE; CREATE DATABASE half")
    assert replicant.attempt("check").code == 1
    assert "copied the master" in replicant.configure(master).out
    assert replicant.sql("SHOW DATABASES LIKE 'half'") == []
    follows(replicant, master)
    assert replicant.script("check") == "OK\n"


def test_a_master_that_is_down_is_named_by_the_check(master: Instance, replicant: Instance) -> None:
    master.script("stop")
    answer = replicant.attempt("check")
    assert answer.code == 1
    assert "cannot read from its master (Connecting): " in answer.out
    assert master.server.address in answer.out
    master.script("start")
    assert replicant.script("check") == "OK\n"


def test_another_master_does_not_replace_what_may_be_all_that_is_left(
    make: Make, master: Instance, replicant: Instance
) -> None:
    other = running_master(make("other-master"))
    other.let_in(replicant, master)
    before = replicant.books()
    refused = replicant.configure(other)
    assert refused.code == 7
    assert "is not the instance that this is a copy of" in refused.err
    assert replicant.books() == before
    refused = master.configure(other)
    assert refused.code == 7
    assert "has datasources of its own" in refused.err


WRONG_FACTS = {
    "role=slave is neither master nor replicant": {"role": "slave"},
    "primaryAddress= is missing": {"primaryAddress": ""},
    "replication.user= is missing": {"replication.user": ""},
    "replication.password= is missing or empty": {"replication.password": ""},
}


def test_facts_that_cannot_be_right_are_refused(make: Make, master: Instance, replicant: Instance) -> None:
    for complaint, facts in WRONG_FACTS.items():
        result = replicant.configure(master, **facts)
        assert (result.code, complaint in result.err) == (2, True), result.err


def test_no_password_is_left_in_a_log_or_a_file_of_the_agents_own(
    master: Instance, replicant: Instance
) -> None:
    home = f"/mnt/services/{DATABASE_ID}"
    for each in (master, replicant):
        found = each.server.attempt(
            f"grep -rlF -e {shlex.quote(REPLICATION_PASSWORD)} {home}/log {home}/run {home}/cfg/my.cnf /root"
        )
        assert found.out == ""
