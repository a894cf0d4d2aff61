"""A newcomer follows "Getting started", command by command, with the built wheel in an empty folder: no checkout."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gantry.local.cloud import control
from gantry.local.demo import cleanup
from tests.newcomer.conftest import ROOT

pytestmark = [pytest.mark.airflow, pytest.mark.docker]

PAGE = ROOT / "docs" / "getting-started.md"
NAME = f"newcomer-{os.getpid()}"
_SECONDS = 900
_TO_JOIN = 120.0
"""Seconds in which every web server has to have answered through the balancer."""


@dataclasses.dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


class Newcomer:
    """Somebody at a shell in an empty folder, who has installed the wheel and nothing else."""

    def __init__(self, project: Path, home: Path, programs: Path) -> None:
        self.project = project
        self.address = "ADDRESS"
        kept = {name: os.environ[name] for name in ("LANG", "TERM", "DOCKER_HOST") if name in os.environ}
        self._environment = {
            **kept,
            "PATH": f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(home),
            # Beside other demos on this machine; somebody who has just begun has none.
            "GANTRY_DEMO": NAME,
        }

    def types(self, line: str) -> Said:
        """Run a command line of the page. Where it says ADDRESS, the newcomer has read one."""
        run = subprocess.run(
            ["/bin/sh", "-c", line.replace("ADDRESS", self.address)],
            cwd=self.project,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        print(f"$ {line}\n{run.stdout}{run.stderr}", flush=True)
        return Said(run.returncode, run.stdout, run.stderr)

    def begins(self, line: str) -> subprocess.Popen[str]:
        """Begin a command without a shell, whose output is read as it comes."""
        return subprocess.Popen(
            ["/usr/bin/env", *line.split()],
            cwd=self.project,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def answers_of(self, line: str, servers: int) -> str:
        """What is said by so many servers: the same command until all of them have answered."""
        deadline = time.monotonic() + _TO_JOIN
        seen: set[str] = set()
        while len(seen) < servers:
            said = self.types(line)
            assert said.code == 0, said
            seen.add(said.out)
            assert time.monotonic() < deadline, f"{len(seen)} of {servers} servers answer: {seen}"
        return "\n".join(sorted(seen))


@pytest.fixture
def newcomer(installed: Path, tmp_path: Path) -> Iterator[Newcomer]:
    project, home = tmp_path / "project", tmp_path / "home"
    project.mkdir()
    home.mkdir()
    somebody = Newcomer(project, home, installed)
    try:
        yield somebody
    finally:
        somebody.types("gantry demo down")


def commands(page: Path = PAGE, *, before: str = "\\Z") -> list[str]:
    """The command lines in a page's blocks, in their order; those before a heading only, if one is named."""
    text = re.split(before, page.read_text(), maxsplit=1)[0]
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", "").splitlines()]


Check = Callable[[Newcomer, Said], None]


def wrote_a_project(newcomer: Newcomer, said: Said) -> None:
    for file in (
        "include/hello/hello.yaml",
        "dags/hello.py",
        "include/hello/services/app/bin/enstratus-start",
    ):
        assert (newcomer.project / file).is_file(), said


def found_no_mistake(_: Newcomer, said: Said) -> None:
    assert "1 definition" in said.out, said


def stands(newcomer: Newcomer, said: Said) -> None:
    assert "DAGs of hello: looked at" in said.out, said
    assert "import error" not in said.out, said
    status = json.loads(newcomer.types("gantry demo status --json").out)
    assert status["stands"] is True, status
    assert status["servers"] == [], "nothing was launched that nobody asked for"


def uploaded(_: Newcomer, said: Said) -> None:
    assert said.out.startswith("uploaded s3://hello/app.tar.gz"), said


def three_servers_to_start(_: Newcomer, said: Said) -> None:
    for server in ("hello-web-1", "hello-web-2", "hello-front-1"):
        assert server in said.out, said


def runs(_: Newcomer, said: Said) -> None:
    assert "RUNNING" in said.out, said


def tells_the_balancers_address(newcomer: Newcomer, said: Said) -> None:
    found = re.search(r"hello-front-1\b.*?\b(10(?:\.\d+){3})\b", said.out)
    assert found, said
    newcomer.address = found[1]


def greets(greeting: str) -> Check:
    def look(newcomer: Newcomer, _: Said) -> None:
        answers = newcomer.answers_of("curl -fsS -H 'Host: hello.example.com' http://ADDRESS/", servers=2)
        assert all(f"{greeting} hello-web-{slot}" in answers for slot in (1, 2)), answers

    return look


def nothing_to_do(_: Newcomer, said: Said) -> None:
    assert "Nothing to do" in said.out, said


def the_greeting_is_all_that_changes(_: Newcomer, said: Said) -> None:
    changed = {line.strip() for line in said.out.splitlines() if re.match(r" *[-+][^-+ ]", line)}
    assert changed == {
        f"{sign}greeting={word} from hello-web-{slot}"
        for sign, word in (("-", "Hello"), ("+", "Greetings"))
        for slot in (1, 2)
    }, said
    assert "servers 3 to keep" in said.out, said


def is_the_agents_log(_: Newcomer, said: Said) -> None:
    # Launched twice, and another greeting each time.
    assert said.out.count("begin configureService gantry c100 a1001") == 2, said


def leaves_no_server(newcomer: Newcomer, _: Said) -> None:
    assert json.loads(newcomer.types("gantry demo status --json").out)["servers"] == []


