"""What chef-client says: how a run went, and what its failure means.

It says everything on standard output and ends with 1 whatever went wrong, so the text is all there is to go by.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from gantry.agent import errors

_FATAL = re.compile(r"^(?:\[[^\]]*\] )?FATAL: (?P<text>.*\S)")
_RESOURCE = re.compile(r"^ *\* (?P<resource>[a-z_0-9]+\[.*\]) action (?P<action>[a-z_]+)(?P<rest>.*)$")
_UNTOUCHED = re.compile(r"^ *\((up to date|skipped due to)")
_COMPLETE = re.compile(
    r"(?:Infra Phase complete|Chef (?:Infra )?Client finished), (?P<updated>\d+)/(?P<total>\d+) resources updated"
    r"(?: in (?P<time>.*))?$"
)
_UNIT_SECONDS = {"hour": 3600, "minute": 60, "second": 1}
_MOST_RESOURCES = 200
"""Updated resources in a result at most; the log has them all."""


@dataclasses.dataclass(frozen=True)
class Advice:
    """What a failure means: `cause` is looked for in the FATAL line and in what was kept of the log before it."""

    cause: re.Pattern[str]
    advice: str
    passing: bool = False


_CLOCK = re.compile(r"check your system'?s clock|synchronize the clock", re.IGNORECASE)
_LICENSE = re.compile(r"license.* (not been|not) accepted|ended with exit code 172", re.IGNORECASE)
_TAKEN = re.compile(r"There may already be a client named", re.IGNORECASE)
# In the FATAL line these stand at its beginning: an error of the same class inside a recipe begins with the resource.
_UNREACHABLE = (
    r"^(Errno::E(CONN\w+|HOSTUNREACH|NETUNREACH|TIMEDOUT|PIPE)|SocketError|EOFError|Timeout::Error|"
    r"Net::(Open|Read|Write)Timeout|Net::HTTPFatalError|Net::HTTPServerException: 5\d\d|"
    r"OpenSSL::SSL::SSLError: SSL_connect (?!.*certificate))"
)
_ADVICE = (
    Advice(
        _LICENSE,
        "the license of Chef Infra Client is not accepted on this server. If you accept it, write accept_license: true "
        "under chef in the launch configuration, and clear this task.",
    ),
    Advice(
        _CLOCK,
        "the clocks of this server and of the Chef server differ by more than 15 minutes. Set the server's clock "
        "(NTP), and clear this task.",
    ),
    Advice(
        _TAKEN,
        "a client of this name is registered, and this server has not got its key (it was lost, or it belonged to a "
        "former server). Give the connection an admin key and clear prepare_configuration_management with what "
        "follows, which removes it; or remove the client and the node by hand, and clear this task.",
    ),
    Advice(
        re.compile(r"^Net::HTTP\w+: 401|Failed to authenticate"),
        "the Chef server does not accept the key. For a new node: check the validation client's name and key in the "
        "connection. For a known one: its /etc/chef/client.pem is not the one that the Chef server knows; remove it, "
        "and clear prepare_configuration_management with what follows.",
    ),
    Advice(
        re.compile(r"nonexistent roles|MissingRole"),
        "upload the role to the Chef server, or correct the tier's run_list; then clear this task.",
    ),
    Advice(
        re.compile(r"^Net::HTTP\w+: 412|No such cookbook|Precondition Failed"),
        "a cookbook of the run list, or one that it depends on, is not on the Chef server. Upload it, and clear this "
        "task.",
    ),
    Advice(
        re.compile(r"^Net::HTTP\w+: 403"),
        "the Chef server knows this node and does not let it. Check the client's permissions, and clear this task.",
    ),
    Advice(
        re.compile(r"^Net::HTTP\w+: 404"),
        "the Chef server has no such thing; often it is the environment. Create it, or correct the definition, and "
        "clear this task.",
    ),
    Advice(
        re.compile(r"certificate verify failed"),
        "the Chef server's certificate is not trusted. Put it into the connection's field Trusted certificate, and "
        "clear prepare_configuration_management with what follows.",
    ),
    Advice(
        re.compile(r"PrivateKeyMissing|InvalidPrivateKey"),
        "the node has no usable key. Check the validation key in the connection, and clear this task.",
    ),
    Advice(
        re.compile(_UNREACHABLE),
        "the Chef server cannot be reached from this server, or is in trouble.",
        passing=True,
    ),
)
_OTHER = "mend the cookbook or the attributes, upload what changed, and clear this task."


@dataclasses.dataclass(frozen=True)
class Summary:
    """How a run went. `seconds` is chef-client's own count; `resources` were updated."""

    updated: int
    total: int
    seconds: int | None
    resources: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The summary as plain JSON."""
        return {**dataclasses.asdict(self), "resources": list(self.resources)}


class ChefRunFailedError(errors.ServerError):
    """chef-client failed. The first line is its own last word, and what to do; so is the last, behind the log's end."""

    def __init__(self, failed: errors.ScriptFailedError, fatal: str, advice: str, *, passing: bool) -> None:
        self.fatal = fatal
        self.passing = passing
        super().__init__(
            failed.server,
            f"FATAL: {fatal} — {advice}\n"
            f"{failed.call} failed with exit code {failed.code}. The end of its output:\n{failed.tail}\n"
            f"{advice[:1].upper()}{advice[1:]}",
        )


class ChefReader:
    """Reads the log of a chef-client. See `gantry.agent.jobs.Reader`."""

    def keeps(self, line: str) -> bool:
        """Resources, the phase's end, and what tells of a failure."""
        return any(each.search(line) for each in (_RESOURCE, _COMPLETE, _FATAL, _CLOCK, _LICENSE, _TAKEN))

    def failure(self, error: errors.ScriptFailedError, kept: Sequence[str]) -> errors.ServerError:
        """Chef's own word for the failure, with what to do; the error itself where Chef did not get to speak."""
        told = [line for line in kept if not _RESOURCE.search(line)]
        fatal = next((found["text"] for line in reversed(told) if (found := _FATAL.search(line))), None)
        texts = told if fatal is None else [fatal, *told]
        known = next((each for each in _ADVICE if any(each.cause.search(text) for text in texts)), None)
        if fatal is None and known is None:
            return error
        advice = known.advice if known else _OTHER
        return ChefRunFailedError(
            error, fatal or told[-1].strip(), advice, passing=known is not None and known.passing
        )

    def summary(self, kept: Sequence[str]) -> Summary | None:
        """The counts, and which resources were updated; None where the run did not get to its end."""
        complete = next((found for line in reversed(kept) if (found := _COMPLETE.search(line))), None)
        if complete is None:
            return None
        touched = [
            f"{found['resource']} {found['action']}"
            for line in kept
            if (found := _RESOURCE.search(line)) and not _UNTOUCHED.search(found["rest"])
        ]
        return Summary(
            int(complete["updated"]),
            int(complete["total"]),
            _seconds(complete["time"]),
            tuple(touched[:_MOST_RESOURCES]),
        )


def _seconds(words: str | None) -> int | None:
    """`01 minutes 05 seconds` in seconds."""
    parts = re.findall(r"(\d+) (hour|minute|second)s?", words or "")
    return sum(int(number) * _UNIT_SECONDS[unit] for number, unit in parts) if parts else None
