"""The application service of the bookshop: what a visitor, the balancer and the agent see."""

from __future__ import annotations

import concurrent.futures
import json
from collections.abc import Callable

import pytest

from gantry.archive import BuiltArchive

from .servers import APPLICATION_ID, Result, Server, until

pytestmark = pytest.mark.docker

GREETING = """Hello from <b>app-1</b> & "friends" $server"""
PASSWORD = "s=e'cret"
CATALOG = """
SET NAMES utf8mb4;
CREATE DATABASE shop;
CREATE TABLE shop.author (id INT PRIMARY KEY, name VARCHAR(99));
CREATE TABLE shop.book (id INT PRIMARY KEY, title VARCHAR(99), author_id INT, price DECIMAL(6,2));
INSERT INTO shop.author VALUES (1, 'Ada Ström'), (2, 'Ben <Dun>');
INSERT INTO shop.book VALUES (1, '100% Rain', 1, 9.90), (2, 'Bread & Bees', 2, 12.00), (3, 'Kites', 1, 7.49);
CREATE USER shop@localhost IDENTIFIED BY 's=e''cret';
GRANT SELECT ON shop.* TO shop@localhost;
"""
_HOLDER = "SELECT CONCAT('KILL ', id) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'"
UNLOCK = f'mariadb -BNe "{_HOLDER}" | mariadb'
"""Ends whoever holds the lock, and it with them."""


class Shop:
    """The application and, on the same server for short, a database that it reads."""

    def __init__(self, server: Server, archive: BuiltArchive) -> None:
        self.server = server
        server.install(archive, APPLICATION_ID)
        server.run("mkdir -p /run/mysqld && chown mysql /run/mysqld")
        self.start_database()
        path = server.write("/tmp/catalog.sql", CATALOG)
        server.run(f"mariadb < {path}")

    def start_database(self) -> None:
        self.server.spawn("exec mariadbd --user=mysql --bind-address=127.0.0.1 >/tmp/mariadb.log 2>&1")
        until(lambda: self.server.attempt("mariadb -e 'SELECT 1'").code == 0, "the database answers")

    def configure(self, password: str = PASSWORD, greeting: str = GREETING) -> Result:
        facts = self.server.write(
            f"/mnt/services/{APPLICATION_ID}/cfg/enstratus.cfg",
            "[enStratus]\nserviceId=a1002\ncustomerId=c100\nserverId=bookshop-application-1\nname=app\nrunAsUser=c100\n"
            "port.1.privatePort=8000\ndependencies=DATA_SOURCE-1\n"
            "dependency.DATA_SOURCE-1.dependencyType=DATA_SOURCE\ndependency.DATA_SOURCE-1.readHosts=127.0.0.1\n"
            "dependency.DATA_SOURCE-1.database=shop\ndependency.DATA_SOURCE-1.user=shop\n"
            f"dependency.DATA_SOURCE-1.password={password}\n[custom]\ngreeting={greeting}\nserverId=not this one\n",
        )
        return self.script("configure", APPLICATION_ID, facts)

    def script(self, name: str, *arguments: str) -> Result:
        return self.server.script(APPLICATION_ID, name, *arguments)

    def get(self, path: str) -> str:
        return self.server.run(f"curl --silent --include --globoff 'http://{self.server.address}:8000{path}'")


@pytest.fixture(scope="module")
def installed(make_server: Callable[[str], Server], archives: dict[str, BuiltArchive]) -> Shop:
    return Shop(make_server("shop"), archives[APPLICATION_ID])


@pytest.fixture
def shop(installed: Shop) -> Shop:
    """The application, configured and running."""
    assert installed.configure().code == 0
    started = installed.script("start")
    assert started.code == 0, started.err
    return installed


def test_the_page_shows_the_rows_the_server_and_the_greeting_as_text(shop: Shop) -> None:
    answer = shop.get("/")
    assert "HTTP/1.0 200" in answer
    assert "X-Served-By: bookshop-application-1" in answer
    assert "Hello from &lt;b&gt;app-1&lt;/b&gt; &amp; &quot;friends&quot; $server" in answer
    assert "<td>Bread &amp; Bees</td><td>Ben &lt;Dun&gt;</td><td>12.00 €</td>" in answer
    assert "3 of 3 books" in answer


