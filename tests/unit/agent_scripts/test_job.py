"""The job runner: a script runs at most once, whatever dies, and nothing that it started is killed by mistake."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .server import SERVICE, Server, is_running, until

JOB = "step/1/work"


@pytest.fixture(autouse=True)
def nothing_left_behind(server: Server) -> Iterator[None]:
    """End what a failed test started: only processes that say that they belong to this test's server."""
    yield
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"GANTRY_ROOT={server.root}\0" in path.read_text(errors="replace"):
                os.kill(int(path.parent.name), signal.SIGKILL)


def start(
    server: Server, *arguments: str, attempt: str = "1", job: str = JOB, options: tuple[str, ...] = ()
) -> str:
    result = server.call("job", "start", job, attempt, *options, "--", *arguments)
    assert result.code == 0, result.err
    return result.out.strip()


def status(server: Server, job: str = JOB) -> str:
    return server.call("job", "status", job).out.strip()


def folder(server: Server, job: str = JOB) -> Path:
    return server.path("enstratus/ws/jobs") / job


def pid_in(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().strip() != "", f"{path} has a process id")
    return int(path.read_text().split()[0])


def test_a_job_runs_apart_and_its_output_is_followed_to_the_end(server: Server) -> None:
    server.custom("hello", "echo one; echo two >&2; cat; sleep 0.4; printf three; exit 5")
    assert start(server, "hello") == "started"
    assert status(server) == "running"
    assert start(server, "hello") == "running"
    result = server.call("job", "follow", JOB, "0")
    assert (result.code, result.out, result.err) == (5, "one\ntwo\nthree", "job: exit 5\n")
    assert status(server) == "failed 5"


def test_following_goes_on_from_a_byte(server: Server) -> None:
    server.custom("hello", "printf 0123456789")
    start(server, "hello")
    assert server.call("job", "follow", JOB, "0").out == "0123456789"
    assert server.call("job", "follow", JOB, "7").out == "789"
    assert server.call("job", "follow", JOB, "10").out == ""


def test_nothing_of_a_long_log_is_lost(server: Server) -> None:
    server.custom("talk", "seq 200000; sleep 0.3; seq 200001 400000")
    start(server, "talk")
    assert server.call("job", "follow", JOB, "0").out == "".join(f"{number}\n" for number in range(1, 400001))


def test_a_script_and_its_hooks_run_as_a_job_with_its_id(server: Server) -> None:
    server.service_script("enstratus-start", "exit 3")
    server.custom("startService-pre", "echo pre")
    start(server, "startService", SERVICE)
    result = server.call("job", "follow", JOB, "0")
    assert (result.code, result.out) == (3, "pre\n")
    assert all(line.endswith(f"job={JOB}") for line in server.journal())


def test_twenty_starts_at_once_run_it_once(server: Server) -> None:
    server.custom("count", f"echo x >>{server.root}/count; sleep 0.2")
    calls = [server.start("job", "start", JOB, "1", "--", "count") for _ in range(20)]
    words = sorted(call.communicate(timeout=60)[0].strip() for call in calls)
    assert words.count("started") == 1
    assert set(words) <= {"started", "running", "succeeded"}
    server.call("job", "follow", JOB, "0")
    assert server.path("count").read_text() == "x\n"


def test_twenty_retries_at_once_run_it_once(server: Server) -> None:
    server.custom("count", f"echo x >>{server.root}/count; sleep 0.2; exit 1")
    start(server, "count")
    server.call("job", "follow", JOB, "0")
    calls = [server.start("job", "start", JOB, "2", "--", "count") for _ in range(20)]
    words = sorted(call.communicate(timeout=60)[0].strip() for call in calls)
    assert words.count("started") == 1
    assert set(words) <= {"started", "running", "failed"}
    server.call("job", "follow", JOB, "0")
    assert server.path("count").read_text() == "x\nx\n"


