"""The database service of the bookshop, on a server: its scripts, called as the agent calls them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gantry.agent.agent_bundle import bundle
from gantry.archive import BuiltArchive

from .servers import BOOKSHOP, DATABASE_ID, Result, Server, until

pytestmark = pytest.mark.docker

SOCKET = f"/mnt/services/{DATABASE_ID}/run/mariadb.sock"
PASSWORD = """p=a's"s\\w`o;r$(id)d --"""
SMALL_DUMP = "CREATE TABLE book (id INT PRIMARY KEY);\nINSERT INTO book VALUES (1), (2);\n"
DATASOURCE_FACTS = """[enStratus]
serviceId=a1001
customerId=c100
runAsUser=c100
privatePort=3306
dataSource=catalog
database=shop_catalog
"""


def zipped() -> bytes:
    """A dump in a zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("dump.sql", SMALL_DUMP)
    return file.getvalue()


class Database:
    """The service, freshly installed on a server of its own."""

    def __init__(self, server: Server, archive: BuiltArchive) -> None:
        self.server = server
        server.install(archive, DATABASE_ID)
        self.datasource_facts = server.write("/tmp/datasource.cfg", DATASOURCE_FACTS)
        self.facts = server.write(
            f"/mnt/services/{DATABASE_ID}/cfg/enstratus.cfg",
            "# made by hand\n[enStratus]\nserviceId=a1001\ncustomerId=c100\nname=db-1\nrunAsUser=c100\n"
            f"role=master\naddresses=203.0.113.7,{server.address}\nport.1.privatePort=3306\ndataSources=catalog\n"
            "[custom]\nrunAsUser=nobody\n",
        )

    def script(self, name: str, *arguments: str) -> str:
        result = self.attempt(name, *arguments)
        assert result.code == 0, f"{name}: exit {result.code}\n{result.out}{result.err}"
        return result.out

    def attempt(self, name: str, *arguments: str) -> Result:
        return self.server.script(DATABASE_ID, name, *arguments)

    def load(self, dump: str) -> Result:
        path = self.server.write("/tmp/datasource.sql", dump)
        return self.attempt("installDataSource", DATABASE_ID, self.datasource_facts, path)

    def configure(self) -> str:
        return self.script("configure", DATABASE_ID, self.facts)

    def change_access(self, name: str, addresses: str, **facts: str) -> str:
        facts = {"user": "shop", "password": PASSWORD, "grantee": "app", "addresses": addresses} | facts
        lines = "".join(f"{key}={value}\n" for key, value in facts.items())
        path = self.server.write("/tmp/access.cfg", DATASOURCE_FACTS + lines)
        return self.script(f"{name}DatabaseAccess", DATABASE_ID, path)

    def sql(self, statement: str) -> list[str]:
        client = f"mariadb -S {SOCKET} -u root -N -B"
        return self.server.run(f"printf '%s' {shlex.quote(statement)} | {client}").splitlines()

    def accounts(self) -> list[str]:
        return self.sql("SELECT CONCAT(User, '@', Host) FROM mysql.user ORDER BY 1")

    def schemas(self) -> list[str]:
        return [name for name in self.sql("SHOW DATABASES") if name.startswith("shop_catalog")]


OWN_ACCOUNTS = ["mariadb.sys@localhost", "root@localhost"]


@pytest.fixture(scope="module")
def make_database(
    make_server: Callable[[str], Server], archives: dict[str, BuiltArchive]
) -> Callable[[str], Database]:
    return lambda name: Database(make_server(name), archives[DATABASE_ID])


@pytest.fixture(scope="module")
def database(make_database: Callable[[str], Database]) -> Database:
    """A database that was configured before its datasource was installed."""
    running = make_database("configure-first")
    running.configure()
    assert running.load(SMALL_DUMP).code == 0
    running.script("stop")
    running.script("start")
    return running


@pytest.fixture
def fresh(database: Database) -> Database:
    """The same database with what earlier tests did taken back."""
    database.sql(
        "DROP DATABASE IF EXISTS shop_catalog; DROP DATABASE IF EXISTS shop_catalog__previous;"
        "DELETE FROM enstratus.access; DELETE FROM enstratus.datasource;"
        "DELETE FROM mysql.global_priv WHERE user NOT IN ('root', 'mariadb.sys');"
        "DELETE FROM mysql.db; FLUSH PRIVILEGES;"
    )
    return database


@pytest.fixture(scope="module")
def client(make_server: Callable[[str], Server]) -> Server:
    return make_server("client")


def select_from(client: Server, database: Database, statement: str = "SELECT COUNT(*) FROM book") -> Result:
    path = client.write(
        "/tmp/client.cnf", f'[client]\nuser=shop\npassword="{PASSWORD}"\n'.replace("\\", "\\\\")
    )
    return client.attempt(
        f'mariadb --defaults-file={path} -h {database.server.address} -N -B shop_catalog -e "{statement}"'
    )


def test_the_page_order_loads_the_catalogue_configures_and_restarts(
    make_database: Callable[[str], Database], tmp_path: Path
) -> None:
    database = make_database("page-order")
    dump = tmp_path / "datasource.sql"
    subprocess.run([sys.executable, BOOKSHOP / "datasources/make_catalog.py", dump], check=True)
    assert database.attempt("check").out == "not configured: there is no my.cnf\n"

    assert "loaded as shop_catalog" in database.load(dump.read_text()).out
    assert "socket only" in database.attempt("check").out
    assert f"bind-address = {database.server.address}" in database.configure()
    database.script("stop")
    assert database.attempt("check").out == "MariaDB does not run\n"
    database.script("start")

    assert database.attempt("check") == Result(0, "OK\n", "")
    assert database.sql("SELECT COUNT(*) FROM shop_catalog.book") == ["5000"]
    assert database.accounts() == OWN_ACCOUNTS
    assert database.schemas() == ["shop_catalog"]
    listening = database.server.run("ss -Htln | awk '{print $4}' | grep -v '^127.0.0.11:'")
    assert listening == f"{database.server.address}:3306"
    assert set(database.server.run("ps -C mariadbd -o user=").split()) == {"c100"}
    assert "is as it should be" in database.configure()


def test_configuring_first_works_too_and_the_data_survive_a_new_install(
    database: Database, archives: dict[str, BuiltArchive]
) -> None:
    assert database.attempt("check").out == "OK\n"

    database.script("stop")
    database.script("stop")
    database.server.install(archives[DATABASE_ID], DATABASE_ID)
    database.configure()
    database.script("start")
    database.script("start")
    assert database.sql("SELECT COUNT(*) FROM shop_catalog.book") == ["2"]


BROKEN_DUMPS = {
    "ERROR 1146 (42S02) at line 3: Table": SMALL_DUMP + "INSERT INTO boook VALUES (3);\n",
    "ERROR 1064 (42000) at line 3": SMALL_DUMP + "INSERT INTO book VALUES ('3",
    "is it cut off?": SMALL_DUMP + "/* more to",
    "ERROR 1044 (42000) at line 3: Access denied": SMALL_DUMP + "USE enstratus;\nDELETE FROM datasource;\n",
    "more than tables": SMALL_DUMP + "CREATE VIEW titles AS SELECT id FROM book;\n",
    "makes no table": "-- nothing\n",
}


def test_a_dump_with_an_error_leaves_nothing_and_a_mended_one_is_loaded(fresh: Database) -> None:
    for complaint, dump in BROKEN_DUMPS.items():
        result = fresh.load(dump)
        assert result.code == 5
        assert complaint in result.err
        assert fresh.schemas() == []
    assert fresh.accounts() == OWN_ACCOUNTS
    assert fresh.attempt("check").out == "no datasource has been loaded\n"

    assert fresh.load(SMALL_DUMP).code == 0
    assert fresh.sql("SELECT COUNT(*) FROM shop_catalog.book") == ["2"]
    assert fresh.attempt("check").out == "OK\n"


def test_a_dump_cannot_run_commands_on_the_server(fresh: Database) -> None:
    fresh.load(SMALL_DUMP + "\\! touch /tmp/taken-over\n")
    fresh.server.run("test ! -e /tmp/taken-over")


def test_the_same_dump_again_keeps_what_has_been_sold_since(fresh: Database) -> None:
    fresh.load(SMALL_DUMP)
    fresh.sql("DELETE FROM shop_catalog.book WHERE id = 1")
    assert "loaded in shop_catalog already" in fresh.load(SMALL_DUMP).out
    assert fresh.sql("SELECT id FROM shop_catalog.book") == ["2"]


def test_a_broken_new_dump_keeps_the_old_data_and_a_good_one_replaces_them(fresh: Database) -> None:
    fresh.load(SMALL_DUMP)
    assert fresh.load("CREATE TABLE book (id INT);\nNONSENSE;\n").code == 5
    assert fresh.sql("SELECT id FROM shop_catalog.book") == ["1", "2"]

    parent = "CREATE TABLE author (id INT PRIMARY KEY);\nCREATE TABLE book (id INT, a INT, FOREIGN KEY (a) "
    for number in ("7", "8"):
        dump = f"{parent} REFERENCES author (id));\nINSERT INTO book VALUES ({number}, NULL);\n"
        assert fresh.load(dump).code == 0
    assert fresh.sql("SELECT id FROM shop_catalog.book") == ["8"]
    assert fresh.sql("SELECT id FROM shop_catalog__previous.book") == ["7"]


@pytest.fixture(scope="module")
def agent(database: Database) -> str:
    """The agent's scripts on the database's server; their folder."""
    for file in bundle().files:
        database.server.write(f"/enstratus/{file.path}", file.content, file.mode)
    return "/enstratus/bin"


UTF16 = "have mariadb-dump write it (--result-file=FILE), or convert it: iconv -f UTF-16 -t UTF-8"
ODD_DUMPS: dict[str, tuple[bytes, str]] = {
    "in gzip": (gzip.compress(SMALL_DUMP.encode()), ""),
    "in bzip2": (bz2.compress(SMALL_DUMP.encode()), ""),
    "with a byte order mark": (b"\xef\xbb\xbf" + SMALL_DUMP.encode(), ""),
    "with Windows line ends": (SMALL_DUMP.replace("\n", "\r\n").encode(), ""),
    "with the first line of a newer mariadb-dump": (
        b"/*!999999\\- enable the sandbox mode */ \n" + SMALL_DUMP.encode(),
        "",
    ),
    "in gzip that is cut off": (gzip.compress(SMALL_DUMP.encode())[:-12], "unexpected end of file"),
    "in UTF-16": (SMALL_DUMP.encode("utf-16"), UTF16),
    "in UTF-16 in gzip": (gzip.compress(SMALL_DUMP.encode("utf-16")), UTF16),
    "that is empty": (b"", "the dump is empty"),
    "of PostgreSQL": (b"PGDMP" + bytes(range(1, 60)), "the dump is PostgreSQL's"),
    "that is an archive": (zipped(), "the dump is no SQL, it is zip"),
    "in xz, which is not on the server": (
        lzma.compress(SMALL_DUMP.encode()),
        "packed by xz, which is not on this server",
    ),
    "of MySQL 8": (
        b"CREATE TABLE book (id INT) COLLATE=utf8mb4_0900_ai_ci;\n",
        "Unknown collation: 'utf8mb4_0900_ai_ci'",
    ),
    "whose first line is a warning": (
        b"mysqldump: [Warning] Using a password on the command line interface can be insecure.\n"
        + SMALL_DUMP.encode(),
        "You have an error in your SQL syntax",
    ),
}


@pytest.mark.parametrize("kind", ODD_DUMPS)
def test_a_dump_is_loaded_or_named_and_never_half_loaded(fresh: Database, agent: str, kind: str) -> None:
    content, said = ODD_DUMPS[kind]
    dump = fresh.server.write("/tmp/odd.sql", content)
    loaded = fresh.server.attempt(f"{agent}/installDataSource {DATABASE_ID} {fresh.datasource_facts} {dump}")
    if said:
        assert loaded.code != 0
        assert said.lower() in (loaded.out + loaded.err).lower()
        assert fresh.schemas() == []
    else:
        assert loaded.code == 0, loaded.err
        assert fresh.sql("SELECT COUNT(*) FROM shop_catalog.book") == ["2"]


def test_a_backup_of_a_packed_dump_is_packed_and_is_loaded_again(fresh: Database, agent: str) -> None:
    assert fresh.load(SMALL_DUMP).code == 0
    file, facts = "/tmp/backup.sql.gz", fresh.datasource_facts
    fresh.server.run(f"{agent}/backupDataSource {DATABASE_ID} catalog {facts} {file} && gzip -t {file}")
    fresh.sql("DROP DATABASE shop_catalog")
    fresh.server.run(f"echo restore=yes >>{facts} && {agent}/installDataSource {DATABASE_ID} {facts} {file}")
    assert fresh.sql("SELECT COUNT(*) FROM shop_catalog.book") == ["2"]
    fresh.server.write(facts, DATASOURCE_FACTS)


def test_a_vanished_datasource_is_noticed(fresh: Database) -> None:
    fresh.load(SMALL_DUMP)
    fresh.sql("DROP DATABASE shop_catalog")
    assert fresh.attempt("check") == Result(1, "datasource missing: catalog\n", "")


def test_access_is_exactly_the_application_servers_addresses(fresh: Database, client: Server) -> None:
    fresh.load(SMALL_DUMP)
    fresh.sql("CREATE USER shop@'%' IDENTIFIED BY 'by hand'")
    fresh.change_access("grant", f"192.0.2.8,{client.address}")
    assert fresh.accounts() == sorted([*OWN_ACCOUNTS, "shop@192.0.2.8", f"shop@{client.address}"])
    assert select_from(client, fresh).out == "2\n"
    assert "denied" in select_from(client, fresh, "DROP TABLE book").err

    fresh.change_access("grant", "192.0.2.9")
    assert fresh.accounts() == sorted([*OWN_ACCOUNTS, "shop@192.0.2.9"])
    assert "Access denied for user 'shop'" in select_from(client, fresh).err


def test_revoking_drops_the_accounts_and_ends_their_connections(fresh: Database, client: Server) -> None:
    fresh.load(SMALL_DUMP)
    fresh.change_access("grant", f"192.0.2.8,{client.address}")
    select_from(client, fresh)  # writes the client's file
    client.spawn(f"mariadb --defaults-file=/tmp/client.cnf -h {fresh.server.address} -e 'SELECT SLEEP(60)'")
    connected = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'shop'"
    until(lambda: fresh.sql(connected) == ["1"], "the client is connected")

    fresh.change_access("revoke", client.address)
    assert fresh.accounts() == sorted([*OWN_ACCOUNTS, "shop@192.0.2.8"])
    until(lambda: fresh.sql(connected) == ["0"], "the client's connection has ended")
    fresh.change_access("revoke", "")
    fresh.change_access("revoke", "")
    assert fresh.accounts() == OWN_ACCOUNTS


def test_two_dependent_services_with_one_account_keep_their_own_addresses(
    fresh: Database, client: Server
) -> None:
    fresh.load(SMALL_DUMP)
    fresh.change_access("grant", f"192.0.2.1,{client.address}", grantee="app")
    fresh.change_access("grant", f"192.0.2.2,{client.address}", grantee="reports")
    assert fresh.accounts() == sorted(
        [*OWN_ACCOUNTS, "shop@192.0.2.1", "shop@192.0.2.2", f"shop@{client.address}"]
    )
    fresh.change_access("revoke", "", grantee="reports")
    assert fresh.accounts() == sorted([*OWN_ACCOUNTS, "shop@192.0.2.1", f"shop@{client.address}"])
    assert select_from(client, fresh).out == "2\n"


WRONG_FACTS = {
    "user=root is an account of the database itself": "user=root\npassword=x\naddresses=\n",
    "password= is missing or empty": "user=shop\naddresses=192.0.2.1\n",
    "addresses= may hold addresses and commas only": "user=shop\npassword=x\naddresses=192.0.2.%\n",
    "addresses= is missing": "user=shop\npassword=x\n",
}


def test_facts_that_cannot_be_right_are_refused(fresh: Database) -> None:
    for complaint, facts in WRONG_FACTS.items():
        path = fresh.server.write("/tmp/wrong.cfg", DATASOURCE_FACTS + facts)
        result = fresh.attempt("grantDatabaseAccess", DATABASE_ID, path)
        assert result.code == 2
        assert complaint in result.err
    assert fresh.accounts() == OWN_ACCOUNTS


def test_no_password_is_ever_seen_in_an_argument_list(fresh: Database) -> None:
    fresh.load(SMALL_DUMP)
    fresh.server.write(
        "/tmp/watch.py",
        "import glob, sys\n"
        "print('watching', flush=True)\n"
        "seen = set()\n"
        "while not glob.glob('/tmp/watched'):\n"
        "    for path in glob.glob('/proc/[0-9]*/cmdline'):\n"
        "        try:\n"
        "            seen.add(open(path, 'rb').read().replace(b'\\0', b' '))\n"
        "        except OSError:\n"
        "            pass\n"
        "sys.stdout.buffer.write(b'\\n'.join(seen))\n"
        "print('\\nended')\n",
    )
    fresh.server.spawn("python3 /tmp/watch.py > /tmp/seen")
    until(lambda: "watching" in fresh.server.run("cat /tmp/seen"), "the watcher looks")
    for number in range(3):
        fresh.change_access("grant", f"192.0.2.{number}")
    fresh.change_access("revoke", "")
    fresh.server.run("touch /tmp/watched")
    until(lambda: "\nended" in fresh.server.run("cat /tmp/seen"), "the watcher has ended")
    seen = fresh.server.run("cat /tmp/seen")
    assert f"mariadb --no-defaults --socket={SOCKET}" in seen
    assert PASSWORD not in seen
    assert PASSWORD.encode().hex() not in seen
    log = fresh.server.run(f"cat /mnt/services/{DATABASE_ID}/log/*")
    assert PASSWORD not in log


def test_no_link_and_no_setting_of_the_services_user_is_roots(fresh: Database) -> None:
    home = f"/mnt/services/{DATABASE_ID}"
    fresh.configure()
    fresh.script("start")
    fresh.script("stop")
    fresh.server.run("echo untouched > /root/secret; chmod 600 /root/secret")
    plant = fresh.server.write(
        "/tmp/plant.sh",
        f"cd {home}\n"
        "for name in run/mariadb.pid run/lock run/dumped cfg/my.cnf.new log/install.log; do\n"
        "    ln -sf /root/secret $name\n"
        "done\n"
        # What root's clients would read, and load.
        "sed 's|^\\[client\\]|[client]\\nplugin-dir = /tmp/evil|' cfg/master.cnf > cfg/x && mv cfg/x cfg/master.cnf\n",
    )
    fresh.server.run(f"chmod 644 {plant} && setpriv --reuid=c100 --regid=c100 --clear-groups sh {plant}")
    assert (
        "Permission denied"
        in fresh.server.attempt(
            f"setpriv --reuid=c100 --regid=c100 --clear-groups sh -c 'echo >> {home}/lib/service.sh'"
        ).err
    )
    for name in ("configure", "start", "check", "stop"):
        fresh.attempt(name, *((DATABASE_ID, fresh.facts) if name == "configure" else ()))
    assert fresh.server.run("cat /root/secret; stat -c %U:%a /root/secret").split() == [
        "untouched",
        "root:600",
    ]
