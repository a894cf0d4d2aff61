"""What becomes of the load balancers' own configuration, such as `haproxy.cfg`: asked of the servers that make it.

A server makes its balancer's configuration of all that `startProxy` and `stopProxy` have told it so far, with its own
helper and its own HAProxy. So it is sent the calls that the launch would make, makes the configuration of them in a
temporary folder, and answers with that one and the one of now (`previewProxy` among the agent's scripts). Private keys
are not sent.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import io
import re
import shlex
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence

from gantry import names
from gantry.agent import config_diff, fan_out, session
from gantry.agent import errors as agent_errors
from gantry.preview import placeholders, probe, report

_SCRIPT = "previewProxy"
_SECONDS = "60"
"""Time limit of the script on the server."""

_CONFIG = re.compile(rf"{session.HOME}/ws/proxy/(?P<service>[^/]+)/enstratus\.cfg")
_KEY = 7
"""Position of the private key in the arguments of `startProxy`."""

_WITHOUT_KEY = "NONE"
_TELLING = re.compile(
    r"(^[-+ ]?|\s)"
    r"([\w-]*(?:passw(?:or)?d|secret|token|credential|api[_-]?key)[\w-]*|auth|authorization|(?:pre)?setenv)\s.*",
    re.IGNORECASE,
)
"""A word of HAProxy's, or of a person's, after which there may be a secret; with the rest of its line."""

_MAKING = frozenset(
    {
        "bin/previewProxy",
        "bin/proxy-haproxy",
        "bin/proxy-haproxy-preview",
        "lib/agent.sh",
        "lib/haproxy.sh",
        "lib/haproxy-process.sh",
    }
)
"""The agent's scripts that make what is shown, and what comes of the calls."""

_NO_SERVER = "the server is not there yet"
_NO_AGENT = "the agent's scripts are not there yet, or of an earlier version; a launch sends them first"
_OLD_AGENT = "it is shown as the agent's scripts there make it; a launch sends others first"
_NO_ANSWER = "the server has not answered in the expected form"


@dataclasses.dataclass(frozen=True)
class PlannedCalls:
    """What a launch would call on one balancer's server.

    Attributes:
        lines: the calls, as `previewProxy` expects them.
        files: the files that they name.
        addresses: by placeholders, the addresses that stand for those that are not known yet.
    """

    lines: tuple[str, ...]
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict, repr=False)
    addresses: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def archive(self) -> bytes:
        """Return the calls and their files as a tar archive."""
        buffer = io.BytesIO()
        calls = "".join(f"{line}\n" for line in self.lines).encode()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name, content in {**self.files, "calls": calls}.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                member.mode = 0o600
                archive.addfile(member, io.BytesIO(content))
        return buffer.getvalue()


def planned(works: Sequence[fan_out.Work]) -> PlannedCalls | None:
    """Return the calls in all steps' work on one server; None if its balancer is not called."""
    addresses = placeholders.addresses(
        argument for work in works for job in work.jobs for argument in job.arguments
    )
    lines: list[str] = []
    files: dict[str, bytes] = {}
    for work in works:
        contents = {file.path: file.content for file in work.files}
        for words in (*_configs(work), *_calls(work)):
            # A private key is not among them.
            files |= {_stored(contents[word]): contents[word] for word in words if word in contents}
            stored = (_stored(contents[word]) if word in contents else word for word in words)
            lines.append(shlex.join(addresses.get(word, word) for word in stored))
    called = any(not line.startswith("config ") for line in lines)
    return PlannedCalls(tuple(lines), files, addresses) if called else None


def _configs(work: fan_out.Work) -> Iterator[tuple[str, ...]]:
    for file in work.files:
        if found := _CONFIG.fullmatch(file.path):
            yield "config", found["service"], file.path


def _calls(work: fan_out.Work) -> Iterator[tuple[str, ...]]:
    for job in work.jobs:
        match job.script:
            case "startProxy":
                yield (
                    "add",
                    *job.arguments[:_KEY],
                    *(_WITHOUT_KEY for _ in job.arguments[_KEY : _KEY + 1]),
                    *job.arguments[_KEY + 1 :],
                )
            case "stopProxy":
                yield "remove", *job.arguments