def test_a_search_takes_what_was_typed_as_text(shop: Shop) -> None:
    answer = shop.get("/?q=%25%22%3E%3Cscript")
    assert "No book matches." in answer
    assert 'value="%&quot;&gt;&lt;script"' in answer
    answer = shop.get("/?q=0%25")
    assert "100% Rain" in answer
    assert "1 of 1 books" in answer


def test_the_books_come_as_json_too(shop: Shop) -> None:
    body = json.loads(shop.get("/books.json?limit=2").split("\r\n\r\n")[1])
    assert body["count"] == 3
    assert body["books"][0] == {"id": 1, "title": "100% Rain", "author": "Ada Ström", "price": 9.9}
    assert len(body["books"]) == 2
    for wrong in ("0", "-1", "1001", "x", "9" * 5000):
        assert "400 Bad Request" in shop.get(f"/books.json?limit={wrong}")
    assert "404 Not Found" in shop.get("/../etc/passwd")


def test_it_is_healthy_only_when_the_database_answers(shop: Shop) -> None:
    assert shop.get("/health").endswith("\r\n\r\nOK")
    assert shop.script("check") == Result(0, "OK\n", "")
    shop.server.run("mariadb-admin shutdown")
    try:
        assert "503 Service Unavailable" in shop.get("/health")
        checked = shop.script("check")
        assert (checked.code, checked.out) == (1, "/health: 503 The catalogue is not available.\n")
        assert "Can't connect to MySQL server" in shop.server.run(
            f"tail -n 3 /mnt/services/{APPLICATION_ID}/log/*"
        )
    finally:
        shop.start_database()
    assert shop.script("check").out == "OK\n"


def test_it_runs_as_the_customers_user_and_keeps_the_password_to_itself(shop: Shop) -> None:
    home = f"/mnt/services/{APPLICATION_ID}"
    assert shop.server.run(f"ps -o user= -p $(cat {home}/run/bookshop.pid)") == "c100"
    assert shop.server.run(f"stat -c '%a %U %G' {home}/cfg/app.json") == "640 c100 c100"
    assert PASSWORD not in shop.server.run(
        "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' ' '"
    )
    assert PASSWORD not in shop.server.run(f"cat {home}/log/*")
    assert "is as it should be" in shop.configure().out
    assert "runs already" in shop.script("start").out


def test_stopping_lets_a_slow_request_finish(shop: Shop) -> None:
    shop.server.spawn("mariadb -e 'LOCK TABLES shop.book WRITE; SELECT SLEEP(300)'")
    until(lambda: "SLEEP" in shop.server.run("mariadb -e 'SHOW PROCESSLIST'"), "the table is locked")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        slow = pool.submit(shop.get, "/")
        until(lambda: "table metadata lock" in shop.server.run("mariadb -e 'SHOW PROCESSLIST'"), "it waits")
        stopping = pool.submit(shop.script, "stop")
        until(lambda: "enstratus-stop" in shop.server.run("ps -eo args"), "it is to stop")
        shop.server.run(UNLOCK)
        stopped = stopping.result()
    assert stopped.out.endswith("the bookshop has ended\n")
    assert "3 of 3 books" in slow.result()
    assert shop.script("check").out == "the bookshop does not run\n"
    assert "does not run" in shop.script("stop").out


def test_a_start_that_fails_shows_why(installed: Shop) -> None:
    assert installed.script("stop").code == 0
    assert installed.configure(password="wrong").code == 0
    result = installed.server.attempt(
        f"START_TIMEOUT_SECONDS=15 /mnt/services/{APPLICATION_ID}/bin/enstratus-start"
    )
    assert installed.script("stop").code == 0
    assert result.code == 4
    assert "Access denied for user 'shop'@'localhost'" in result.err

    assert installed.configure().code == 0
    installed.server.spawn("echo $$ > /tmp/taker.pid; exec python3 -m http.server 8000")
    until(lambda: "python3" in installed.server.run("ss -Htlnp sport = :8000"), "the port is taken")
    result = installed.script("start")
    installed.server.run("kill $(cat /tmp/taker.pid)")
    assert result.code == 4
    assert "Address already in use" in result.err


def test_facts_without_a_catalogue_are_refused(installed: Shop) -> None:
    facts = installed.server.write("/tmp/enstratus.cfg", "[enStratus]\nrunAsUser=c100\ndependencies=\n")
    result = installed.script("configure", APPLICATION_ID, facts)
    assert (result.code, result.out) == (2, "")
    assert "names no DATA_SOURCE: the bookshop needs a catalogue" in result.err
