"""Every script on a server runs once, whatever dies in between, and its output arrives whole."""

from __future__ import annotations

import asyncio
import dataclasses
import http.server
import threading
import time
from collections.abc import Sequence

import pydantic
import pytest

from gantry import errors as root
from gantry import names
from gantry.agent import errors, fan_out, job_runner, jobs, session

from .machines import Machine, Said, errors_of, job, key, progress, until

pytestmark = pytest.mark.docker

ADAPTER = pydantic.TypeAdapter(list[jobs.ServerProgress])


def carry_out(
    everything: list[jobs.ServerProgress], machine: Machine, step: jobs.StepKey, said: Said
) -> bool:
    return asyncio.run(fan_out.carry_out(everything, machine.access, step, said))


def moved_to_the_triggerer(everything: list[jobs.ServerProgress]) -> list[jobs.ServerProgress]:
    """What the triggerer gets: the progress as JSON."""
    return ADAPTER.validate_json(ADAPTER.dump_json(everything))


# --- once, and whole -----------------------------------------------------------------------------------------


def failure_of(everything: Sequence[jobs.ServerProgress]) -> root.Failure:
    """What has stopped the first server."""
    found = everything[0].failure
    assert found is not None
    return found


def test_output_comes_line_by_line_and_the_job_is_in_the_servers_journal_once(machine: Machine) -> None:
    script = machine.script("speak", 'echo "$1"; echo warning >&2; printf "no end"')
    said = Said()
    assert carry_out([progress(machine, job(script, "hello"))], machine, key("speak"), said)
    assert said.by(machine) == ["$ speak hello", "hello", "warning", "no end"]
    assert machine.begun(script) == 1


def test_a_step_that_is_repeated_runs_nothing_again(machine: Machine) -> None:
    script = machine.script("repeat", "echo once")
    for attempt in ("1", "2"):
        said = Said()
        assert carry_out([progress(machine, job(script))], machine, key("repeat", attempt=attempt), said)
    assert said.by(machine) == ["repeat: done before, not run again"]
    assert machine.begun(script) == 1


def test_what_a_script_notes_itself_is_asked_for_when_it_has_ended(machine: Machine) -> None:
    key_ = "a7/archive"
    script = machine.script("applied", "exit 0")
    call = (key_, "etag", "SUM", "always", "NONE", "/etc/os-release", script)
    applies = dataclasses.replace(job("applyObject", *call), notes=((key_, "etag"),))
    everything = [progress(machine, applies)]
    assert carry_out(everything, machine, key("applied"), Said())
    digest = machine.sh("sha256sum </etc/os-release").split()[0]
    assert moved_to_the_triggerer(everything)[0].found[key_] == digest


def test_a_step_that_a_person_clears_after_its_success_runs_again(machine: Machine) -> None:
    script = machine.script("cleared", "echo again")
    for epoch in ("0", "1"):
        said = Said()
        assert carry_out([progress(machine, job(script))], machine, key("cleared", epoch=epoch), said)
        assert said.output_of(machine) == ["again"]
    assert machine.begun(script) == 2


def test_a_connection_cut_in_the_middle_of_a_line_loses_and_doubles_nothing(machine: Machine) -> None:
    script = machine.script(
        "cut",
        "for part in 1 2 3; do printf 'line %s\\nbroken ' $part; "
        "while [ ! -e /tmp/cut-$part ]; do sleep 0.05; done; echo line; done; exec cat /etc/os-release",
    )
    said, step = Said(), key("cut")
    everything = [progress(machine, job(script))]

    async def cut_thrice() -> None:
        driving = asyncio.create_task(fan_out.carry_out(everything, machine.access, step, said))
        for part in ("1", "2", "3"):
            await until(lambda part=part: f"line {part}" in said.by(machine), f"part {part}")  # type: ignore[misc]
            await asyncio.to_thread(machine.cut_connections)
            await asyncio.to_thread(machine.sh, f"touch /tmp/cut-{part}")
        assert await driving

    asyncio.run(cut_thrice())
    assert errors_of(everything) == [""]
    release = machine.sh("cat /etc/os-release").splitlines()
    parts = [line for part in ("1", "2", "3") for line in (f"line {part}", "broken line")]
    assert said.output_of(machine) == [*parts, *release]
    assert any("connecting again" in line for line in said.by(machine))
    assert machine.begun(script) == 1


