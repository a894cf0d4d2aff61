"""`gantry demo run`: launches the bookshop on this machine, to watch and to experiment with (`make demo`)."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich import markup

from gantry import errors, local, overview, requests
from gantry.cli.output import run_progress, run_rows
from gantry.cli.queries import run_follower
from gantry.cli.support import console
from gantry.local.cloud import behavior
from gantry.local.demo import airflow_process, background, cleanup, environment, verify
from gantry.rest import errors as rest_errors

_PROMISED_SECONDS = 60
_LOOK_SECONDS = 2.0
_MOST_SECONDS = 600.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_console = console.out


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    options = _parser().parse_args(arguments)
    if options.clean:
        return _clean()
    return attend(
        options.name,
        options.project.resolve(),
        options.port,
        once=options.once,
        region=options.region,
        realistic=options.realistic,
    )


def attend(
    name: str,
    project: Path,
    port: int | None = None,
    *,
    once: bool = False,
    region: str | None = None,
    realistic: bool = False,
) -> int:
    """Run the demo of a project that contains the bookshop until it is interrupted; return the exit code.

    It is launched in that region; by default in its definition's.
    """
    # The logs of other rooms about the cloud's answers belong in task logs; here they would break the table.
    logging.getLogger("gantry").addHandler(logging.NullHandler())
    try:
        with cleanup.only_one(name):
            background.refuse(name)
            with attended(cleanup.remove, cleanup.left, name):
                wanted = behavior.REALISTIC if realistic else behavior.BRISK
                return _demo(name, project, port, once=once, region=region, wanted=wanted)
    except errors.GantryError as error:
        _console.print(f"demo: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gantry.local.demo.run",
        description="Launches the bookshop on an embedded cloud, with a real Airflow, until interrupted.",
    )
    parser.add_argument(
        "--once", action="store_true", help="check the result, launch again, terminate, and end"
    )
    parser.add_argument("--clean", action="store_true", help="only remove what killed demos and tests left")
    parser.add_argument("--name", default=local.DEMO, help="several run side by side (default: %(default)s)")
    parser.add_argument(
        "--realistic", action="store_true", help="EC2's own delays and limits (see docs/embedded-cloud.md)"
    )
    parser.add_argument(
        "--port", type=int, help=f"Airflow's port (default: {environment.PORT}, or a free one)"
    )
    parser.add_argument("--region", help="of cloud and bookshop (default: the definition's)")
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="default: the current folder")
    return parser


def _demo(
    name: str, project: Path, port: int | None, *, once: bool, region: str | None, wanted: behavior.Manners
) -> int:
    say("starting the stage")
    on = environment.start(name, project, say, port, region=region, wanted=wanted)
    say("")
    say(f"launching: DAG {environment.DAG}")
    launch(on)
    if once:
        _verify(on)
        return 0
    _explain(on)
    return _wait(on)


def launch(on: environment.DemoStage) -> None:
    """Trigger the launch, show it, and report where the time went. Raises LocalCloudError if it fails."""
    found = _watched(on, environment.DAG)
    if not _console.is_terminal:
        say("where the time went")
        for line in run_progress.times(found):
            say(line)
    for line in run_progress.where_the_time_went(found):
        say(line)
    seconds, servers = found.seconds() or 0, len(on.servers().servers)
    say(f"{headline(found)} with {servers} servers: {seconds:.1f} s from trigger to end")
    if seconds > _PROMISED_SECONDS + on.cloud.behaviour.console_after:
        say(f"that is more than the {_PROMISED_SECONDS} s that an idle machine needs; is this one busy?")


def _watched(on: environment.DemoStage, dag: str, conf: dict[str, Any] | None = None) -> overview.RunSnapshot:
    """Trigger a DAG and show the run to its end."""
    watch = run_follower.RunFollower(
        on.api,
        on.definition.deployment,
        on.definition,
        on.servers,
        lives=on.airflow.parts,
    )
    try:
        return watched(watch, dag, conf, seconds=_MOST_SECONDS)
    except rest_errors.UnreachableError as error:
        raise airflow_process.AirflowLostError(on.airflow, error.reason) from error


def watched(
    watch: run_follower.RunFollower, dag: str, conf: dict[str, Any] | None = None, *, seconds: float
) -> overview.RunSnapshot:
    """Trigger a DAG and show the run to its end."""
    with run_progress.shown(_console) as show:
        return watch.follow(watch.trigger(dag, conf or {}), show, seconds=seconds)


def headline(found: overview.RunSnapshot) -> str:
    """Return the deployment's state in a run's snapshot, in a word or two."""
    return run_rows.headline(found).partition("   ")[0]


def _verify(on: environment.DemoStage) -> None:
    checked(verify.configured(on))
    checked(verify.sells(on))
    before = verify.snapshot(on)
    say("")
    say("launching again: nothing has changed, so nothing may change")
    launch(on)
    checked(verify.unchanged(before, verify.snapshot(on)))
    checked(verify.sells(on))
    say("")
    say(f"terminating: DAG {environment.TERMINATE}, confirmed with the deployment's name")
    confirm = requests.TerminateRequest(confirm=on.definition.deployment).conf()
    found = _watched(on, environment.TERMINATE, confirm)
    say(f"{headline(found)}: {found.seconds() or 0:.1f} s from trigger to end")
    checked(verify.nothing_left(on))


def _explain(on: environment.DemoStage) -> None:
    shop = on.shop()
    airflow = on.airflow
    dag, scale = environment.DAG, environment.SCALE
    address = shop.url.removeprefix("http://").removesuffix(":80")
    application = on.applications()[0]
    _console.print(
        f"""
