"""State of deployments as text for people."""

from __future__ import annotations

import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gantry import durations, inventory, overview
from gantry.cli.output import history_text
from gantry.cli.queries import deployment_status
from gantry.cli.support import console as consoles

_STYLES = {
    "RUNNING": "green",
    "LAUNCHING": "yellow",
    "MAINTENANCE": "yellow",
    "STOPPING": "yellow",
    "STARTING": "yellow",
    "PAUSED": "yellow",
    "IMPAIRED": "bold red",
    "UNREACHABLE": "bold red",
    "STOPPED": "dim",
}


def show(found: deployment_status.StatusReport, console: Console) -> None:
    """Print for people."""
    head = Text(found.name, "bold")
    head.append(" is ", "")
    if found.state is None:
        running = sum(each.running for each in found.tiers)
        head = Text(f"{found.name} has {running} running {'server' if running == 1 else 'servers'}", "bold")
    else:
        head.append(found.state, _STYLES.get(found.state, ""))
    if found.phase is not None:
        head.append(
            f" (failed at {found.phase})" if found.failed else f" ({found.phase})",
            "bold red" if found.failed else "",
        )
    elif found.failed:
        head.append(" (failed)", "bold red")
    console.print(head)
    if found.run is not None:
        console.print(_run_text(found.run), highlight=False)
        console.print(f"  {found.link}", style="dim", markup=False, highlight=False)
    if found.record is not None:
        console.print(f"  on record: {history_text.line(found.record)}", markup=False, highlight=False)
    # Of what was never launched, these are only the definition's numbers.
    if found.tiers and (found.run is not None or found.servers):
        told = ", ".join(f"{each.name} {each.running} of {each.wanted}" for each in found.tiers)
        console.print(f"  tiers: {told}", markup=False, highlight=False)
    if found.servers:
        consoles.show(_server_table(found.servers), console)
    for note in found.notes:
        console.print(f"  {note}", style="yellow", markup=False, highlight=False)


def table(found: list[deployment_status.DeploymentLine]) -> Table:
    """Return a list of deployments as a table."""
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("deployment", "state", "last run", "began", "", "notes"):
        drawn.add_column(title, no_wrap=True)
    for each in found:
        state, failed = each.standing.state.value, each.standing.failed
        notes = [*(["paused"] if each.is_paused else []), *(["import error"] if each.is_broken else [])]
        run = each.run
        drawn.add_row(
            each.name,
            Text(f"{state} (failed)", "bold red") if failed else Text(state, _STYLES[state]),
            f"{run.noun} {run.state}" if run else "never launched",
            _clock(run.started or run.asked) if run else "",
            _took(run) if run else "",
            ", ".join(notes),
        )
    return drawn


def _server_table(servers: tuple[overview.ServerView, ...]) -> Table:
    drawn = Table(box=None, header_style="dim", padding=(0, 1, 0, 1))
    with_agents = any(each.agent for each in servers)
    with_instances = any(each.instance for each in servers)
    titles = ["server", *(["instance", "state", "address"] if with_instances else [])]
    with_services = with_agents or any(each.installed for each in servers)
    titles += ["agent"] if with_agents else []
    for title in [*titles, *(["services"] if with_services else [])]:
        drawn.add_column(title, no_wrap=True)
    for each in servers:
        row: list[Text] = [Text(each.name)]
        if with_instances:
            instance = each.instance
            row += [
                Text(instance.instance_id if instance else "gone", "" if instance else "bold red"),
                Text(
                    instance.state.value if instance else "",
                    "" if instance and instance.state is inventory.InstanceState.RUNNING else "yellow",
                ),
                Text((instance.private_address or "") if instance else ""),
            ]
        if with_agents:
            row.append(Text(each.agent or "", _STYLES.get(each.agent or "", "")))
        if with_services:
            row.append(_services_text(each))
        drawn.add_row(*row)
    return drawn


def _services_text(server: overview.ServerView) -> Text:
    """Return each service with its state, and the installed version."""
    text = Text()
    for service in dict.fromkeys((*server.services, *server.installed)):
        text.append(service)
        if state := server.services.get(service):
            text.append(" ").append(state, _STYLES.get(state, ""))
        if found := server.installed.get(service):
            text.append(f" {found.short}", "dim" if found.version else "bold red")
        text.append("  ")
    return text


def _run_text(run: overview.Run) -> Text:
    text = Text(f"  last {run.noun}: {run.state}", "")
    if run.started:
        text.append(f", began {_clock(run.started)}")
    if took := _took(run):
        text.append(f", {took}")
    if run.user:
        text.append(f", by {run.user}")
    if run.reason:
        text.append(f": {run.reason}")
    return text


def _clock(time: datetime.datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z")


def _took(run: overview.Run) -> str:
    if not run.started or not run.ended:
        return ""
    return f"took {durations.text(run.ended - run.started, exact=False)}"