def test_what_the_worker_began_the_triggerer_ends_from_the_same_byte(machine: Machine) -> None:
    script = machine.script(
        "handed",
        "printf 'first\\nsec'; while [ ! -e /tmp/handed ]; do sleep 0.05; done; printf 'ond\\nthird'",
    )
    second = machine.script("handed-next", "echo fourth")
    said, step = Said(), key("handed")
    everything = [progress(machine, job(script), job(second))]
    assert not asyncio.run(fan_out.carry_out(everything, machine.access, step, said, seconds=1.5))
    everything = moved_to_the_triggerer(everything)
    machine.sh("touch /tmp/handed")
    assert carry_out(everything, machine, step, said)
    assert said.output_of(machine) == ["first", "second", "third", "fourth"]
    assert (machine.begun(script), machine.begun(second)) == (1, 1)


def test_a_follower_that_is_cancelled_leaves_no_other_behind(machine: Machine) -> None:
    script = machine.script("orphan", "echo up; while [ ! -e /tmp/orphan ]; do sleep 0.05; done")
    said = Said()

    async def cancel() -> set[str]:
        everything = [progress(machine, job(script))]
        driving = asyncio.create_task(fan_out.carry_out(everything, machine.access, key("orphan"), said))
        await until(lambda: "up" in said.by(machine), "the script to begin")
        driving.cancel()
        await asyncio.gather(driving, return_exceptions=True)
        return {str(task.get_coro()) for task in asyncio.all_tasks() if task is not asyncio.current_task()}

    assert not any("carry_out" in left for left in asyncio.run(cancel()))
    machine.sh("touch /tmp/orphan")


def test_five_megabytes_arrive_whole(machine: Machine) -> None:
    script = machine.script("flood", "seq -f 'line %.0f of the flood, wide enough to count' 100000")
    said = Said()
    assert carry_out([progress(machine, job(script))], machine, key("flood"), said)
    lines = said.output_of(machine)
    assert len(lines) == 100_000
    assert sum(map(len, lines)) > 4_400_000
    assert [lines[0], lines[-1]] == [f"line {n} of the flood, wide enough to count" for n in (1, 100_000)]


def test_binary_garbage_without_an_end_is_fine(machine: Machine) -> None:
    script = machine.script(
        "garbage", "head -c 300000 /dev/urandom | tr -d '\\n\\r'; printf '\\000\\377\\033[31m'"
    )
    said = Said()
    assert carry_out([progress(machine, job(script))], machine, key("garbage"), said)
    assert len(said.output_of(machine)) == 5  # cut into parts of 64 KiB
    assert said.output_of(machine)[-1].endswith("\x00\ufffd\x1b[31m")


# --- links ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Links:
    """Makes links, each another one, and remembers when it was asked."""

    machine: Machine
    asked: list[tuple[str, bool, bool]] = dataclasses.field(default_factory=list)
    done: list[str] = dataclasses.field(default_factory=list)
    whose: str = "the session of a test"

    def link(self, url: str, *, upload: bool = False, renewed: bool = False) -> str:
        self.asked.append((url, upload, renewed))
        self.done.append(self.machine.sh("cat /tmp/linked-before || true"))
        return f"https://s3.example.com/{len(self.asked)}"


LINK = jobs.PresignedLink("/enstratus/ws/tmp/linked.url", "s3://shop/app.tar.gz", upload=True)