[bold]Airflow[/]    {airflow.url}/dags/{dag}   user [bold]{airflow.user}[/]   password [bold]{airflow.password}[/]
[bold]The pages[/]  {airflow.url}/plugin/deployments   servers, services, runs and buttons of {dag}
[bold]The shop[/]   curl -H 'Host: {shop.host}' http://{address}/
           in a browser: put "{address.partition(":")[0]} {shop.host}" into /etc/hosts, open http://{shop.host}/

[bold]The three things to try first[/]
  redeploy        edit the greeting in include/bookshop/bookshop.yaml, trigger {dag}: the application servers
                  get it one after the other, each out of the balancer meanwhile; the shop answers all the time
  scale           trigger {scale} with 3 servers of tier application, and with 2 later: the balancer and the database
                  release a server before it is terminated
  who did what    GANTRY_URL={airflow.url} GANTRY_USERNAME={airflow.user} GANTRY_PASSWORD={airflow.password} \\
                  .venv/bin/gantry history {dag}

[bold]And then[/]
  look around     open the graph of {dag}, its Details, and the log of finish_launch: states and timeline
  launch again    trigger {dag}: it finds everything in place and touches nothing
  watch Chef      the logs of execute_configuration_management; trigger {dag} with tiers to converge, and it
                  runs again and finds nothing to do
  kill a worker   trigger {dag} with db and app to redeploy, and meanwhile
                  pkill -9 -s {airflow.pid} -f 'airflow worker': no script runs twice, and the launch ends RUNNING
  see a server    docker exec {on.cloud.name}-{application.instance_id} cat /enstratus/ws/log/agent.log
  terminate       trigger {environment.TERMINATE} and type {dag} to confirm

[bold]Ctrl-C[/] ends the demo and removes everything."""
    )


def _wait(on: environment.DemoStage) -> int:
    """Wait until a signal arrives, or Airflow ends by itself."""
    pause = threading.Event()
    # The signal is expected, and not a failure.
    with contextlib.suppress(KeyboardInterrupt, ChildProcessError):
        while not pause.wait(_LOOK_SECONDS):
            ended, _ = os.waitpid(on.airflow.pid, os.WNOHANG)
            if ended:
                raise airflow_process.AirflowLostError(on.airflow, "it ended on its own")
    return 0


@contextlib.contextmanager
def attended(remove: Callable[[str], object], left: Callable[[str], list[str]], name: str) -> Iterator[None]:
    """Convert signals into KeyboardInterrupt, and remove everything at the end, ignoring signals until then."""
    # Python leaves SIGINT ignored if a shell started us in the background.
    before = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    began = time.monotonic()
    try:
        yield
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        try:
            _clean_up(remove, left, name, began)
        finally:
            # Processes that this one starts later would inherit what is ignored.
            for number, handler in before.items():
                # None: it is not Python's.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _clean_up(
    remove: Callable[[str], object], left: Callable[[str], list[str]], name: str, began: float
) -> None:
    say("")
    say("cleaning up: Airflow, servers, network, files")
    ending = time.monotonic()
    remove(name)
    if there := left(name):
        raise cleanup.NotRemovedError(name, there)
    say(
        f"{time.monotonic() - ending:5.1f} s  nothing is left; the demo took {time.monotonic() - began:.0f} s"
    )


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _clean() -> int:
    for thing in cleanup.remove_abandoned():
        say(f"removed what a killed run left: {thing}")
    return 0


def checked(what: str) -> None:
    """Say what was promised and is so."""
    _console.print(f"[green]✓[/] {markup.escape(what)}")


def say(line: str) -> None:
    """Print a line of text for the user at the terminal."""
    _console.print(line, markup=False)


if __name__ == "__main__":
    sys.exit(main())