def test_only_another_attempt_repeats_what_failed(server: Server) -> None:
    server.custom("try", f"echo x >>{server.root}/count; test -e {server.root}/good")
    assert start(server, "try") == "started"
    assert server.call("job", "follow", JOB, "0").code == 1
    assert start(server, "try") == "failed"
    assert start(server, "try", attempt="2") == "started"
    server.call("job", "follow", JOB, "0")
    server.path("good").touch()
    assert start(server, "try", attempt="3") == "started"
    assert server.call("job", "follow", JOB, "0").code == 0
    assert start(server, "try", attempt="4") == "succeeded"
    assert server.path("count").read_text() == "x\nx\nx\n"
    assert sorted(path.name for path in folder(server).parent.iterdir()) == [
        "work",
        "work.try-1",
        "work.try-2",
    ]
    assert status(server, "step/1/work.try-2") == "failed 1"


def test_a_start_that_broke_off_before_the_runner_is_made_good(server: Server) -> None:
    server.custom("hello", "echo hello")
    folder(server).mkdir(parents=True)
    (folder(server) / "attempt").write_text("1\n")
    assert status(server) == "absent"
    assert server.call("job", "follow", JOB, "0").code == 126
    assert start(server, "hello") == "started"
    assert server.call("job", "follow", JOB, "0").out == "hello\n"


def test_a_runner_that_wakes_up_late_does_not_run_it_again(server: Server) -> None:
    server.custom("count", f"echo x >>{server.root}/count; exit 1")
    start(server, "count")
    server.call("job", "follow", JOB, "0")
    late = folder(server)
    command = [server.bin("job"), "run-detached", JOB, str(server.path("enstratus/custom/bin/count"))]
    subprocess.run(command, cwd=late, env=server.environment, check=True)
    assert server.path("count").read_text() == "x\n"


def test_generations(server: Server) -> None:
    def opened(epoch: str) -> str:
        return server.call("job", "open", "step", epoch).out.strip()

    assert opened("epoch 1") == "1"
    assert opened("epoch 1") == "1"
    # Cleared before it had reported its result: the same jobs go on.
    assert opened("epoch 2") == "1"
    assert server.call("job", "close", "step/1", "epoch 2").code == 0
    assert opened("epoch 2") == "1"
    # Cleared after that: all anew.
    assert opened("epoch 3") == "2"
    for number in range(2, 11):
        server.call("job", "close", f"step/{number}", f"epoch {number + 1}")
        assert opened(f"epoch {number + 2}") == str(number + 1)
    assert opened("epoch 12") == "11"


@pytest.mark.parametrize(
    "job",
    [
        "step/1",
        "step/1/a/b",
        "../1/x",
        "step/x/y",
        "step/1/..",
        "step/1/a b",
        "/1/x",
        "step/1/done",
        "s\n/1/x",
    ],
)
def test_no_id_leads_out_of_the_folder(server: Server, job: str) -> None:
    server.custom("hello", "echo hello")
    assert server.call("job", "start", job, "1", "--", "hello").code == 2
    for command in ("status", "kill"):
        assert server.call("job", command, job).code == 2
    assert server.call("job", "open", "a/b", "1").code == 2
    assert server.call("job", "start", JOB, "1", "--", "../bin/marks").code == 2
    assert server.call("job", "start", JOB, "1", "--mark", "../x=1", "--", "hello").code == 2
    assert not folder(server).exists()


def test_marks_are_there_when_the_success_is(server: Server) -> None:
    server.custom("good", "exit 0")
    server.custom("bad", f"{server.bin('marks')}; exit 1")
    marks = ("--mark", "a1000/archive=v=1 x", "--mark", "zone=eu")
    start(server, "good", options=marks)
    until(lambda: status(server) == "succeeded", "success")
    assert server.call("marks").out == "a1000/archive v=1 x\nzone eu\n"
    assert server.call("marks", "a1000").out == "a1000/archive v=1 x\n"
    assert server.call("marks", "a100").out == ""
    assert server.call("marks", "../ws").code == 2
    start(server, "bad", job="step/1/bad", options=("--unmark", "zone", "--mark", "new=1"))
    # Removed before the script began, and nothing new after a failure.
    assert server.call("job", "follow", "step/1/bad", "0").out == "a1000/archive v=1 x\n"
    assert server.call("marks").out == "a1000/archive v=1 x\n"
    start(
        server,
        "good",
        job="step/1/clash",
        options=(
            "--mark",
            "a1000=1",
        ),
    )
    assert server.call("job", "follow", "step/1/clash", "0").code == 74


