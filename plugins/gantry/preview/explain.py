"""Explanation of a step's work on a server: what it does there, and why. Pure functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

from gantry import inventory, names, requests
from gantry.agent import content_digests, fan_out, jobs, layout, session
from gantry.definition import models
from gantry.plan import Step, StepKind
from gantry.preview import diff, placeholders, report
from gantry.preview.state import ServerState
from gantry.reconcile import data_renewal

Changes = tuple[report.Change, ...]


@dataclasses.dataclass(frozen=True)
class StepContext:
    """One step on one server, just before it runs.

    Attributes:
        request: what the launch is asked for.
        secrets: values that must not be shown.
        servers: the deployment's servers by address.
        earlier: what earlier steps do on this server.
        renewal: what it is filled with if it replaces a lost database server.
    """

    definition: models.Definition
    step: Step
    server: inventory.Server
    state: ServerState
    work: fan_out.Work
    request: requests.LaunchRequest
    secrets: frozenset[str] = dataclasses.field(default=frozenset(), repr=False)
    servers: Mapping[str, names.ServerName] = dataclasses.field(default_factory=dict)
    earlier: Changes = ()
    renewal: data_renewal.Renewal | None = None

    def before(self, job: jobs.Job) -> str | None:
        """Return the mark that a job is about to replace."""
        return self.state.marks.get(job.noted[0][0]) if job.noted else None

    @property
    def service(self) -> models.Service:
        """Return the step's service."""
        if self.step.service is None:
            raise LookupError(f"{self.step.id} is about no service")
        return self.definition.services[self.step.service]

    def change(self, called: tuple[jobs.Job, ...], *reasons: str, **more: tuple[str, ...]) -> report.Change:
        """Return what jobs of this step do."""
        calls = tuple(each for job in called for each in _calls(job))
        return report.Change(
            step=self.step.id,
            kind=self.step.kind,
            server=self.server.name,
            service=self.step.service,
            reasons=reasons,
            calls=calls,
            files=tuple(file.path for file in _staying(self.work)),
            restarts=any(each.script == "startService" for each in calls),
            **more,
        )


def explain(scene: StepContext) -> Changes:
    """Return what the step would change on the server; empty if it does nothing, or repeats what is already so."""
    if not scene.work.jobs and not scene.work.files:
        return ()
    return tuple(WORDS[scene.step.kind](scene))


def repeated(scene: StepContext) -> Changes:
    """Return what the step would do without changing anything."""
    if scene.work.jobs and not explain(scene):
        return (scene.change(scene.work.jobs, "joins at every launch"),)
    return ()


def other_objects(scene: StepContext) -> Iterator[tuple[report.ObjectKind, str, str]]:
    """Yield the archives and dumps that differ from those on the server: kind, owner, URL."""
    for job in scene.work.jobs:
        key, version = job.noted[0] if job.noted else ("", "")
        if scene.before(job) not in (None, version):
            yield from _object(scene, key)


def held_objects(scene: StepContext) -> Iterator[tuple[report.ObjectKind, str, str]]:
    """Yield the changed dumps that are not loaded, since there is data."""
    for each in scene.work.held:
        yield from _object(scene, each.key)


def _object(scene: StepContext, key: str) -> Iterator[tuple[report.ObjectKind, str, str]]:
    """Yield the archive or dump that a server's mark refers to."""
    id_, _, what = key.partition("/")
    name = next((name for name, each in scene.definition.services.items() if each.id == id_), None)
    if name is None:
        return
    service = scene.definition.services[name]
    if what == "archive":
        yield report.ObjectKind.ARCHIVE, name, service.archive
    elif what.startswith("datasource."):
        datasource = names.DatasourceName(what.removeprefix("datasource."))
        url = service.datasources[datasource].dump
        yield report.ObjectKind.DATASOURCE, f"{name}.{datasource}", url


def _prepare_management(scene: StepContext) -> Iterator[report.Change]:
    new = not any(file.path in scene.state.digests for file in scene.work.files)
    yield scene.change((), "not there yet" if new else "not as they should be")


def _execute_management(scene: StepContext) -> Iterator[report.Change]:
    job = scene.work.jobs[-1]
    done = (scene.before(job) or "").partition(" ")[0]
    wanted = job.mark[1].partition(" ")[0] if job.mark is not None else ""
    if not done:
        reason = "has not succeeded here yet"
    elif done != wanted:
        reason = "what it depends on has changed: run list, attributes, environment, server or program"
    elif scene.step.tier in scene.request.converge:
        reason = "converge is asked for"
    else:
        reason = "converges at every launch"
    yield scene.change(scene.work.jobs, reason)


