"""Logs of a run's tasks: finds, selects, follows and prints them."""

from __future__ import annotations

import dataclasses
import datetime
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.text import Text

from gantry import errors, log_marks, names
from gantry.cli.queries import rest_source
from gantry.cli.support import console
from gantry.rest import client, deployments, logs
from gantry.rest import errors as rest_errors

Show = Callable[["LogSource", logs.ApiLogLine], None]

_PAUSE = 1.0
_STYLES = {"error": "red", "critical": "bold red", "warning": "yellow", "debug": "dim"}
_WORKS = ("running", "deferred", "up_for_retry", "up_for_reschedule", "restarting", "queued", "scheduled")
_BATCH = re.compile(r"(?P<stem>.+-)(?P<first>\d+) … (?P=stem)(?P<last>\d+) \(\d+\)")
_SLOT = re.compile(r"(?P<stem>.+-)(?P<slot>\d+)")
_SERVER = re.compile(r"\[([A-Za-z0-9._*-]+)\]")
"""The server of a line in a batch. A part of the name may be a secret's value: then Airflow shows `***` instead."""


class NoRunError(errors.GantryError):
    """The run does not exist."""

    def __init__(self, name: str, run: str | None, known: Sequence[str]) -> None:
        self.run = run
        if run is None:
            text = f"{name} has had no run yet; start one with gantry launch {name}"
        else:
            text = f"{name} has no run {run!r}; the newest are {', '.join(known) or 'none'}"
        super().__init__(text)


class NoStepError(errors.GantryError):
    """The selection matches no task of the run."""

    def __init__(self, what: str, wanted: str, known: Sequence[str], *more: str) -> None:
        self.wanted = wanted
        hint = errors.suggestion(wanted, [*more, *known] if errors.near(wanted, more) else known)
        super().__init__(f"the run has no {what} {wanted!r}{hint}")


@dataclasses.dataclass(frozen=True)
class LogSelection:
    """The selected logs: of a deployment's newest run, or of one; of all steps or some; of all servers or one."""

    name: str
    run: str | None = None
    step: str | None = None
    server: str | None = None

    def takes_step(self, task: str) -> bool:
        """Return whether a task is selected: by its id, its kind or the part it belongs to."""
        group, _, kind = task.rpartition(".")
        return self.step in (None, task, group, kind)

    def takes_server(self, label: str) -> bool:
        """Return whether a task instance with that label works on the selected server."""
        if self.server is None:
            return True
        names = (self.server, f"{self.name}-{self.server}")
        if any(log_marks.may_show(label, each) for each in names):
            return True
        batch = _BATCH.fullmatch(label)
        if batch is None:
            return False
        return any(
            (own := _SLOT.fullmatch(each)) is not None
            and log_marks.may_show(batch["stem"], own["stem"])
            and int(batch["first"]) <= int(own["slot"]) <= int(batch["last"])
            for each in names
        )

    def takes_line(self, label: str, line: logs.ApiLogLine) -> bool:
        """Return whether a line of an instance is about the selected server: in a batch, each line names its own."""
        if self.server is None or _BATCH.fullmatch(label) is None:
            return True
        names = (self.server, f"{self.name}-{self.server}")
        return any(
            log_marks.may_show(shown[1], each) for shown in _SERVER.finditer(line.text) for each in names
        )


@dataclasses.dataclass(frozen=True)
class LogSource:
    """The source of lines: one try of a task instance."""

    instance: client.ApiTaskInstance

    @property
    def title(self) -> str:
        """Return the title above the lines."""
        each = self.instance
        label = "" if each.label.isdecimal() else each.label
        tries = f"try {each.try_number}" if each.try_number > 1 else ""
        return " · ".join(part for part in (each.task_id, label, each.state or "waiting", tries) if part)

    @property
    def key(self) -> tuple[str, int, int]:
        """Return the key that does not change while the try is going on."""
        return (self.instance.task_id, self.instance.map_index, self.instance.try_number)