def linked(machine: Machine, script: str, *more: jobs.Job) -> list[jobs.ServerProgress]:
    last = job(script, LINK.path, remove=(LINK.path,), link=LINK, kept=("/enstratus/ws/tmp/linked.file",))
    return [progress(machine, *more, last)]


def test_a_link_is_made_when_its_jobs_turn_has_come_and_goes_with_the_job(machine: Machine) -> None:
    first = machine.script(
        "before-link", "rm -f /tmp/linked-before; sleep 0.2; echo done >/tmp/linked-before"
    )
    script, said, links = machine.script("linked", 'cat "$1"'), Said(), Links(machine)
    everything = linked(machine, script, job(first))
    assert asyncio.run(fan_out.carry_out(everything, machine.access, key("linked"), said, links=links))
    assert (links.asked, links.done) == ([(LINK.url, True, False)], ["done"])
    assert said.output_of(machine) == ["https://s3.example.com/1"]
    assert not machine.exists(LINK.path)


def test_a_link_that_has_ended_is_made_once_more_also_by_the_triggerer(machine: Machine) -> None:
    script = machine.script(
        "link-ended",
        'link=$(cat "$1"); case $link in */1) echo "uploadFile: ExpiredToken"; exit 28 ;; esac; echo "$link"',
    )
    machine.sh(f"echo dump > {linked(machine, script)[0].jobs[0].kept[0]}")
    said, links = Said(), Links(machine)
    everything = moved_to_the_triggerer(linked(machine, script))
    assert asyncio.run(fan_out.carry_out(everything, machine.access, key("link-ended"), said, links=links))
    assert errors_of(everything) == [""]
    assert [renewed for *_, renewed in links.asked] == [False, True]
    assert said.output_of(machine) == [
        "uploadFile: ExpiredToken",
        "its link has expired: running it again with a new one",
        "https://s3.example.com/2",
    ]
    # What the first try had left for the second is gone with the second.
    assert not machine.exists("/enstratus/ws/tmp/linked.file")


def test_a_second_link_that_has_ended_says_whose_it_was(machine: Machine) -> None:
    script = machine.script("ended-twice", 'echo "downloadFile: HTTP status 400 ExpiredToken"; exit 28')
    everything, links = linked(machine, script), Links(machine)
    assert asyncio.run(fan_out.carry_out(everything, machine.access, key("twice"), Said(), links=links))
    (error,) = errors_of(everything)
    assert LINK.url in error
    assert "signed with the session of a test" in error
    assert failure_of(everything).transient
    assert machine.begun(script) == 2


def test_a_scripts_own_exit_code_asks_for_no_other_link(machine: Machine) -> None:
    script = machine.script("own-code", "echo 'database: no space left'; exit 28")
    everything, links = linked(machine, script), Links(machine)
    assert asyncio.run(fan_out.carry_out(everything, machine.access, key("own-code"), Said(), links=links))
    assert "failed with exit code 28" in errors_of(everything)[0]
    assert (len(links.asked), machine.begun(script)) == (1, 1)


def test_what_runs_with_a_second_link_is_ended_too_and_the_next_try_makes_its_file_again(
    machine: Machine,
) -> None:
    file = "/enstratus/ws/tmp/linked.file"
    writes = machine.script("writes", f"echo dump >{file}")
    puts = machine.script(
        "puts",
        f'case $(cat "$1") in */1) echo "uploadFile: ExpiredToken"; exit 28 ;; '
        f"*/2) echo up; exec sleep 4718 ;; *) cat {file} ;; esac",
    )
    said, links = Said(), Links(machine)
    old, new = linked(machine, puts, job(writes)), linked(machine, puts, job(writes))

    async def clear() -> None:
        before, after = key("put", attempt="1"), key("put", attempt="2")
        driving = asyncio.create_task(fan_out.carry_out(old, machine.access, before, said, links=links))
        await until(lambda: "up" in said.by(machine), "the second link's turn")
        # As Airflow ends a trigger: it is cancelled first.
        driving.cancel()
        await asyncio.gather(driving, return_exceptions=True)
        unconfirmed: set[names.ServerName] = set()
        await fan_out.kill(old, machine.access, before, unconfirmed)
        assert not unconfirmed
        assert "4718" not in machine.sh("ps -eo args")
        assert not machine.exists(file)
        await fan_out.carry_out(new, machine.access, after, said, links=links)

    asyncio.run(clear())
    assert errors_of(new) == [""]
    assert said.by(machine)[-1] == "dump"
    assert (machine.begun(writes), machine.begun(puts)) == (2, 3)