def anything(_: Newcomer, said: Said) -> None:
    del said


STEPS: list[tuple[str, int, Check]] = [
    ("gantry new hello --yes", 0, wrote_a_project),
    ("gantry validate", 0, found_no_mistake),
    ("gantry demo up", 0, stands),
    (
        "gantry archive include/hello/services/app s3://hello/app.tar.gz --deployment hello --create-bucket",
        0,
        uploaded,
    ),
    ("gantry plan hello", 2, three_servers_to_start),
    ("gantry launch hello", 0, runs),
    ("gantry status hello --from both", 0, tells_the_balancers_address),
    ("curl -H 'Host: hello.example.com' http://ADDRESS/", 0, greets("Hello from")),
    ("gantry plan hello", 0, nothing_to_do),
    ("sed -i 's/Hello from/Greetings from/' include/hello/hello.yaml", 0, anything),
    ("gantry plan hello", 2, the_greeting_is_all_that_changes),
    ("gantry launch hello", 0, runs),
    ("curl -H 'Host: hello.example.com' http://ADDRESS/", 0, greets("Greetings from")),
    ("gantry logs hello --server hello-web-1", 0, is_the_agents_log),
    ("gantry terminate hello --confirm hello", 0, leaves_no_server),
    ("gantry demo down", 0, anything),
]
"""The commands of the page after the installation, how each ends, and what the newcomer sees."""

INSTALLATION = 3
"""The first commands of the page: an environment, and pip, which would fetch what has not been published."""


def test_the_page_has_these_commands_and_no_others() -> None:
    typed = commands()
    assert typed[:INSTALLATION][-1].startswith("pip install 'airflow-provider-gantry[local]' ")
    assert typed[INSTALLATION:] == [command for command, _, _ in STEPS]


def test_the_readme_has_some_of_them_in_the_same_order() -> None:
    # What follows is typed by contributors, in a checkout.
    install, *typed = commands(ROOT / "README.md", before="## Contributing\n")
    assert install == commands()[INSTALLATION - 1]
    rest = iter(command for command, _, _ in STEPS)
    assert typed
    assert [line for line in typed if line not in rest] == []


@pytest.mark.timeout(2700)
def test_a_newcomer_gets_from_an_empty_folder_to_a_launched_deployment(newcomer: Newcomer) -> None:
    *page, last = STEPS
    for step in page:
        takes(newcomer, step)
    # What the page does not say is done with the same demo, as one more would take its time.
    adds_the_bookshop(newcomer)
    # Nor does a demo that has lost a part need one of its own: the rest of it has to go as well.
    loses_the_cloud(newcomer)
    takes(newcomer, last)
    nothing_is_left(newcomer)
    # The files of the project are the newcomer's, whatever became of the demo.
    assert (newcomer.project / "include" / "hello" / "hello.yaml").is_file()


@pytest.mark.timeout(1800)
def test_an_interrupt_of_the_attended_demo_alone_removes_all_of_it(newcomer: Newcomer) -> None:
    """As `kill -INT` sends it; Ctrl-C reaches each process of the terminal."""
    demo = newcomer.begins("gantry demo run")
    assert demo.stdout is not None
    said = []
    for line in demo.stdout:
        said.append(line)
        if "launching: DAG bookshop" in line:
            break
    assert demo.poll() is None, "".join(said)
    assert control.leftovers(NAME) != []
    demo.send_signal(signal.SIGINT)
    rest, _ = demo.communicate(timeout=_SECONDS)
    assert demo.returncode == 130, rest
    assert "cleaning up" in rest
    assert cleanup.left(NAME) == []
    assert control.leftovers(NAME) == []


def takes(newcomer: Newcomer, step: tuple[str, int, Check]) -> None:
    command, code, check = step
    said = newcomer.types(command)
    assert said.code == code, f"$ {command}\n{said}"
    check(newcomer, said)


def adds_the_bookshop(newcomer: Newcomer) -> None:
    """The example comes into the demo that stands, with all that it needs."""
    before = json.loads(newcomer.types("gantry demo status --json").out)
    said = newcomer.types("gantry demo up --bookshop")
    assert said.code == 0, said
    assert "DAGs of bookshop, hello: looked at" in said.out, said
    assert "import error" not in said.out, said
    assert (newcomer.project / "include" / "bookshop" / "bookshop.yaml").is_file()
    after = json.loads(newcomer.types("gantry demo status --json").out)
    assert (after["airflow"], after["endpoint"]) == (before["airflow"], before["endpoint"])
    assert "bookshop" in after["buckets"], after


def loses_the_cloud(newcomer: Newcomer) -> None:
    """A part of it is killed: that is said, and does not keep the rest from being taken away."""
    (server,) = control.processes(NAME)
    subprocess.run(["kill", "-KILL", str(server)], check=True)
    gone = newcomer.types("gantry demo status")
    assert gone.code == 1, gone
    assert "missing   the embedded cloud" in gone.out


def nothing_is_left(newcomer: Newcomer) -> None:
    assert cleanup.left(NAME) == []
    assert control.leftovers(NAME) == []
    assert not cleanup.record(NAME).parent.exists()
    assert "[newcomer" not in (newcomer.project.parent / "home/.config/gantry/profiles.toml").read_text()
    assert "nothing to remove" in newcomer.types("gantry demo down").out
    assert newcomer.types("gantry demo status").code == 1
