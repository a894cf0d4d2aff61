"""Queries of the cloud and of servers for pages: with a time limit, and cached for all readers."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import logging
import re
import threading
import time

from gantry import errors
from gantry import inventory as inventories
from gantry.definition import models

_log = logging.getLogger(__name__)

_FRESH = 5.0
"""Seconds for which an answer is cached."""

_REFUSED = 20.0
"""Seconds before a retry after silence or a refusal."""

_LONG = 5.0
"""Seconds of silence after which it is reported."""

_SIDE_BY_SIDE = 8
_KEPT = 1000
_LONGEST_LOG = 400_000
"""Maximum number of bytes of an agent's log that a page shows, taken from the end."""

LOG_LINES = 500


@dataclasses.dataclass(frozen=True)
class CloudAnswer:
    """The cloud's answer.

    Attributes:
        inventory: the servers, or None if there is no answer (yet).
        trouble: why not; empty as long as it is too early to tell.
        console: the URL prefix of instances' pages; empty if the cloud has no console.
    """

    inventory: inventories.Inventory | None = None
    trouble: str = ""
    console: str = ""


_ARN = re.compile(r"arn:aws[a-z-]*:[^\s\"'<>,;()]+")
_ACCOUNT = re.compile(r"(?<![0-9A-Za-z])[0-9]{12}(?![0-9A-Za-z])")
_ENCODED = re.compile(r"(?<=[Ee]ncoded authorization failure message: )\S+")

NOTHING = CloudAnswer()


@dataclasses.dataclass
class _Asked:
    since: float
    future: concurrent.futures.Future[CloudAnswer]

    def is_good(self, now: float) -> bool:
        if not self.future.done():
            # A cloud that does not answer is asked once, not once per reader.
            return True
        return now - self.since < (_REFUSED if self.future.result().trouble else _FRESH)


class CloudReader:
    """Queries the servers of deployments, several deployments in parallel."""

    def __init__(self) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(_SIDE_BY_SIDE, "gantry-cloud")
        self._asked: dict[str, _Asked] = {}
        self._lock = threading.Lock()

    def ask(self, definition: models.Definition, patience: float) -> CloudAnswer:
        """Return a deployment's servers according to the cloud's tags.

        Blocks for at most `patience` seconds; never raises.
        """
        now = time.monotonic()
        name = definition.deployment
        with self._lock:
            asked = self._asked.get(name)
            if asked is None or not asked.is_good(now):
                if len(self._asked) > _KEPT:
                    self._asked.clear()
                asked = self._asked[name] = _Asked(now, self._pool.submit(_find, definition))
        try:
            return asked.future.result(patience)
        except TimeoutError:
            silent = time.monotonic() - asked.since
            return (
                CloudAnswer(trouble=f"it has not answered for {silent:.0f} s") if silent > _LONG else NOTHING
            )


def agent_log(definition: models.Definition, found: inventories.Inventory, server: str) -> str:
    """Return the end of the agent's log on a server. Blocks during the SSH session.

    Raises:
        GantryError: the server does not exist, or cannot be reached.
    """
    # asyncssh takes a while to load, and is needed for this alone.
    from gantry.runtime import agent_log as agent_logs  # noqa: PLC0415

    pieces: list[bytes] = []
    agent_logs.read(definition, found, server, pieces.append, lines=LOG_LINES, follow=False)
    return b"".join(pieces)[-_LONGEST_LOG:].decode(errors="replace")


def _find(definition: models.Definition) -> CloudAnswer:
    # The amazon provider and boto3 take a second to load; most pages of a new process do without.
    from gantry.cloud import clients, servers  # noqa: PLC0415

    try:
        ec2 = clients.impatient_ec2(definition.cloud)
        found = servers.Servers(ec2, definition, _log).find()
    except errors.GantryError as error:
        return CloudAnswer(trouble=str(error))
    except Exception as error:  # noqa: BLE001 - a page without the cloud's word is better than none
        _log.exception("asking the cloud for the servers of %s", definition.deployment)
        return CloudAnswer(trouble=f"the request to the cloud failed: {type(error).__name__}")
    return CloudAnswer(found, console=console(definition.cloud.region, ec2.meta.endpoint_url))


def discreet(trouble: str) -> str:
    """Return an error for readers without rights, free of the accounts and roles that the cloud names in refusals."""
    return _ACCOUNT.sub("(account)", _ENCODED.sub("(not shown)", _ARN.sub("(ARN)", trouble)))


def console(region: str, endpoint: str) -> str:
    """Return the URL prefix of instances' pages in the cloud's own console; empty for clouds other than AWS."""
    host = endpoint.partition("//")[2].partition("/")[0].partition(":")[0]
    if not host.endswith((".amazonaws.com", ".api.aws")):
        return ""
    return f"https://{region}.console.aws.amazon.com/ec2/home?region={region}#InstanceDetails:instanceId="