class Store(http.server.ThreadingHTTPServer):
    """An object store to which the first link has ended."""

    got: list[tuple[str, bytes]]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Store

    def do_PUT(self) -> None:
        self.server.got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        status, said = (400, b"<Error><Code>ExpiredToken</Code></Error>") if self.path == "/1" else (200, b"")
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *args: object) -> None:
        """Quiet."""


def test_a_backup_whose_link_has_ended_is_uploaded_by_another_one_and_written_once(machine: Machine) -> None:
    machine.sh("mkdir -p /mnt/services/a99/bin && echo books >/mnt/services/a99/books")
    file, said = "/enstratus/ws/tmp/backup.file", Said()
    link = jobs.PresignedLink("/enstratus/ws/tmp/backup.url", "s3://shop/backup.tar.gz", upload=True)
    upload = job(
        "uploadBackup", link.path, file, remove=(link.path,), kept=(file,), link=link, conclusive=True
    )
    everything = [progress(machine, job("backupService", "a99", file), upload)]
    here = machine.sh("ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p'")
    with Store((here, 0), Handler) as store:
        store.got = []
        threading.Thread(target=store.serve_forever, daemon=True).start()

        class Here(Links):
            def link(self, url: str, *, upload: bool = False, renewed: bool = False) -> str:
                made = super().link(url, upload=upload, renewed=renewed)
                return f"http://{here}:{store.server_port}/{made.rpartition('/')[2]}"

        links = Here(machine)
        assert asyncio.run(fan_out.carry_out(everything, machine.access, key("backup"), said, links=links))
        store.shutdown()
    assert errors_of(everything) == [""]
    assert links.asked == [(link.url, True, False), (link.url, True, True)]
    (first, content), (second, again) = store.got
    assert (first, second, content) == ("/1", "/2", again)
    assert len(machine.journal("begin backupService a99 ")) == 1
    assert said.by(machine)[-1].startswith(f"uploadBackup: {len(content)} bytes, SHA-256 ")
    assert not machine.exists(file)
    assert not machine.exists(link.path)


# --- failure -------------------------------------------------------------------------------------------------


def test_a_failure_names_server_script_and_code_and_shows_the_end_of_the_output(machine: Machine) -> None:
    script = machine.script("fail", "seq 1 50; echo 'no licence found'; exit 3")
    later = machine.script("later", "echo never")
    everything = [progress(machine, job(script, "a1"), job(later))]
    assert carry_out(everything, machine, key("fail"), Said())
    (error,) = errors_of(everything)
    assert error.startswith("shop-server-1: fail a1 failed with exit code 3.")
    assert "\n50\nno licence found\n" in error
    assert "\n30\n" not in error
    assert not failure_of(everything).transient
    assert machine.begun(later) == 0
    with pytest.raises(fan_out.StepFailedError, match="no licence found"):
        fan_out.verdict(everything)


def test_after_a_failure_is_mended_only_what_had_not_succeeded_runs(machine: Machine) -> None:
    first = machine.script("mend-first", "echo first")
    second = machine.script("mend-second", "[ -e /tmp/mended ] || exit 5; echo second")
    work = (job(first), job(second))
    assert carry_out([progress(machine, *work)], machine, key("mend"), Said())
    machine.sh("touch /tmp/mended")
    everything = [progress(machine, *work)]
    assert carry_out(everything, machine, key("mend", epoch="1", attempt="2"), Said())
    assert errors_of(everything) == [""]
    assert (machine.begun(first), machine.begun(second)) == (1, 2)


