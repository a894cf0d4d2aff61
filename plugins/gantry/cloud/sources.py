"""S3 access with one Airflow connection: clients for any region, and owner and expiry of the credentials."""

from __future__ import annotations

import datetime
import functools
import re
import threading
import urllib.parse
from typing import TYPE_CHECKING, Any

from gantry import names
from gantry.cloud import clients, errors

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_OWN_HOST = re.compile(r"https?://s3[.-][a-z0-9.-]*(amazonaws\.com(\.[a-z.]+)?|api\.aws)(:\d+)?/?")
"""S3's own regional and global hosts. Everything else is a custom endpoint."""


_PATIENCE = 10
"""Seconds for the first byte of an object."""


class S3Access:
    """S3 with an Airflow connection. Each client is created once; they share one session, and so its credentials."""

    def __init__(self, connection: names.ConnectionId, region: str | None) -> None:
        self.connection = connection
        self._region = region
        self._lock = threading.Lock()
        self._linking: dict[str, S3Client] = {}

    @functools.cached_property
    def client(self) -> S3Client:
        """Return the client for calls. Raises as `clients.ec2`."""
        with errors.worded("preparing calls to S3", self.connection):
            return self._client(self._hook.region_name, self._hook.config)

    def linking(self, region: str) -> S3Client:
        """Return the client for links to buckets of that region: signature version 4, at the region's own host.

        The connection's `config_kwargs` take precedence for the signature and the addressing style, and a custom
        endpoint is kept.

        Raises:
            CloudUnreachableError: as `client`.
        """
        with self._lock:
            if region not in self._linking:
                with errors.worded("preparing download links for S3", self.connection):
                    self._linking[region] = self._linking_client(region)
            return self._linking[region]

    def renewed(self) -> S3Access:
        """Return the same access with reloaded credentials."""
        return S3Access(self.connection, self._region)

    @property
    def whose(self) -> str:
        """Return whose credentials these are, and their expiry if known. No secrets."""
        credentials = self._session.get_credentials()
        settings = self._hook.conn_config
        connection = f"the Airflow connection {self.connection!r}"
        if settings.role_arn:
            session = settings.assume_role_kwargs.get("RoleSessionName", f"Airflow_{self.connection}")
            found = f"the session {session!r} of the role {settings.role_arn} that {connection} assumes"
        elif settings.aws_session_token:
            found = f"the session token that is stored in {connection}"
        elif credentials is not None and credentials.method not in (None, "explicit"):
            found = f"the credentials that {connection} gets from {credentials.method}"
        else:
            found = f"the credentials of {connection}"
        # botocore does not expose it otherwise.
        until = getattr(credentials, "_expiry_time", None)
        if isinstance(until, datetime.datetime):
            found += f", good until {until.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
        return found

    def first_byte(self, link: str) -> tuple[int, str]:
        """Read the first byte of a link, without credentials and redirects, through the connection's proxies.

        Returns:
            The HTTP status, and the body.

        Raises:
            CloudUnreachableError: there is no answer.
        """
        from botocore import awsrequest, exceptions, httpsession  # noqa: PLC0415 - as slow to load as boto3

        verify = self._hook.verify
        web = httpsession.URLLib3Session(
            proxies=self._hook.config.proxies, verify=True if verify is None else verify, timeout=_PATIENCE
        )
        request = awsrequest.AWSRequest("GET", link, headers={"Range": "bytes=0-0"})
        try:
            answer = web.send(request.prepare())
        except exceptions.BotoCoreError as error:
            host = urllib.parse.urlsplit(link).netloc
            # Without its own message, which quotes the link.
            raise errors.CloudUnreachableError(
                f"trying a link at {host}", type(error).__name__, self.connection, transient=True
            ) from None
        return answer.status_code, answer.text

    @functools.cached_property
    def _hook(self) -> Any:  # noqa: ANN401 - the amazon provider's, which is loaded late
        return clients.hook(self.connection, self._region, "s3")

    @functools.cached_property
    def _session(self) -> Any:  # noqa: ANN401 - boto3's, which is loaded late
        return clients.session(self._hook)

    def _linking_client(self, region: str) -> S3Client:
        from botocore.config import Config  # noqa: PLC0415 - as slow to load as boto3

        given = self._hook.config
        settings: Any = {"us_east_1_regional_endpoint": "regional", **(given.s3 or {})}
        version = given.signature_version or "s3v4"
        found = self._client(region, given.merge(Config(signature_version=version, s3=settings)))
        if settings.get("addressing_style", "auto") != "auto" or not _OWN_HOST.fullmatch(
            found.meta.endpoint_url
        ):
            return found
        # Only this setting keeps botocore off the global host, which learns of new buckets late and of new regions
        # never.
        settings["addressing_style"] = "virtual"
        return self._client(region, given.merge(Config(signature_version=version, s3=settings)))

    def _client(self, region: str | None, config: Any) -> S3Client:  # noqa: ANN401 - botocore's, which is loaded late
        client: S3Client = clients.made(self._hook, self._session, "s3", region, config)
        return client
