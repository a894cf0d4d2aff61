"""EC2's API rate limits: token buckets for each action and region, as AWS documents them.

The figures are those of https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html (moto has none).
"""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from gantry.local.cloud import api_errors, behavior
from gantry.local.cloud.api_errors import Refused

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger(__name__)

Form = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Size:
    """The capacity of a bucket, and its refill rate per second."""

    holds: float
    refill: float


_READING = ("Describe", "List", "Search", "Get")
_READS, _READS_EVERYTHING, _CHANGES = Size(100, 20), Size(50, 10), Size(50, 5)

_CHEAPER_WITH_FILTERS = frozenset(
    {
        *(
            "DescribeInstances",
            "DescribeInstanceStatus",
            "DescribeNetworkInterfaces",
            "DescribeSecurityGroups",
        ),
        *("DescribeSnapshots", "DescribeSpotInstanceRequests", "DescribeVolumes"),
    }
)
"""Actions with a smaller bucket for calls without a filter and without pagination."""

_OWN = {
    "RunInstances": Size(5, 2),
    "StartInstances": Size(5, 2),
    "TerminateInstances": Size(100, 5),
    "CreateTags": Size(100, 10),
    "DeleteTags": Size(100, 10),
    "CreateVolume": Size(100, 5),
    "DeleteVolume": Size(100, 5),
    "CreateSnapshot": Size(100, 5),
    "CreateNetworkInterface": Size(100, 5),
    "AssociateIamInstanceProfile": Size(100, 5),
    "ModifyInstanceMetadataOptions": Size(100, 5),
    "DeregisterImage": Size(100, 5),
}
"""Actions with a different bucket size from the others of their kind, as far as they are called here."""

_INSTANCES = {
    "RunInstances": Size(1000, 2),
    "StartInstances": Size(1000, 2),
    "StopInstances": Size(1000, 20),
    "TerminateInstances": Size(1000, 20),
}
"""Actions that take a token for each instance from a second bucket."""


class Buckets:
    """The tokens left in an account's buckets."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}

    def allow(self, region: str, form: Form, allowance: float) -> bool:
        """Take the tokens of a call if there are enough; return whether there were.

        Args:
            region: the region.
            form: the call's parameters, including `Action`.
            allowance: the multiple of EC2's limits.
        """
        action = form.get("Action", ["?"])[0]
        name, size = _bucket(action, form)
        wanted = [(f"{region}/{name}", size, 1)]
        if action in _INSTANCES:
            wanted.append((f"{region}/{action}/instances", _INSTANCES[action], _instances(form)))
        with self._lock:
            now = self._clock()
            left = {key: self._tokens(key, size, allowance, now) for key, size, _ in wanted}
            if any(left[key] < cost for key, _, cost in wanted):
                return False
            self._left.update({key: (left[key] - cost, now) for key, _, cost in wanted})
        return True

    def _tokens(self, key: str, size: Size, allowance: float, now: float) -> float:
        holds = size.holds * allowance
        left, since = self._left.get(key, (holds, now))
        return min(holds, left + (now - since) * size.refill * allowance)


def _bucket(action: str, form: Form) -> tuple[str, Size]:
    """Return the bucket of an action: its name, and its size."""
    if action in _OWN:
        return action, _OWN[action]
    if not action.startswith(_READING):
        return action, _CHANGES
    narrowed = any(key.startswith(("Filter.", "MaxResults", "NextToken")) for key in form)
    if action in _CHEAPER_WITH_FILTERS and not narrowed:
        return f"{action}/everything", _READS_EVERYTHING
    return action, _READS


def _instances(form: Form) -> int:
    if "MaxCount" in form:
        count = form["MaxCount"][0]
        return int(count) if count.isdecimal() else 1
    return sum(key.startswith("InstanceId.") for key in form)


class Throttle:
    """A WSGI wrapper that passes on as many calls as EC2 would answer."""

    def __init__(self, application: WSGIApplication, behaviour: Callable[[], behavior.Manners]) -> None:
        self._application = application
        self._behaviour = behaviour
        self._buckets = Buckets()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass the request on, or answer that there were too many."""
        allowance = self._behaviour().allowance
        if environ.get("gantry.service") != "ec2" or allowance is None:
            return self._application(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        form = parse_qs(body.decode(errors="replace"), keep_blank_values=True)
        if self._buckets.allow(str(environ["gantry.region"]), form, allowance):
            return self._application(environ, start_response)
        _log.info("throttled: %s", form.get("Action", ["?"])[0])
        refusal = Refused("RequestLimitExceeded", "Request limit exceeded.")
        answer = api_errors.answer("ec2", environ["REQUEST_METHOD"], refusal)
        start_response(answer.status, list(answer.headers))
        return [answer.body]
