"""Every script on a server runs once, whatever dies in between, and its output arrives whole."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Sequence

import pydantic
import pytest

from gantry import names
from gantry.agent import drive, errors, jobs, session

from .machines import Machine, Said, errors_of, job, key, progress, until

pytestmark = pytest.mark.docker

ADAPTER = pydantic.TypeAdapter(list[jobs.Progress])


def carry_out(everything: list[jobs.Progress], machine: Machine, step: jobs.StepKey, said: Said) -> bool:
    return asyncio.run(drive.carry_out(everything, machine.access, step, said))


def moved_to_the_triggerer(everything: list[jobs.Progress]) -> list[jobs.Progress]:
    """What the triggerer gets: the progress as JSON."""
    return ADAPTER.validate_json(ADAPTER.dump_json(everything))


# --- once, and whole -----------------------------------------------------------------------------------------


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
        driving = asyncio.create_task(drive.carry_out(everything, machine.access, step, said))
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
    begun = time.monotonic()
    assert not asyncio.run(drive.carry_out(everything, machine.access, step, said, seconds=1.5))
    assert time.monotonic() - begun < 6
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
        driving = asyncio.create_task(drive.carry_out(everything, machine.access, key("orphan"), said))
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
    assert not everything[0].passing
    assert machine.begun(later) == 0
    with pytest.raises(drive.StepFailedError, match="no licence found"):
        drive.verdict(everything)


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
    assert "no database" in everything[0].error
    machine.sh(f"touch /tmp/{how}")
    everything = [progress(machine, *work)]
    assert carry_out(everything, machine, key(how, epoch=epoch, attempt="2"), Said())
    assert errors_of(everything) == [""]
    assert (machine.begun(start), machine.begun(wait)) == (2, 2)


def test_a_script_that_takes_too_long_is_ended_with_its_children(machine: Machine) -> None:
    script = machine.script(
        "hang", "trap '' TERM; echo 'waiting for godot'; sleep 4711 & sleep 4711; wait; sleep 4711"
    )
    everything = [progress(machine, job(script, timeout=1))]
    assert carry_out(everything, machine, key("hang"), Said())
    (error,) = errors_of(everything)
    assert "shop-server-1: hang did not end within 1 s; it and its children were killed" in error
    assert "waiting for godot" in error
    assert "4711" not in machine.sh("ps -eo args")


def test_a_script_that_ended_while_nobody_looked_is_judged_by_its_own_end(machine: Machine) -> None:
    script = machine.script("unseen", "echo done in time")
    said, step = Said(), key("unseen")
    everything = [progress(machine, job(script, timeout=5))]

    async def start_and_look_away() -> None:
        async with jobs.Agent(machine.target, machine.access).open() as server:
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
        driving = asyncio.create_task(drive.carry_out(everything, machine.access, step, said))
        await until(lambda: "up" in said.by(machine), "the script to begin")
        await drive.kill(everything, machine.access, step)
        await driving

    asyncio.run(end())
    assert "was killed on request" in everything[0].error
    assert "4712" not in machine.sh("ps -eo args")
    assert not machine.exists("/enstratus/ws/state/a1/ended")


def test_a_script_that_vanishes_without_an_exit_code_is_said_to_have(machine: Machine) -> None:
    script = machine.script("vanish", "echo up; sleep 4713")
    said = Said()
    everything = [progress(machine, job(script))]

    async def reset() -> None:
        driving = asyncio.create_task(drive.carry_out(everything, machine.access, key("vanish"), said))
        await until(lambda: "up" in said.by(machine), "the script to begin")
        # As after a power cut: runner and script are gone, and nobody wrote anything down.
        await asyncio.to_thread(
            machine.sh, "pkill -KILL -f '[r]un-detached vanish/|sleep [4]713|bin/[v]anish'; true"
        )
        assert await driving

    asyncio.run(reset())
    assert "vanish failed with no exit code: the server was restarted, or it vanished" in everything[0].error


class Everything:
    """A reader that wants every line."""

    def keeps(self, line: str) -> bool:
        return line != ""

    def failure(self, error: errors.ScriptFailedError, kept: Sequence[str]) -> errors.ServerError:
        return errors.ServerError(error.server, f"the last line was {kept[-1]}")


def test_of_a_long_log_the_end_is_kept_for_its_reader(machine: Machine) -> None:
    script = machine.script("long", "seq 1 2500; exit 3")
    everything = [progress(machine, job(script))]
    asyncio.run(drive.carry_out(everything, machine.access, key("long"), Said(), reader=Everything()))
    assert (len(everything[0].kept), everything[0].kept[-1]) == (2000, "2500")
    assert everything[0].error.endswith("the last line was 2500")


# --- secrets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["success", "failure", "kill", "never ran"])
def test_files_with_secrets_are_gone_however_the_step_ends(machine: Machine, end: str) -> None:
    name = f"secret-{end.replace(' ', '-')}"
    path, other = (f"{session.TEMPORARY}/{name}.{part}" for part in ("cfg", "later"))
    body = {"success": "", "failure": "exit 1", "kill": "sleep 600", "never ran": "exit 1"}[end]
    script = machine.script(name, f"stat -c %a {path}; {body}")
    work = drive.Work(
        (session.RemoteFile(path, b"password"), session.RemoteFile(other, b"password")),
        (job(script, remove=(path,)), job(script, name=f"{name}-later", remove=(other,))),
    )
    said, step = Said(), key(name)

    async def go() -> None:
        everything = drive.begin([machine.target])
        await drive.prepare(everything, machine.access, lambda *_: work, said)
        assert machine.sh(f"stat -c %a:%U {path}") == "600:root"
        if end == "never ran":
            await drive.kill(everything, machine.access, step)
            return
        driving = asyncio.create_task(drive.carry_out(everything, machine.access, step, said))
        if end == "kill":
            await until(lambda: "600" in said.by(machine), "the script to begin")
            await drive.kill(everything, machine.access, step)
        await driving

    asyncio.run(go())
    assert not machine.exists(path)
    assert not machine.exists(other)
    assert machine.begun(script) == {"success": 2, "failure": 1, "kill": 1, "never ran": 0}[end]


def test_files_with_secrets_are_gone_when_a_step_is_stopped_before_its_first_job(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{session.TEMPORARY}/stopped.cfg"
    work = drive.Work((session.RemoteFile(path, b"password"),), (job("never", remove=(path,)),))
    put = session.Session.put

    async def put_and_be_stopped(self: session.Session, files: Sequence[session.RemoteFile]) -> None:
        await put(self, files)
        assert machine.exists(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(session.Session, "put", put_and_be_stopped)
    everything = drive.begin([machine.target])
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(drive.prepare(everything, machine.access, lambda *_: work, Said()))
    asyncio.run(drive.kill(everything, machine.access, key("stopped")))
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
        driving = asyncio.create_task(drive.carry_out(everything, machine.access, key("pace"), said))
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
    assert "exit code 9" in everything[0].error
    assert everything[1].error == ""
    assert said.output_of(neighbour) == ["fine"]


def test_a_server_that_cannot_be_reached_does_not_keep_the_others_from_being_prepared(
    machine: Machine,
) -> None:
    nowhere = dataclasses.replace(
        machine.target, name=names.ServerName("shop-gone-1"), address="127.255.255.254"
    )
    access = dataclasses.replace(machine.access, patience=2)
    said = Said()
    everything = drive.begin([nowhere, machine.target])
    asyncio.run(drive.prepare(everything, access, lambda *_: drive.Work(), said))
    assert everything[0].error.startswith("shop-gone-1: no SSH connection to 127.255.255.254")
    assert everything[0].passing
    assert everything[1].error == ""
    # Said once, not every second.
    assert len([line for server, line in said.lines if server == "shop-gone-1"]) == 1


def test_a_check_that_hangs_counts_as_not_healthy(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "_CHECK_SECONDS", "1")
    machine.sh(
        "mkdir -p /mnt/services/a66/bin && printf '#!/bin/sh\\nsleep 4714\\n' > /mnt/services/a66/bin/enstratus-check"
        " && chmod 755 /mnt/services/a66/bin/enstratus-check"
    )
    seen: list[drive.Applied] = []

    def decide(_: object, applied: drive.Applied) -> drive.Work:
        seen.append(applied)
        return drive.Work()

    service = names.ServiceId("a66")
    asyncio.run(
        drive.prepare(
            drive.begin([machine.target]), machine.access, decide, Said(), drive.Questions(checked=service)
        )
    )
    assert [each.healthy for each in seen] == [False]
    assert "4714" not in machine.sh("ps -eo args")
    machine.sh("rm -r /mnt/services/a66")