def _install_services(scene: StepContext) -> Iterator[report.Change]:
    services = {each.id: name for name, each in scene.definition.services.items()}
    for job in scene.work.jobs:
        if job.noted:
            reason = _other_object(scene, job, _NOT_INSTALLED, "the archive has changed")
            id_ = job.noted[0][0].partition("/")[0]
        else:
            reason = "the archive has changed: it is checked before a server leaves its load balancers"
            id_ = job.arguments[job.arguments.index(content_digests.CHECKS) + 1]
        yield dataclasses.replace(
            scene.change((job,), reason or "redeploy is asked for"),
            service=services.get(names.ServiceId(id_)),
        )


def _install_datasources(scene: StepContext) -> Iterator[report.Change]:
    for job in scene.work.jobs:
        datasource = job.noted[0][0].partition("datasource.")[2]
        if content_digests.COMPARES in job.arguments:
            reason = "the object has changed: its content is compared, and nothing is loaded"
        elif scene.before(job) is not None:
            reason = "reload is asked for, in place of the data that is there"
        else:
            reason = _not_loaded(scene, datasource)
        yield scene.change((job,), reason, details=(datasource,))


def _not_loaded(scene: StepContext, datasource: str) -> str:
    if scene.renewal is None:
        return "not loaded yet"
    stored = scene.renewal.backups.get(names.DatasourceName(datasource))
    if stored is None:
        return "lost with its server; starts from its dump, as is asked for"
    return f"lost with its server; restored from {stored.url}"


def _other_object(scene: StepContext, job: jobs.Job, new: str, changed: str) -> str | None:
    if job.noted[0][0].endswith("/owned"):
        return "its files are made root's, and those of the archive; the service goes on running"
    if content_digests.COMPARES in job.arguments:
        return "the object has changed: its content is compared before anything is installed"
    before = scene.before(job)
    if before is None:
        return new
    if (
        job.script == "withDownload"
        and job.arguments[3] == content_digests.SCRIPT
        and "changed" in job.arguments[4:_APPLIES]
    ):
        return "the object has changed: installed if its content has"
    return changed if before != job.noted[0][1] else None


def _update(scene: StepContext) -> Iterator[report.Change]:
    """Explain an update. On a balancer: which nodes leave and rejoin. On a server of the service: what is new there."""
    if {job.script for job in scene.work.jobs} <= {"stopProxy", "awaitDrained", "startProxy"}:
        told = {"stopProxy": "leaves", "startProxy": "joins again"}
        details = [
            f"{told[job.script]}: {_node(scene, job.arguments[0 if job.script == 'stopProxy' else 4])}"
            for job in scene.work.jobs
            if job.script in told
        ]
        yield scene.change(scene.work.jobs, details=tuple(dict.fromkeys(details)))
        return
    installs = (job for job in scene.work.jobs if job.script == "withDownload")
    found = (_other_object(scene, job, _NOT_INSTALLED, "the archive has changed") for job in installs)
    yield from _configured(scene, [reason for reason in found if reason])


def _configure(scene: StepContext) -> Iterator[report.Change]:
    reasons = [
        "newly installed" if reason == _NOT_INSTALLED else reason
        for each in scene.earlier
        if each.kind is StepKind.INSTALL_SERVICES and each.service == scene.step.service
        for reason in each.reasons
    ]
    yield from _configured(scene, reasons)


def _configured(scene: StepContext, reasons: list[str]) -> Iterator[report.Change]:
    path = layout.service_config(scene.service.id)
    lines: tuple[str, ...] = ()
    if [job.script for job in scene.work.jobs] == ["putConfig"]:
        reasons.append("enstratus.cfg is made root's; the service goes on running")
    # Without one, an earlier launch has written the file, and the service only needs a restart.
    handed = {job.arguments[1] for job in scene.work.jobs if job.script == "putConfig"}
    sent = next((each.content for each in scene.work.files if each.path in handed), None)
    if sent is not None and path in scene.state.unreadable:
        reasons.append(f"no diff: {path} {scene.state.unreadable[path]}")
    elif sent is not None:
        lines = diff.unified(path, scene.state.configs.get(path), sent.decode(), scene.secrets)
        if lines and path in scene.state.configs:
            reasons.append("enstratus.cfg changes")
        elif (
            not reasons
            and scene.service.tls is not None
            and any(_renews(job, scene) for job in scene.work.jobs)
        ):
            reasons.append("its certificate, or the address that it is for, has changed")
    yield _about_restart(scene, reasons, lines)


def _restart(scene: StepContext) -> Iterator[report.Change]:
    same = (each for each in scene.earlier if each.service == scene.step.service)
    reasons = [reason for each in same if each.kind is StepKind.CONFIGURE for reason in each.reasons]
    yield _about_restart(scene, reasons, ())