def test_secrets_go_when_the_job_ends_however_it_ends(server: Server) -> None:
    server.custom("read", f'cat {server.root}/secret; [ "$1" != wait ] || exec sleep 60; exit "$1"')
    option = ("--remove", str(server.path("secret")))
    for code in ("0", "1"):
        server.write("secret", "s3cret", 0o600)
        start(server, "read", code, job=f"step/1/{code}", options=option)
        assert server.call("job", "follow", f"step/1/{code}", "0").out == "s3cret"
        assert not server.path("secret").exists()
        # Sent again by a control plane that did not hear of the end.
        server.write("secret", "s3cret", 0o600)
        assert start(server, "read", code, job=f"step/1/{code}", options=option) == (
            "failed" if int(code) else "succeeded"
        )
        assert not server.path("secret").exists()
    server.write("secret", "s3cret", 0o600)
    start(server, "read", "wait", options=option)
    other = server.write("other", "s3cret", 0o600)
    assert start(server, "read", "wait", options=("--remove", str(other))) == "running"
    assert server.call("job", "kill", JOB, "20").out == "killed 143\n"
    assert not server.path("secret").exists()
    assert not other.exists()


def test_a_daemon_outlives_its_start_script_and_holds_nothing_up(server: Server) -> None:
    server.service_script(
        "enstratus-start",
        f"( while :; do echo tick; sleep 0.1; done ) & echo $! >{server.root}/daemon; echo started",
    )
    start(server, "startService", SERVICE)
    # The daemon does not end: a call that waited for it would come to its own time limit.
    result = server.call("job", "follow", JOB, "0")
    assert (result.code, "started\n" in result.out) == (0, True)
    daemon = pid_in(server.path("daemon"))
    assert server.call("job", "kill", JOB).out == "succeeded\n"
    server.call("job", "prune", "0")
    assert is_running(daemon)


def test_kill_reaches_a_whole_tree_that_ignores_term(server: Server) -> None:
    deaf = f"trap '' TERM; echo $$ >>{server.root}/pids; while :; do sleep 0.1; done"
    server.script("deaf", deaf)
    # One in its own process group (timeout), one in its own session (setsid), one in the script's.
    server.custom(
        "family", f"timeout 60 {server.root}/deaf & setsid {server.root}/deaf & {server.root}/deaf & wait"
    )
    start(server, "family")
    pids = server.path("pids")
    until(lambda: pids.exists() and len(pids.read_text().split()) == 3, "three children")
    result = server.call("job", "kill", JOB, "1")
    assert result.out.startswith("killed ")
    assert not any(is_running(int(pid)) for pid in pids.read_text().split())
    code = int(result.out.split()[1])
    follow = server.call("job", "follow", JOB, "0")
    assert (follow.code, follow.err) == (code, f"job: killed {code}\n")
    assert start(server, "family") == "failed"
    assert server.call("job", "kill", JOB).out == result.out


def test_a_follower_hears_of_the_kill(server: Server) -> None:
    server.custom("wait", "echo waiting; exec sleep 60")
    start(server, "wait")
    follower = server.start("job", "follow", JOB, "0")
    assert follower.stdout is not None
    assert follower.stdout.readline() == "waiting\n"
    server.call("job", "kill", JOB)
    assert follower.communicate(timeout=60) == ("", "job: killed 143\n")
    assert follower.returncode == 143


def test_a_killed_script_that_ends_well_has_not_succeeded(server: Server) -> None:
    server.custom("polite", f"trap 'exit 0' TERM; touch {server.root}/up; while :; do sleep 0.1; done")
    start(server, "polite", options=("--mark", "done=1"))
    until(server.path("up").exists, "the script is up")
    assert server.call("job", "kill", JOB).out == "killed 0\n"
    assert server.call("marks").out == ""
    assert server.call("job", "follow", JOB, "0").code == 143