@pytest.mark.parametrize(("how", "epoch"), [("cleared", "1"), ("retried", "0")])
def test_a_service_that_was_started_and_is_not_healthy_is_started_again_once_the_cause_is_mended(
    machine: Machine, how: str, epoch: str
) -> None:
    start = machine.script(f"{how}-start", "echo up")
    wait = machine.script(f"{how}-await", f"[ -e /tmp/{how} ] || {{ echo 'no database'; exit 24; }}")
    work = (job(start), job(wait, conclusive=True))
    everything = [progress(machine, *work)]
    assert carry_out(everything, machine, key(how, epoch="0", attempt="1"), Said())
    assert "no database" in str(everything[0].failure)
    machine.sh(f"touch /tmp/{how}")
    everything = [progress(machine, *work)]
    assert carry_out(everything, machine, key(how, epoch=epoch, attempt="2"), Said())
    assert errors_of(everything) == [""]
    assert (machine.begun(start), machine.begun(wait)) == (2, 2)


def test_a_script_that_takes_too_long_is_ended_with_its_children(machine: Machine) -> None:
    script = machine.script(
        "hang", "trap '' TERM; echo 'waiting for godot'; sleep 4711 & sleep 4711; wait; sleep 4711"
    )
    everything = [progress(machine, job(script, timeout=5))]
    assert carry_out(everything, machine, key("hang"), Said())
    (error,) = errors_of(everything)
    assert "shop-server-1: hang did not end within 5 s; it and its children were killed" in error
    assert "waiting for godot" in error
    assert "4711" not in machine.sh("ps -eo args")


def test_a_script_ends_when_the_time_of_its_run_is_up(machine: Machine) -> None:
    script = machine.script("late", "echo begun; sleep 4714; echo over")
    after = machine.script("too-late", "echo never")
    everything = [progress(machine, job(script, timeout=60), job(after))]
    everything[0].until = time.time() + 2
    everything = moved_to_the_triggerer(everything)
    assert carry_out(everything, machine, key("late"), Said())
    (error,) = errors_of(everything)
    assert "late and its children were killed: the run's dagrun_timeout has passed" in error
    assert "begun" in error
    assert "4714" not in machine.sh("ps -eo args")
    everything = [progress(machine, job(after))]
    everything[0].until = time.time() - 1
    assert carry_out(everything, machine, key("later"), Said())
    (error,) = errors_of(everything)
    assert "too-late was not begun: the run's dagrun_timeout has passed" in error
    assert machine.begun(after) == 0