def _about_restart(scene: StepContext, reasons: list[str], lines: tuple[str, ...]) -> report.Change:
    said = scene.state.checks.get(scene.service.id)
    if all(job.script == "grantDatabaseAccess" for job in scene.work.jobs):
        reasons.append("its replicants, or their account, have changed")
    if scene.step.service in scene.request.redeploy:
        reasons.append("redeploy is asked for")
    elif not reasons and said not in (None, fan_out.OK):
        reasons.append(f"its check says: {_one_line(said)}")
    unique = dict.fromkeys(each for each in reasons if each)
    return scene.change(
        scene.work.jobs, *(unique or ("an earlier launch did not get through this step",)), diff=lines
    )


def _grant_access(scene: StepContext) -> Iterator[report.Change]:
    for job in scene.work.jobs:
        if job.script == "revokeDatabaseAccess":
            yield scene.change((job,), "servers leave", details=(_access(scene, job, "taken back"),))
            continue
        reason = "not granted yet" if scene.before(job) is None else "addresses or account have changed"
        yield scene.change((job,), reason, details=(_access(scene, job),))


def _access(scene: StepContext, job: jobs.Job, what: str = "") -> str:
    """Describe who has access to what from where, according to the job's file."""
    content = next((file.content.decode() for file in scene.work.files if file.path in job.remove), "")
    facts = dict(line.split("=", 1) for line in content.splitlines() if "=" in line)
    granted = f"{scene.step.peer} on {scene.step.service}.{facts.get('dataSource', '?')}"
    allowed = facts.get("addresses", "").replace(",", ", ")
    return f"{granted} {what}{' ' if what else ''}for {placeholders.shown(allowed)}"


def _start_proxy(scene: StepContext) -> Iterator[report.Change]:
    lines: tuple[str, ...] = ()
    told = False
    for file in _staying(scene.work):
        before = scene.state.configs.get(file.path)
        told = told or before is not None
        lines += diff.unified(file.path, before, file.content.decode(), scene.secrets)
    leaving = [" ".join(job.arguments) for job in scene.work.jobs if job.mark is None]
    joining = [
        _node(scene, job.mark[0].rpartition("/")[2])
        for job in scene.work.jobs
        if job.mark is not None and (lines or scene.before(job) != job.mark[1])
    ]
    details = [
        f"{what}: {', '.join(nodes)}" for what, nodes in (("leaves", leaving), ("joins", joining)) if nodes
    ]
    if details or lines:
        reasons = []
        if lines and told:
            reasons.append("its configuration changes")
        elif any(_renews(job, scene) for job in scene.work.jobs):
            reasons.append("its certificate or its configuration has changed")
        yield scene.change(scene.work.jobs, *reasons, details=tuple(details), diff=lines)


def _renews(job: jobs.Job, scene: StepContext) -> bool:
    """Return whether a job repeats an earlier one with other inputs."""
    return job.mark is not None and scene.before(job) not in (None, job.mark[1])


def _staying(found: fan_out.Work) -> Iterator[session.RemoteFile]:
    """Yield the files that stay on the server. The others wait for a script, and some contain only a secret."""
    return (file for file in found.files if not file.path.startswith(f"{session.TEMPORARY}/"))


def _node(scene: StepContext, address: str) -> str:
    name = scene.servers.get(address)
    shown = placeholders.shown(address)
    return shown if name is None else f"{name} {shown}"


def _calls(job: jobs.Job) -> Iterator[report.ScriptCall]:
    """Yield the contract's scripts that a job runs."""
    arguments = tuple(placeholders.shown(each) for each in job.arguments)
    if job.script == "withDownload":
        yield report.ScriptCall("downloadFile", arguments[:3])
        inner = arguments[3:] if arguments[3] != content_digests.SCRIPT else arguments[_APPLIES:]
        yield report.ScriptCall(inner[0], inner[1:])
    else:
        yield report.ScriptCall(job.script, arguments)


def _one_line(said: str | None) -> str:
    words = " ".join((said or "").split())
    shown = "".join(letter for letter in words if letter.isprintable())
    return shown if len(shown) <= _LONGEST_ANSWER else f"{shown[:_LONGEST_ANSWER]}…"


_APPLIES = 10
"""Number of arguments of `withDownload` and `applyObject` before the script that is called with the downloaded file."""

_LONGEST_ANSWER = 120
_NOT_INSTALLED = "not installed yet"

WORDS: dict[StepKind, Callable[[StepContext], Iterator[report.Change]]] = {
    StepKind.PREPARE_CONFIGURATION_MANAGEMENT: _prepare_management,
    StepKind.EXECUTE_CONFIGURATION_MANAGEMENT: _execute_management,
    StepKind.INSTALL_SERVICES: _install_services,
    StepKind.INSTALL_DATASOURCES: _install_datasources,
    StepKind.UPDATE: _update,
    StepKind.CONFIGURE: _configure,
    StepKind.CONFIGURE_REPLICANTS: _configure,
    StepKind.RESTART: _restart,
    StepKind.GRANT_ACCESS: _grant_access,
    StepKind.START_PROXY: _start_proxy,
}