def test_a_script_that_outlives_its_runner_is_not_run_beside_itself(server: Server) -> None:
    secret = server.write("secret", "x", 0o600)
    server.custom("slow", f"echo begin; until test -e {server.root}/go; do sleep 0.05; done; echo end")
    start(server, "slow", options=("--remove", str(secret)))
    pid_in(folder(server) / "script")
    os.kill(pid_in(folder(server) / "runner"), signal.SIGKILL)
    assert status(server) == "running"
    assert start(server, "slow", attempt="2") == "running"
    server.path("go").touch()
    result = server.call("job", "follow", JOB, "0")
    assert (result.code, result.out, result.err) == (125, "begin\nend\n", "job: lost\n")
    assert (status(server), secret.exists()) == ("lost", False)
    # It has become the second try's.
    assert start(server, "slow", attempt="2") == "failed"
    assert start(server, "slow", attempt="3") == "started"


def test_an_orphaned_script_can_be_killed(server: Server) -> None:
    server.custom("slow", "exec sleep 60")
    start(server, "slow")
    script = pid_in(folder(server) / "script")
    os.kill(pid_in(folder(server) / "runner"), signal.SIGKILL)
    assert server.call("job", "kill", JOB).out == "killed 137\n"
    assert not is_running(script)


def test_after_a_reboot_a_job_is_lost_and_its_pid_is_nobodys(server: Server) -> None:
    server.custom("slow", "exec sleep 60")
    start(server, "slow")
    runner = folder(server) / "runner"
    pid = pid_in(runner)
    script = pid_in(folder(server) / "script")
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    for name in ("runner", "script"):
        _, _, boot = (folder(server) / name).read_text().split()
        # The same number as before, given to another process.
        (folder(server) / name).write_text(f"{bystander.pid} 12345 {boot}\n")
    secret = server.write("secret", "new", 0o600)
    assert status(server) == "lost"
    assert server.call("job", "kill", JOB).out == "lost\n"
    assert server.call("job", "follow", JOB, "0").code == 125
    assert bystander.poll() is None
    server.custom("slow", f"cat {secret}")
    assert start(server, "slow", attempt="2", options=("--remove", str(secret))) == "started"
    assert server.call("job", "follow", JOB, "0").out == "new"
    for each in (pid, script, bystander.pid):
        os.kill(each, signal.SIGKILL)
    bystander.wait()


def test_a_new_try_keeps_the_secrets_that_came_with_it(server: Server) -> None:
    secret = server.write("secret", "old", 0o600)
    server.custom("slow", "exec sleep 60")
    start(server, "slow", options=("--remove", str(secret)))
    runner, script = (pid_in(folder(server) / name) for name in ("runner", "script"))
    os.kill(runner, signal.SIGKILL)
    os.kill(script, signal.SIGKILL)
    until(lambda: status(server) == "lost", "the job is lost")
    server.write("secret", "new", 0o600)
    server.custom("slow", f"cat {secret}")
    assert start(server, "slow", attempt="2", options=("--remove", str(secret))) == "started"
    assert server.call("job", "follow", JOB, "0").out == "new"


def test_old_steps_are_pruned_but_never_running_ones(server: Server) -> None:
    server.custom("slow", "exec sleep 60")
    server.custom("hello", "echo hello")
    start(server, "slow", job="slow/1/x")
    start(server, "hello", job="old/1/x")
    start(server, "hello", job="new/1/x")
    for job in ("old/1/x", "new/1/x"):
        server.call("job", "follow", job, "0")
    long_ago = time.time() - 10 * 86400
    for name in ("old", "slow"):
        for path in [
            server.path("enstratus/ws/jobs") / name,
            *(server.path("enstratus/ws/jobs") / name).rglob("*"),
        ]:
            os.utime(path, (long_ago, long_ago))
    assert server.call("job", "prune", "7").code == 0
    assert sorted(path.name for path in server.path("enstratus/ws/jobs").iterdir()) == ["new", "slow"]
    server.call("job", "kill", "slow/1/x")