def test_a_try_that_finds_a_script_being_ended_by_the_one_before_it_runs_it_again(machine: Machine) -> None:
    script = machine.script(
        "re-run", "mkdir /tmp/re-run || { cat \"$1\"; exit 0; }; trap '' TERM; echo first; sleep 4715"
    )
    work = job(script, LINK.path, remove=(LINK.path,), link=LINK)
    old, new = [progress(machine, work)], [progress(machine, work)]
    said, links = Said(), Links(machine)

    async def clear() -> None:
        before, after = key("re-run", attempt="1"), key("re-run", attempt="2")
        driving = asyncio.create_task(fan_out.carry_out(old, machine.access, before, said, links=links))
        await until(lambda: "first" in said.by(machine), "the script to begin")
        unconfirmed: set[names.ServerName] = set()
        killing = asyncio.create_task(fan_out.kill(old, machine.access, before, unconfirmed))
        folder = f"/enstratus/ws/jobs/{before.step}/1/re-run"
        await until(lambda: machine.exists(f"{folder}/killing"), "the old try to end the script")
        assert unconfirmed == {machine.target.name}
        await fan_out.carry_out(new, machine.access, after, said, links=links)
        await asyncio.gather(driving, killing)
        assert not unconfirmed

    asyncio.run(clear())
    assert errors_of(new) == [""]
    # The first link went with the first try.
    assert said.by(machine)[-1] == "https://s3.example.com/3"
    assert machine.begun(script) == 2
    # An old try that wakes up later has nothing to say any more.
    script = machine.script("kept", "echo up; until [ -e /tmp/kept ]; do sleep 0.1; done")
    old = [progress(machine, job(script))]
    new = [progress(machine, job(script))]

    async def wake_up_late() -> None:
        before, after = key("kept", attempt="1"), key("kept", attempt="2")
        await fan_out.carry_out(old, machine.access, before, Said(), seconds=1)
        following = asyncio.create_task(fan_out.carry_out(new, machine.access, after, said))
        await until(lambda: "up" in said.by(machine), "the new try to follow")
        await fan_out.kill(old, machine.access, before)
        machine.sh("touch /tmp/kept")
        await following

    asyncio.run(wake_up_late())
    assert errors_of(new) == [""]
    assert machine.begun(script) == 1


def test_a_script_that_ended_while_nobody_looked_is_judged_by_its_own_end(machine: Machine) -> None:
    script = machine.script("unseen", "echo done in time")
    said, step = Said(), key("unseen")
    everything = [progress(machine, job(script, timeout=5))]

    async def start_and_look_away() -> None:
        async with job_runner.Agent(machine.target, machine.access).open() as server:
            everything[0].generation = (
                await server.run("/enstratus/bin/job", "open", step.step, "0")
            ).strip()
            await server.run("/enstratus/bin/job", "start", f"{step.step}/1/unseen", "1", "--", script)

    asyncio.run(start_and_look_away())
    everything[0].started = time.time() - 3600  # the triggerer was down for an hour
    assert carry_out(moved := moved_to_the_triggerer(everything), machine, step, said)
    assert errors_of(moved) == [""]
    assert said.output_of(machine) == ["done in time"]


def test_a_step_that_a_person_ends_leaves_no_process_and_is_no_success(machine: Machine) -> None:
    # A script that takes the signal for a good end.
    script = machine.script("ended", "trap 'exit 0' TERM; echo up; sleep 4712 & wait")
    said, step = Said(), key("ended")
    everything = [progress(machine, job(script, mark=("a1/ended", "yes")))]

    async def end() -> None:
        driving = asyncio.create_task(fan_out.carry_out(everything, machine.access, step, said))
        await until(lambda: "up" in said.by(machine), "the script to begin")
        await fan_out.kill(everything, machine.access, step)
        await driving

    asyncio.run(end())
    assert "was killed on request" in str(everything[0].failure)
    assert "4712" not in machine.sh("ps -eo args")
    assert not machine.exists("/enstratus/ws/state/a1/ended")


def test_a_script_that_vanishes_without_an_exit_code_is_said_to_have(machine: Machine) -> None:
    script = machine.script("vanish", "echo up; sleep 4713")
    said = Said()
    everything = [progress(machine, job(script))]

    async def reset() -> None:
        driving = asyncio.create_task(fan_out.carry_out(everything, machine.access, key("vanish"), said))
        await until(lambda: "up" in said.by(machine), "the script to begin")
        # As after a power cut: runner and script are gone, and nobody wrote anything down.
        await asyncio.to_thread(
            machine.sh, "pkill -KILL -f '[r]un-detached vanish/|sleep [4]713|bin/[v]anish'; true"
        )
        assert await driving

    asyncio.run(reset())
    assert "vanish failed with no exit code: the server was restarted, or it vanished" in str(
        everything[0].failure
    )


