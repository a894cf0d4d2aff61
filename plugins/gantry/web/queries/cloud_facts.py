"""What the cloud and the servers themselves say, for a page: within a time limit, and not for each reader again."""

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
"""Seconds that an answer is good for."""

_REFUSED = 20.0
"""Seconds until somebody is asked again who did not answer, or refused."""

_LONG = 5.0
"""Seconds of silence from which on it is told of."""

_SIDE_BY_SIDE = 8
_KEPT = 1000
_LONGEST_LOG = 400_000
"""Bytes of an agent's log that a page shows: the last ones."""

LOG_LINES = 500


@dataclasses.dataclass(frozen=True)
class CloudAnswer:
    """What the cloud has said.

    Attributes:
        inventory: the servers, or None where it has said nothing (yet).
        trouble: why not; empty where it has not been asked for long enough to tell.
        console: the address that instances' own pages begin with; empty where the cloud has no console.
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
            # A cloud that keeps silent is asked once, not by everybody who looks.
            return True
        return now - self.since < (_REFUSED if self.future.result().trouble else _FRESH)


class CloudReader:
    """Asks for deployments' servers, several deployments side by side."""

    def __init__(self) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(_SIDE_BY_SIDE, "gantry-cloud")
        self._asked: dict[str, _Asked] = {}
        self._lock = threading.Lock()

    def ask(self, definition: models.Definition, patience: float) -> CloudAnswer:
        """A deployment's servers, as the cloud's tags tell. Blocks for `patience` seconds at most; never raises."""
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
    """The end of the agent's own log on a server. Blocks while SSH is spoken.

    Raises:
        GantryError: there is no such server, or it cannot be reached.
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
        return CloudAnswer(trouble=f"asking the cloud has failed: {type(error).__name__}")
    return CloudAnswer(found, console=console(definition.cloud.region, ec2.meta.endpoint_url))


def discreet(trouble: str) -> str:
    """What went wrong, for those who may only look: without the accounts and roles that the cloud names in refusals."""
    return _ACCOUNT.sub("(account)", _ENCODED.sub("(not shown)", _ARN.sub("(ARN)", trouble)))


def console(region: str, endpoint: str) -> str:
    """What the addresses of instances' pages in the cloud's own console begin with; empty where it is none of AWS's."""
    host = endpoint.partition("//")[2].partition("/")[0].partition(":")[0]
    if not host.endswith((".amazonaws.com", ".api.aws")):
        return ""
    return f"https://{region}.console.aws.amazon.com/ec2/home?region={region}#InstanceDetails:instanceId="