def test_scripts_start_with_the_usual_signals(server: Server) -> None:
    server.custom(
        "show", "grep -E 'SigIgn|SigBlk' /proc/self/status; umask; pwd; ls -l /proc/self/fd | wc -l"
    )
    start(server, "show")
    blocked, ignored, *rest = re.findall(
        r"(?m)^(?:Sig(?:Blk|Ign):\t)?(.+)$", server.call("job", "follow", JOB, "0").out
    )
    # Signals 1 to 31, those a script can name: what C libraries keep for themselves above is the caller's affair.
    named = 0x7FFFFFFF
    assert (int(blocked, 16) & named, int(ignored, 16) & named) == (0, 0)
    # 027; no lock or other file kept open: only 0, 1, 2 and ls's own.
    assert rest == ["0027", "/", "5"]


def test_a_job_that_nobody_follows_ends_when_its_time_is_up(server: Server) -> None:
    server.custom("hangs", "sleep 300 & echo $! >$GANTRY_ROOT/child; wait; echo woken")
    call = server.call("job", "start", JOB, "1", "--", "hangs", GANTRY_JOB_SECONDS="1")
    assert call.out == "started\n"
    child = pid_in(server.path("child"))
    until(lambda: status(server).startswith("killed"), "the server to end the job")
    assert not is_running(child)
    assert any("job is ended after 1 s" in line for line in server.journal())
    assert start(server, "hangs", attempt="2") == "started"
    assert server.call("job", "kill", JOB, "0").code == 0


def test_a_signal_to_all_of_the_job_does_not_lift_its_limit(server: Server) -> None:
    # It survives one such signal, and no second one.
    server.custom("survives", "trap 'trap - TERM' TERM; touch $GANTRY_ROOT/up; while :; do sleep 0.05; done")
    server.call("job", "start", JOB, "1", "--", "survives", GANTRY_JOB_SECONDS="2")
    until(server.path("up").exists, "the script is up")
    os.killpg(pid_in(folder(server) / "runner"), signal.SIGTERM)
    until(lambda: status(server).startswith("killed"), "the server to end the job")
    assert any("job is ended after 2 s" in line for line in server.journal())


def test_what_ends_a_job_in_time_does_not_end_itself_with_it(server: Server) -> None:
    # It stays the parent of what it has begun for longer than it takes to look at all processes.
    setsid = server.script(
        "programs/setsid",
        """case "$*" in
        *" expire "*) shift; "$REAL" "$@" & sleep 1; echo gone >>"$GANTRY_ROOT/enstratus/ws/log/agent.log" ;;
        *) exec "$REAL" "$@" ;;
        esac""",
    )
    server.custom("works", "while :; do sleep 0.05; done")
    path, real = f"{setsid.parent}:{os.environ['PATH']}", shutil.which("setsid") or ""
    server.call("job", "start", JOB, "1", "--", "works", GANTRY_JOB_SECONDS="1", PATH=path, REAL=real)
    until(lambda: status(server).startswith("killed"), "the server to end the job")
    said = [line for line in server.journal() if line == "gone" or "job is ended after 1 s" in line]
    assert [line == "gone" for line in said] == [True, False]