def test_a_script_that_outlives_reboots_is_run_again_when_the_server_is_back(machine: Machine) -> None:
    script = machine.script(
        "rebooting", "echo up; [ ! -e /tmp/asked ] || exit 0; touch /tmp/asked; sleep 4717"
    )
    said = Said()
    again = dataclasses.replace(job(script, mark=("a1/rebooted", "yes")), outlives_reboots=True)
    everything = [progress(machine, again)]

    async def reset() -> None:
        driving = asyncio.create_task(fan_out.carry_out(everything, machine.access, key("rebooting"), said))
        await until(lambda: "up" in said.by(machine), "the script to begin")
        await asyncio.to_thread(
            machine.sh, "pkill -KILL -f '[r]un-detached rebooting/|sleep [4]717|bin/[r]ebooting'; true"
        )
        await driving

    asyncio.run(reset())
    assert everything[0].failure is None
    assert "the server was restarted meanwhile: running it again" in said.by(machine)
    assert machine.exists("/enstratus/ws/state/a1/rebooted")


class Everything:
    """A reader that wants every line."""

    def keeps(self, line: str, kept: Sequence[str]) -> bool:  # noqa: ARG002 - as a Reader has it
        return line != ""

    def failure(self, error: errors.ScriptFailedError, kept: Sequence[str]) -> errors.ServerError:
        return errors.ServerError(error.server, f"the last line was {kept[-1]}")


def test_of_a_long_log_the_end_is_kept_for_its_reader(machine: Machine) -> None:
    script = machine.script("long", "seq 1 2500; exit 3")
    everything = [progress(machine, job(script))]
    asyncio.run(fan_out.carry_out(everything, machine.access, key("long"), Said(), reader=Everything()))
    assert (len(everything[0].kept), everything[0].kept[-1]) == (2000, "2500")
    assert str(everything[0].failure).endswith("the last line was 2500")


# --- secrets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["success", "failure", "kill", "never ran"])
def test_files_with_secrets_are_gone_however_the_step_ends(machine: Machine, end: str) -> None:
    name = f"secret-{end.replace(' ', '-')}"
    path, other = (f"{session.TEMPORARY}/{name}.{part}" for part in ("cfg", "later"))
    body = {"success": "", "failure": "exit 1", "kill": "sleep 600", "never ran": "exit 1"}[end]
    script = machine.script(name, f"stat -c %a {path}; {body}")
    work = fan_out.Work(
        (session.RemoteFile(path, b"password"), session.RemoteFile(other, b"password")),
        (job(script, remove=(path,)), job(script, name=f"{name}-later", remove=(other,))),
    )
    said, step = Said(), key(name)

    async def go() -> None:
        everything = fan_out.begin([machine.target])
        await fan_out.prepare(everything, machine.access, lambda *_: work, said)
        assert machine.sh(f"stat -c %a:%U {path}") == "600:root"
        if end == "never ran":
            await fan_out.kill(everything, machine.access, step)
            return
        driving = asyncio.create_task(fan_out.carry_out(everything, machine.access, step, said))
        if end == "kill":
            await until(lambda: "600" in said.by(machine), "the script to begin")
            await fan_out.kill(everything, machine.access, step)
        await driving

    asyncio.run(go())
    assert not machine.exists(path)
    assert not machine.exists(other)
    assert machine.begun(script) == {"success": 2, "failure": 1, "kill": 1, "never ran": 0}[end]


