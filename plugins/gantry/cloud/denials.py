"""Causes of denied AWS calls, as shown by the message: a missing permission, or a policy that forbids the call."""

from __future__ import annotations

import dataclasses
import re

_ENCODED = re.compile(r"([Ee]ncoded authorization failure message:\s*)(\S+)")
_SHOWN = 12
"""Number of characters shown of an encoded message, which is unreadable."""

_CALL = re.compile(
    r"is not authorized to perform: (?P<action>[a-zA-Z0-9-]+:\w+)(?: on resource: \"?(?P<resource>[^\s\"]+))?"
)
_FORBIDS = re.compile(
    r"with an explicit deny in (?:an?|the) (?P<policy>[\w -]+?policy|permissions boundary)\b"
)
_LACKS = re.compile(r"because no (?P<policy>[\w -]+?policy|permissions boundary) allows")
"""The phrases of https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"""

_WHOSE = {
    "service control policy": "the organization's: its administrators can change it, no user of the account can",
    "resource control policy": "the organization's: its administrators can change it, no user of the account can",
    "permissions boundary": "set on the user or role itself: it limits what any of its policies can allow",
    "session policy": "given when the role was assumed: look at assume_role_kwargs of the connection",
    "identity-based policy": "attached to the user or role, or to one of its groups",
    "resource-based policy": "attached to the requested resource, a bucket or a key",
    "VPC endpoint policy": "of the VPC endpoint through which the workers reach the cloud",
    "role trust policy": "of the role that the connection assumes",
}


@dataclasses.dataclass(frozen=True)
class Denial:
    """The cause of a denial, as far as its message shows it.

    Attributes:
        reason: the cloud's message, with any encoded message in it shortened.
        action, resource: what was denied; empty if not stated.
        policy: the kind of policy that it names (`service control policy`), or empty.
        is_forbidden: whether that policy forbids the call, so that no further permission can help; otherwise it does
            not allow it.
        encoded: the whole encoded message, or empty. AWS decodes it for users with permission to do so.
    """

    reason: str
    action: str = ""
    resource: str = ""
    policy: str = ""
    is_forbidden: bool = False
    encoded: str = ""

    @property
    def decoding(self) -> str:
        """Return the command that decodes the encoded message; empty if there is none."""
        command = (
            "aws sts decode-authorization-message --query DecodedMessage --output text --encoded-message"
        )
        return f"{command} {self.encoded}" if self.encoded else ""

    def advice(self, connection: str) -> str:
        """Return what to do about it, in one line."""
        what = self.action or "this call"
        whose = _WHOSE.get(self.policy, "")
        told = f" ({whose})" if whose else ""
        if self.is_forbidden:
            said = (
                f"A {self.policy} forbids {what}{told}; more rights change nothing: a deny wins over every allow. "
                f"Have the policy changed, or do what it demands (a tag, a region, a size, IMDSv2)."
            )
        elif self.policy in ("", "identity-based policy"):
            lacks = f"{self.action} is missing among" if self.action else "Check"
            said = f"{lacks} the rights of the Airflow connection {connection!r}."
            if not self.policy:
                said += " A policy of the organization, or a boundary, can be the cause as well."
        else:
            said = (
                f"No {self.policy}{told} allows {what}: the rights of the Airflow connection {connection!r} alone "
                f"are not enough."
            )
        if self.encoded:
            said += (
                " The command that decodes the reason is in the log; it needs sts:DecodeAuthorizationMessage."
            )
        return said


def read(message: str) -> Denial:
    """Parse a message of the cloud."""
    encoded = _ENCODED.search(message)
    call = _CALL.search(message)
    forbids, lacks = _FORBIDS.search(message), _LACKS.search(message)
    policy = forbids or lacks
    return Denial(
        reason=_ENCODED.sub(_shortened, message),
        action=call["action"] if call else "",
        resource=(call["resource"] or "").rstrip(".,") if call else "",
        policy=policy["policy"] if policy else "",
        is_forbidden=forbids is not None,
        encoded=encoded[2] if encoded else "",
    )


def _shortened(found: re.Match[str]) -> str:
    if len(found[2]) <= _SHOWN:
        return found[0]
    return f"{found[1]}{found[2][:_SHOWN]}… ({len(found[2])} letters)"