class _Tail:
    """One source's log, read as it grows."""

    def __init__(self) -> None:
        self._token: str | None = None
        self._told = 0
        self._lines: list[logs.ApiLogLine] = []
        self.is_complete = False
        self.may_grow = False

    def read(
        self, api: client.AirflowApi, run: client.ApiDagRun, instance: client.ApiTaskInstance
    ) -> list[logs.ApiLogLine]:
        """Return the new lines."""
        chunk = api.log_chunk(run.dag, run.id, instance, token=self._token)
        lines = logs.told(chunk.lines)
        # Without a token the log is returned from its beginning.
        new = lines if self._token else lines[self._told :]
        self._told += len(new)
        self._lines = [*(self._lines if self._token else ()), *chunk.lines]
        now = datetime.datetime.now(tz=datetime.UTC)
        self.may_grow = logs.may_grow(self._lines, instance.state, instance.ended, now)
        self._token = chunk.token
        # While a task waits to continue (after its triggerer, say), Airflow calls its log complete, although it is
        # not.
        self.is_complete = chunk.token is None and instance.state not in _WORKS and not self.may_grow
        return new


class Printer:
    """Prints lines below a title for each source."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: tuple[str, int, int] | None = None

    def show(self, source: LogSource, line: logs.ApiLogLine) -> None:
        """Print one line."""
        if source.key != self._shown:
            self._console.print(Text(f"── {source.title} ──", "bold"))
            self._shown = source.key
        text = Text()
        if line.time:
            text.append(f"{line.time[11:19]} ", "dim")
        if line.level in ("error", "critical", "warning"):
            text.append(f"{line.level}: ", _STYLES[line.level])
        self._console.print(text.append(line.text, _STYLES.get(line.level, "")))


def as_json(source: LogSource, line: logs.ApiLogLine) -> None:
    """Print one line as a line of JSON."""
    each = source.instance
    found = {
        "task": each.task_id,
        "map_index": each.map_index,
        "label": each.label,
        "try": each.try_number,
        **dataclasses.asdict(line),
    }
    sys.stdout.write(f"{console.json_text(found)}\n")


def tell(api: client.AirflowApi, wanted: LogSelection, show: Show, *, follow: bool) -> None:
    """Output the lines, task by task in the order of the DAG; while following, as they arrive.

    Raises:
        UnknownDeploymentError, NoRunError, NoStepError: the selected run or step does not exist.
    """
    deployments.find(api, wanted.name)
    run = _run(api, wanted)
    order = {task: number for number, task in enumerate(rest_source.in_order(api.downstream(run.dag)))}
    tails: dict[tuple[str, int, int], _Tail] = {}
    while True:
        # The state first: then the tasks are at least as new.
        run = api.run(run.dag, run.id)
        for instance in _instances(api, run, wanted, order):
            source = LogSource(instance)
            tail = tails.setdefault(source.key, _Tail())
            if not tail.is_complete:
                for line in tail.read(api, run, instance):
                    if wanted.takes_line(instance.label, line):
                        show(source, line)
        sys.stdout.flush()
        if not any(each.may_grow for each in tails.values()) and (not follow or run.is_over):
            return
        time.sleep(_PAUSE)


def _run(api: client.AirflowApi, wanted: LogSelection) -> client.ApiDagRun:
    if wanted.run is None:
        newest = next(rest_source.runs(api, wanted.name), None)
        if newest is None:
            raise NoRunError(wanted.name, None, ())
        return newest
    for operation in names.Operation:
        try:
            return api.run(names.dag_id(wanted.name, operation), wanted.run)
        except rest_errors.NotFoundError:
            continue
    newest_first = rest_source.runs(api, wanted.name)
    raise NoRunError(
        wanted.name, wanted.run, [run.id for run, _ in zip(newest_first, range(5), strict=False)]
    )


def _instances(
    api: client.AirflowApi, run: client.ApiDagRun, wanted: LogSelection, order: dict[str, int]
) -> Iterator[client.ApiTaskInstance]:
    """Yield the selected instances whose log has begun, in order."""
    every = api.instances(run.dag, run.id)
    chosen = [each for each in every if wanted.takes_step(each.task_id)]
    if not chosen:
        steps = sorted({each.task_id for each in every})
        parts = sorted({part for each in steps for part in each.rpartition(".")[::2] if part})
        raise NoStepError("step", str(wanted.step), steps, *parts)
    found = [each for each in chosen if wanted.takes_server(each.label)]
    if not found and run.is_over:
        labels = sorted({each.label for each in chosen if each.label and not each.label.isdecimal()})
        raise NoStepError("task that works on server", str(wanted.server), labels)
    begun = (each for each in found if each.started is not None and each.try_number > 0)
    yield from sorted(begun, key=lambda each: (order.get(each.task_id, len(order)), each.map_index))