def test_files_with_secrets_are_gone_when_a_step_is_stopped_before_its_first_job(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{session.TEMPORARY}/stopped.cfg"
    work = fan_out.Work((session.RemoteFile(path, b"password"),), (job("never", remove=(path,)),))
    put = session.Session.put

    async def put_and_be_stopped(self: session.Session, files: Sequence[session.RemoteFile]) -> None:
        await put(self, files)
        assert machine.exists(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(session.Session, "put", put_and_be_stopped)
    everything = fan_out.begin([machine.target])
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(fan_out.prepare(everything, machine.access, lambda *_: work, Said()))
    asyncio.run(fan_out.kill(everything, machine.access, key("stopped")))
    assert not machine.exists(path)


# --- side by side --------------------------------------------------------------------------------------------


def test_a_slow_server_does_not_hold_up_another(machine: Machine, neighbour: Machine) -> None:
    first = "while [ ! -e /tmp/go-on ]; do sleep 0.05; done; echo slow"
    slow, fast = machine.script("pace-first", first), neighbour.script("pace-first", "echo fast")
    for each in (machine, neighbour):
        each.script("pace-second", "echo second")
    said = Said()
    everything = [progress(each, job("pace-first"), job("pace-second")) for each in (machine, neighbour)]
    assert slow == fast == "pace-first"

    async def go() -> None:
        driving = asyncio.create_task(fan_out.carry_out(everything, machine.access, key("pace"), said))
        await until(lambda: everything[1].done, "the fast one to end")
        assert said.output_of(neighbour) == ["fast", "second"]
        assert said.output_of(machine) == []
        await asyncio.to_thread(machine.sh, "touch /tmp/go-on")
        assert await driving

    asyncio.run(go())
    assert said.output_of(machine) == ["slow", "second"]


def test_one_servers_failure_is_its_own(machine: Machine, neighbour: Machine) -> None:
    machine.script("own", "exit 9")
    neighbour.script("own", "echo fine")
    everything = [progress(each, job("own")) for each in (machine, neighbour)]
    assert carry_out(everything, machine, key("own"), said := Said())
    assert "exit code 9" in str(everything[0].failure)
    assert everything[1].failure is None
    assert said.output_of(neighbour) == ["fine"]


def test_a_server_that_cannot_be_reached_does_not_keep_the_others_from_being_prepared(
    machine: Machine,
) -> None:
    nowhere = dataclasses.replace(
        machine.target, name=names.ServerName("shop-gone-1"), address="127.255.255.254"
    )
    access = dataclasses.replace(machine.access, patience=2)
    said = Said()
    everything = fan_out.begin([nowhere, machine.target])
    asyncio.run(fan_out.prepare(everything, access, lambda *_: fan_out.Work(), said))
    assert str(everything[0].failure).startswith("shop-gone-1: no SSH connection to 127.255.255.254")
    assert failure_of(everything).transient
    assert everything[1].failure is None
    # Said once, not every second.
    assert len([line for server, line in said.lines if server == "shop-gone-1"]) == 1


def test_what_is_left_as_it_is_is_said(machine: Machine) -> None:
    text = "the dump of datasource main has changed; not loaded: the datasource holds data"
    work = fan_out.Work(held=(fan_out.Held("a7/datasource.main", text),))
    said, everything = Said(), fan_out.begin([machine.target])
    asyncio.run(fan_out.prepare(everything, machine.access, lambda *_: work, said))
    assert said.by(machine) == [text]
    assert everything[0].held


def test_a_check_that_hangs_counts_as_not_healthy(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_out, "_CHECK_SECONDS", "1")
    machine.sh(
        "mkdir -p /mnt/services/a66/bin && printf '#!/bin/sh\\nsleep 4714\\n' > /mnt/services/a66/bin/enstratus-check"
        " && chmod 755 /mnt/services/a66/bin/enstratus-check"
    )
    seen: list[fan_out.Applied] = []

    def decide(_: object, applied: fan_out.Applied) -> fan_out.Work:
        seen.append(applied)
        return fan_out.Work()

    service = names.ServiceId("a66")
    asyncio.run(
        fan_out.prepare(
            fan_out.begin([machine.target]),
            machine.access,
            decide,
            Said(),
            fan_out.Questions(checked=service),
        )
    )
    assert [each.healthy for each in seen] == [False]
    assert "4714" not in machine.sh("ps -eo args")
    machine.sh("rm -r /mnt/services/a66")
