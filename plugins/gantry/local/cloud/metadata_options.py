"""Account-level defaults of instance metadata options, by region, which can require IMDSv2: moto has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError

_DEFAULTS = ("HttpTokens", "HttpPutResponseHopLimit")
_ENFORCED = "HttpTokensEnforced"


class MetadataDefaults:
    """The part of the EC2 API that stores these settings."""

    region: str
    _known: ClassVar[dict[str, dict[str, str]]] = {}

    def _get_param(self, param_name: str, if_none: Any = None) -> Any:  # noqa: ANN401 - moto is untyped for us
        """Return a parameter of the request: moto's method."""
        return super()._get_param(param_name, if_none)  # type: ignore[misc] # of the class that this is mixed into

    def modify_instance_metadata_defaults(self) -> ActionResult:
        """ModifyInstanceMetadataDefaults, for tokens and hop limit."""
        asked = {key: self._get_param(key) for key in (*_DEFAULTS, _ENFORCED)}
        known = self._known.setdefault(self.region, {})
        known.update({key: str(value) for key, value in asked.items() if value})
        return ActionResult({"Return": True})

    def metadata_options(self, options: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return a launch's metadata options, with the account's defaults filled in.

        Raises:
            EC2ClientError: the account requires IMDSv2, and the launch does not use it.
        """
        known = self._known.get(self.region, {})
        wanted = {key: known[key] for key in _DEFAULTS if key in known} | dict(options or {})
        if known.get(_ENFORCED) == "enabled" and wanted.get("HttpTokens") != "required":
            raise EC2ClientError(
                "UnsupportedOperation",
                "You can't launch instances with IMDSv1 because httpTokensEnforced is enabled for this account. Either "
                "launch the instance with httpTokens=required or contact your account owner to disable "
                "httpTokensEnforced using the ModifyInstanceMetadataDefaults API or the account settings in the EC2 "
                "console.",
            )
        return wanted