@pytest.mark.parametrize("name", ["a\\nb", "a) *\\nb", "a) R 1\\nb"])
def test_a_process_of_an_odd_name_that_has_the_number_of_a_lost_runner_is_not_taken_for_it(
    server: Server, name: str
) -> None:
    server.custom("hello", "echo hello")
    command = ["sh", "-c", f"printf '{name}' >/proc/$$/comm; echo named; read -r x"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"named\n"
        server.write(folder(server) / "runner", f"{other.pid} 1 {'0' * 36}\n")
        server.write(folder(server) / "attempt", "1\n")
        assert status(server) == "lost"
        assert start(server, "hello", attempt="2") == "started"
        other.terminate()


def test_a_job_that_has_ended_leaves_no_watchdog(server: Server) -> None:
    server.custom("short", "echo short")
    server.call("job", "start", JOB, "1", "--", "short", GANTRY_JOB_SECONDS="60")
    assert server.call("job", "follow", JOB, "0").out == "short\n"
    until(lambda: not of_this_server(server, ""), "nothing of the job is left")


def test_files_that_come_while_the_job_is_ending_are_removed_by_the_start(server: Server) -> None:
    early, late = server.write("early", "x", 0o600), server.write("late", "x", 0o600)
    server.custom("slow", f"until test -e {server.root}/go; do sleep 0.05; done")
    start(server, "slow", options=("--remove", str(early)))
    runner, script = (pid_in(folder(server) / name) for name in ("runner", "script"))
    os.kill(runner, signal.SIGSTOP)
    # It has said so, and has read the list.
    with (folder(server) / "script").open("a") as script_file:
        script_file.write("ending\n")
    server.path("go").touch()
    until(lambda: not is_running(script), "the script to end")
    again = server.start("job", "start", JOB, "2", "--remove", str(late), "--", "slow")
    until(lambda: str(late) in (folder(server) / "remove").read_text(), "the second start to add its file")
    (folder(server) / "remove").write_text(f"{early}\n")
    os.kill(runner, signal.SIGCONT)
    assert again.communicate(timeout=60)[0] == "running\n"
    assert (status(server), early.exists(), late.exists()) == ("succeeded", False, False)


def test_a_kill_before_the_runner_has_begun_the_script_keeps_it_from_beginning(server: Server) -> None:
    script = server.custom("work", "touch $GANTRY_ROOT/began")
    assert server.call("job", "open", "step", "1").out == "1\n"
    folder(server).mkdir()
    (folder(server) / "attempt").write_text("1\n")
    # The kill has been asked for and has looked for processes, when the runner is about to start the script.
    (folder(server) / "killing").touch()
    subprocess.run(
        [server.bin("job"), "run-detached", JOB, script],
        cwd=folder(server), env=server.environment, check=True, timeout=60,
    )  # fmt: skip
    assert status(server) == "killed 143"
    assert not server.path("began").exists()


def test_a_jobs_own_time_does_not_reach_the_try_after_it(server: Server) -> None:
    server.custom("work", "env >$GANTRY_ROOT/environment; exit 3")
    server.call("job", "start", JOB, "1", "--", "work", GANTRY_JOB_SECONDS="1")
    until(lambda: status(server) == "failed 3", "the first try to end")
    assert "GANTRY_JOB_SECONDS" not in server.path("environment").read_text()
    server.custom("work", "sleep 3; echo slept")
    assert start(server, "work", attempt="2") == "started"
    assert server.call("job", "follow", JOB, "0").out == "slept\n"
    assert server.call("job", "start", JOB, "3", "--", "work", GANTRY_JOB_SECONDS="1d").code == 2


def test_a_job_that_another_try_follows_by_now_is_left_alone(server: Server) -> None:
    server.custom("long", "sleep 300")
    assert start(server, "long") == "started"
    assert start(server, "long", attempt="2") == "running"
    assert server.call("job", "kill", JOB, "0", GANTRY_JOB_ATTEMPT="1").out == "running\n"
    assert server.call("job", "kill", JOB, "0", GANTRY_JOB_ATTEMPT="2").out.startswith("killed")
    # Asked for while it is being ended, it is still the old try's, and the new one may run it again.
    server.custom("long", "trap '' TERM; echo ready; sleep 300")
    assert start(server, "long", attempt="3") == "started"
    until(lambda: "ready" in (folder(server) / "log").read_text(), "the script to ignore the signal")
    killing = server.start("job", "kill", JOB, "2")
    until((folder(server) / "killing").exists, "the kill to begin")
    assert start(server, "long", attempt="4") == "running"
    killing.communicate(timeout=60)
    server.custom("long", "echo again")
    assert start(server, "long", attempt="4") == "started"


# --- followed as long as somebody is there -------------------------------------------------------------------


def attended(server: Server, job: str = JOB, offset: int = 0) -> subprocess.Popen[str]:
    """A follower whose standard input is open."""
    return subprocess.Popen(
        [server.bin("job"), "follow", job, str(offset), "attended"],
        env=server.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def of_this_server(server: Server, word: str) -> list[str]:
    """The processes of this test's server whose command line has the word."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"GANTRY_ROOT={server.root}\0" in (path / "environ").read_text(errors="replace"):
                found.append((path / "cmdline").read_text(errors="replace").replace("\0", " "))
    return [each for each in found if word in each]


@pytest.mark.parametrize("pause", ["0", "0.8"], ids=["short", "long"])
def test_a_follower_that_is_attended_gives_out_all_and_says_how_it_ended(server: Server, pause: str) -> None:
    server.custom("talk", f"seq 1000; sleep {pause}; seq 1001 90000; printf three; exit 5")
    start(server, "talk")
    with attended(server, offset=2) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        out = following.stdout.read()
        assert following.stderr.read().splitlines()[-1] == "job: exit 5"
    assert out == "".join(f"{number}\n" for number in range(2, 90001)) + "three"


def test_a_line_comes_when_it_is_written_and_not_when_the_job_ends(server: Server) -> None:
    server.custom("talk", "echo up; until [ -e $GANTRY_ROOT/go ]; do sleep 0.05; done; echo gone")
    start(server, "talk")
    with attended(server) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "up\n"
        assert status(server) == "running"
        server.path("go").touch()
        assert following.stdout.read() == "gone\n"


def test_a_follower_goes_when_its_input_ends_and_the_job_goes_on(server: Server) -> None:
    server.custom("long", "echo up; until [ -e $GANTRY_ROOT/go ]; do sleep 0.05; done; echo over")
    start(server, "long")
    with attended(server) as following:
        assert following.stdout is not None
        assert following.stdin is not None
        assert following.stdout.readline() == "up\n"
        following.stdin.close()
        assert following.wait(timeout=60) == 1
    until(lambda: not of_this_server(server, "job follow"), "nothing of the follower is left")
    assert not of_this_server(server, "tail ")
    assert status(server) == "running"
    server.path("go").touch()
    with attended(server, offset=3) as following:
        assert following.stdout is not None
        assert following.stdout.read() == "over\n"


def test_what_follows_an_order_on_the_same_input_is_not_taken_from_the_next(server: Server) -> None:
    server.custom("slow", "sleep 0.6; echo over")
    start(server, "slow")
    script = f'"{server.bin("job")}" follow {JOB} 0 attended; read -r next; echo "next: $next"'
    with subprocess.Popen(
        ["sh", "-c", script],
        env=server.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as served:
        assert served.stdout is not None
        assert served.stdin is not None
        assert served.stdout.readline() == "over\n"
        until(lambda: not of_this_server(server, "job follow"), "the follower to end")
        served.stdin.write("order\n")
        served.stdin.close()
        assert served.stdout.read() == "next: order\n"


def test_a_follower_waits_for_a_script_that_has_outlived_its_runner(server: Server) -> None:
    server.custom("left", "echo up; until [ -e $GANTRY_ROOT/go ]; do sleep 0.05; done; echo over")
    start(server, "left")
    with attended(server) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "up\n"
        os.kill(pid_in(folder(server) / "runner"), signal.SIGKILL)
        assert status(server) == "running"
        server.path("go").touch()
        assert following.stdout.read() == "over\n"
        assert following.wait(timeout=60) == 125


def test_a_job_that_an_earlier_agent_has_begun_is_followed_though_it_holds_no_lock(server: Server) -> None:
    server.custom("old", "sleep 60")
    start(server, "old")
    # As an earlier agent leaves it: the file is another one than the one that is locked.
    runner = folder(server) / "runner"
    identity = runner.read_text()
    runner.unlink()
    runner.write_text(identity)
    with attended(server) as following:
        time.sleep(1)
        assert following.poll() is None
        server.call("job", "kill", JOB, "0")
        assert following.wait(timeout=60) != 1
        assert following.stderr is not None
        assert "job: killed" in following.stderr.read()