def _stored(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def ask(
    server: session.Session,
    name: names.ServerName,
    calls: PlannedCalls,
    stale: Collection[str],
    secrets: Collection[str],
) -> report.BalancerPreview:
    """Return what a server says about its balancer.

    Args:
        server: the connection to it.
        name: its name.
        calls: what the launch would call there.
        stale: the agent's scripts that differ from the shipped ones, or are missing.
        secrets: values that must not be shown.

    Raises:
        ConnectionLostError: the connection broke.
    """
    if f"bin/{_SCRIPT}" in stale and not await _is_there(server):
        return report.BalancerPreview(name, unknown=_NO_AGENT)
    limit = ("env", "GANTRY_QUIET=1", "timeout", "--kill-after=5", _SECONDS)
    try:
        said = await server.run(*limit, f"{session.BIN}/{_SCRIPT}", stdin=calls.archive())
    except agent_errors.CommandError as error:
        last = error.output.strip().rpartition("\n")[2] or f"{_SCRIPT} ended with exit code {error.code}"
        return report.BalancerPreview(name, unknown=_shown(last, calls, secrets))
    found = read(name, said, calls, secrets)
    if found.unknown is None and _MAKING.intersection(stale):
        return dataclasses.replace(found, notes=(*found.notes, _OLD_AGENT))
    return found


async def _is_there(server: session.Session) -> bool:
    try:
        return bool((await server.run("find", session.BIN, "-name", _SCRIPT)).strip())
    except agent_errors.CommandError:
        # Not even the folder.
        return False


def read(
    name: names.ServerName, said: str, calls: PlannedCalls, secrets: Collection[str] = ()
) -> report.BalancerPreview:
    """Return what `previewProxy` has printed, without secrets."""
    found: dict[str, list[str]] = {}
    for line in said.split("\n"):
        word, _, text = line.partition(" ")
        found.setdefault(word, []).append(text)

    def shown(word: str) -> tuple[str, ...]:
        return tuple(_shown(text, calls, secrets) for text in found.get(word, ()))

    def first(word: str) -> str | None:
        return next(iter(shown(word)), None)

    if "unknown" not in found and "path" not in found:
        return report.BalancerPreview(name, unknown=_NO_ANSWER)
    path = first("path") or ""
    hidden = first("hidden")
    before = found.get("before", [])
    source = path if before else "/dev/null"
    return report.BalancerPreview(
        server=name,
        path=path,
        # Compared as they are: a secret that changes is a change.
        diff=tuple(
            _shown(line, calls, secrets)
            for line in difflib.unified_diff(
                before,
                found.get("after", before),
                source if hidden is None else f"{path} (not shown: {hidden})",
                path,
                lineterm="",
            )
        ),
        reasons=shown("reason"),
        refusal=first("refusal"),
        notes=shown("note"),
        unknown=first("unknown"),
    )


def _shown(text: str, calls: PlannedCalls, secrets: Collection[str]) -> str:
    """Return a text from a server for people."""
    text = _TELLING.sub(rf"\1\2 {config_diff.HIDDEN}", config_diff.without_secrets(text, secrets))
    return placeholders.shown_addresses(text, calls.addresses)


def foresee(
    asking: Sequence[names.ServerName],
    answers: probe.Answers,
    works: Mapping[names.ServerName, Sequence[fan_out.Work]],
    secrets: Collection[str],
) -> tuple[report.BalancerPreview, ...]:
    """Return how the configuration of each balancer's server changes, asking all that can tell.

    Args:
        asking: the balancers' servers.
        answers: what they, and others, have answered before.
        works: all work of the launch on each server, in order.
        secrets: values that must not be shown.
    """
    found: dict[names.ServerName, report.BalancerPreview] = {}
    visits: list[probe.ProbeRequest[report.BalancerPreview]] = []
    for name in asking:
        found[name] = report.BalancerPreview(name)
        if name in answers.unknowns:
            found[name] = report.BalancerPreview(name, unknown=answers.unknowns[name])
        elif name not in answers.asked:
            found[name] = report.BalancerPreview(name, unknown=_NO_SERVER)
        elif (calls := planned(works.get(name, ()))) is not None:
            said = functools.partial(
                ask, name=name, calls=calls, stale=answers.states[name].stale, secrets=secrets
            )
            visits.append(dataclasses.replace(answers.asked[name], ask=said))
    for name, told in probe.look(visits).items():
        if isinstance(told, report.BalancerPreview):
            found[name] = told
        else:
            found[name] = report.BalancerPreview(name, unknown=probe.reason(name, told))
    return tuple(found.values())
